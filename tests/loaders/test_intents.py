"""Banking77 and CLINC150: counted as registered, repaired as documented, refused where they are not what they say."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from at_hand import needs
from metastudy import loaders
from metastudy.errors import DataError
from metastudy.loaders.files import Files
from metastudy.loaders.intents import LabelledTexts, banking77, clinc150

TRAIN = "text,category\nWhere is my card?,card\nMy PIN is blocked,pin\n"
TEST = "text,category\nWhat is a PIN?,pin\n"
CLINC = {
    "train": [["play a song", "music"], ["what time is it", "time"]],
    "val": [["set an alarm", "alarm"]],
    "test": [["louder music", "music"]],
    "oos_train": [["sing", "oos"]],
    "oos_val": [],
    "oos_test": [["fly", "oos"], ["swim", "oos"]],
}
DOMAINS = {"home": ["music"], "clock": ["time", "alarm"]}


def write(folder: Path, **contents: object) -> Files:
    """Files of both sources; what is no text becomes JSON."""
    for name, content in contents.items():
        path = folder / ("fewshot_text/" + name.replace("__", "/").replace("_csv", ".csv").replace("_json", ".json"))
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return Files.in_folder(folder)


def bank(
    folder: Path, train: object = TRAIN, test: object = TEST, categories: object = ("card", "pin")
) -> LabelledTexts:
    names = {"banking77__train_csv": train, "banking77__test_csv": test, "banking77__categories_json": categories}
    return banking77(write(folder, **names))


def clinc(folder: Path, data: object = CLINC, domains: object = DOMAINS) -> LabelledTexts:
    return clinc150(write(folder, clinc150__data_full_json=data, clinc150__domains_json=domains))


def test_banking77_as_it_is_written(tmp_path):
    found = bank(tmp_path)
    assert found.texts == ("Where is my card?", "My PIN is blocked", "What is a PIN?")
    assert found.labels == ("card", "pin", "pin")
    assert found.splits == ("train", "train", "test")
    assert found.domains == {"card": "banking77", "pin": "banking77"}
    assert found.counts == {"texts": 3, "train": 2, "test": 1, "classes": 2}
    assert found.repaired == {"respaced": 0, "repeated": 0, "contradictory": 0} and not found.synthetic


def test_clinc150_as_it_is_written(tmp_path):
    found = clinc(tmp_path)
    assert found.texts == ("play a song", "what time is it", "set an alarm", "louder music")
    assert found.labels == ("music", "time", "alarm", "music")
    assert found.splits == ("train", "train", "validation", "test")
    assert found.domains == {"music": "home", "time": "clock", "alarm": "clock"}
    sizes = {"texts": 4, "train": 2, "validation": 1, "test": 1, "classes": 3, "domains": 2}
    assert found.counts == sizes | {"out_of_scope": 3}


def test_copies_and_contradictions_are_left_out_and_counted_before_that(tmp_path):
    rows = [
        ("Where is my card?", "card"),
        ("\nwhere  is my CARD", "card"),  # the same words: left out
        ("Has my top-up arrived?", "card"),  # with two labels: both left out
        ("has my top up arrived", "pin"),
        ("Top up,   please", "pin"),  # spaces
    ]
    train = pd.DataFrame(rows, columns=["text", "category"]).to_csv(index=False)
    found = bank(tmp_path, train=train)
    assert found.texts == ("Where is my card?", "Top up, please", "What is a PIN?")
    assert found.labels == ("card", "pin", "pin")
    assert found.repaired == {"respaced": 2, "repeated": 1, "contradictory": 2}
    assert found.counts["texts"] == 6


def test_texts_without_letters_are_told_apart_by_their_signs(tmp_path):
    assert bank(tmp_path, train="text,category\n?,card\n!,pin\n").texts == ("?", "!", "What is a PIN?")


def test_words_that_look_like_missing_values_are_words(tmp_path):
    assert bank(tmp_path, train="text,category\nnull,card\nNA,card\n").texts[:2] == ("null", "NA")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"train": "text,categry\na,card\n"},
            "train.csv has the columns text, categry; expected 'category'.*'categry'",
        ),
        ({"test": ""}, "test.csv is no readable table"),
        ({"test": 'text,category\n"open,pin\n'}, "test.csv is no readable table"),
        ({"test": "text,category\na,b,pin\n"}, "test.csv: rows have more fields than the 2 columns"),
        ({"test": "text,category\nx,pin\nalone\n"}, "1 labels that are not among the 2 of categories.json.*''"),
        ({"test": "text,category\nx,pins\n"}, "1 labels that are not among the 2.*'pins'; did you mean 'pin'"),
        ({"categories": ["card", "pin", "loan"]}, "no text for 1 of the labels of categories.json.*'loan'"),
        ({"test": 'text,category\n"  ",pin\n'}, "text 3 of 3, labelled 'pin', is empty"),
        ({"test": b"text,category\ncaf\xe9,pin\n"}, r"test.csv: byte 17 \(0xe9\) is not utf-8"),
        ({"categories": '["card", '}, "categories.json: Invalid JSON"),
        ({"categories": ["card", 7]}, "categories.json.1: Input should be a valid string"),
    ],
)
def test_a_bad_banking77_is_refused(tmp_path, changed, message):
    with pytest.raises(DataError, match=message):
        bank(tmp_path, **changed)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"data": {k: v for k, v in CLINC.items() if k != "val"}}, "has parts oos_test.*; expected .*val"),
        ({"data": CLINC | {"extra": []}}, "has parts extra"),
        ({"data": CLINC | {"val": [["set an alarm"]]}}, "data_full.json.val.0.1: Field required"),
        ({"data": CLINC | {"oos_val": [["sing", "music"]]}}, "labels an out-of-scope text 'music'; expected 'oos'"),
        ({"data": CLINC | {"test": [["sing", "oos"]]}}, "labels that are not among the 3.*'oos'"),
        ({"domains": {"home": ["music"], "clock": ["time"]}}, "'alarm'"),
        ({"domains": DOMAINS | {"work": ["payday"]}}, "no text for 1 of the labels of domains.json.*'payday'"),
        ({"domains": DOMAINS | {"work": ["time"]}}, "domains.json has 'time' in clock and in work"),
        ({"data": "{'train': []}"}, "data_full.json: Invalid JSON"),
        ({"domains": ["music"]}, "domains.json: Input should be"),
    ],
)
def test_a_bad_clinc150_is_refused(tmp_path, changed, message):
    with pytest.raises(DataError, match=message):
        clinc(tmp_path, **changed)


@needs("banking77")
def test_the_real_banking77():
    found = loaders.load("banking77")  # compares the counts with the registry
    assert found.repaired == {"respaced": 569, "repeated": 58, "contradictory": 4}
    assert len(found.texts) == 13083 - 58 - 4
    assert not any("\n" in text or "  " in text for text in found.texts)
    assert "Reverted_card_payment?" not in found.domains and "reverted_card_payment?" in found.domains
    assert min(found.labels.count(label) for label in found.domains) == 75


@needs("clinc150")
def test_the_real_clinc150():
    found = loaders.load("clinc150")
    assert found.repaired == {"respaced": 5, "repeated": 62, "contradictory": 9}
    assert len(found.texts) == 22500 - 62 - 9
    assert {list(found.domains.values()).count(domain) for domain in found.domains.values()} == {15}
    assert "what is on my to do list" not in found.texts  # it is labelled reminder, and todo_list
    assert "oos" not in found.domains

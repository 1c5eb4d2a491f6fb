"""Symptom2Disease: 24 known diseases, copies left out, and marked as written by a machine."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from at_hand import needs
from metastudy import loaders
from metastudy.errors import DataError
from metastudy.loaders.files import Files
from metastudy.loaders.intents import LabelledTexts
from metastudy.loaders.symptoms import DISEASES, PATH, load

ROWS = [f"{i},{disease},I have {disease} and more." for i, disease in enumerate(DISEASES)]


def read(folder: Path, *rows: str, header: str = "index,label,text") -> LabelledTexts:
    path = folder / PATH
    path.parent.mkdir(parents=True)
    path.write_text("\n".join([header, *rows]), encoding="utf-8")
    return load(Files.in_folder(folder))


def test_each_disease_is_its_own_domain_and_copies_are_left_out(tmp_path):
    found = read(tmp_path, *ROWS, f"0,{DISEASES[0]},I have {DISEASES[0]} and more.", "1,Acne,Spots.")
    assert found.synthetic
    assert found.counts == {"texts": 26, "classes": 24, "distinct": 25}
    assert found.texts == (*(f"I have {disease} and more." for disease in DISEASES), "Spots.")
    assert found.labels == (*DISEASES, "Acne")
    assert found.repaired["repeated"] == 1
    assert found.domains == {disease: disease for disease in DISEASES}


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        (ROWS, "index,label,texts", "has the columns index, label, texts; expected 'text'.*did you mean 'texts'"),
        ([*ROWS, "9,acne,Spots."], "index,label,text", "'acne'; did you mean 'Acne'"),
        (ROWS[1:], "index,label,text", "no text for 1 of the labels.*'Acne'"),
        ([*ROWS, "9,Acne,"], "index,label,text", "text 25 of 25, labelled 'Acne', is empty"),
        ([], "index,label,text", "no text for 24 of the labels"),
    ],
)
def test_bad_tables_are_refused(tmp_path, rows, header, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, *rows, header=header)


def test_other_bytes_than_utf8_are_named(tmp_path):
    (tmp_path / PATH).parent.mkdir()
    (tmp_path / PATH).write_bytes(b"index,label,text\n0,Acne,\xff\n")
    with pytest.raises(DataError, match=r"Symptom2Disease.csv: byte 24 \(0xff\) is not utf-8"):
        load(Files.in_folder(tmp_path))


@needs("symptom2disease")
def test_the_real_file():
    found = loaders.load("symptom2disease")  # compares the counts with the registry
    assert found.repaired == {"respaced": 39, "repeated": 47, "contradictory": 0}
    assert len(found.texts) == found.counts["distinct"] == 1153
    assert min(Counter(found.labels).values()) == 38 and found.synthetic

"""What notebook 01 says of the public data is what the registry and the loaded data say."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from metastudy import figures_data, public_sources, registry
from metastudy.loaders import Loaded
from metastudy.loaders.collections import Document, SearchCollection
from metastudy.loaders.intents import LabelledTexts
from metastudy.loaders.medical import MedicalTable
from metastudy.loaders.omniglot_runs import Challenge
from metastudy.loaders.summaries import SourceDocument, Summaries


def held() -> dict[str, Loaded]:
    documents = tuple(
        SourceDocument(f"d{i}", "s", ("A cat sat.", "Dogs ran far away."), "sentences", ("Dogs ran away.",))
        for i in range(5)
    )
    pages = {"a": Document("Cats", "sit"), "b": Document("", "Dogs run. " * 40)}
    values = pd.DataFrame({"age": [50.0, np.nan], "sex": pd.Categorical(["f", "m"])})
    nobody = {"classes": np.array(["n", "y"]), "patients": np.arange(2), "sites": None, "age": None, "sex": None}
    return {
        "letters": Summaries(documents, {"documents": 6}, {"duplicate": ("x",), "nothing": ()}),
        "zoo": SearchCollection("zoo", pages, {"1": "cats?", "2": "dogs?"}, {"1": {"a": 1, "b": 3}, "2": {"b": 0}}),
        "clinic": MedicalTable("clinic", values, np.array([0, 1]), **nobody, counts={"rows": 4},
                               rows_removed={"repeated: why": 2}, cells_repaired={"age: 999": 1}),
        "bank": LabelledTexts(("one", "two", "three"), ("a", "a", "b"), ("train",) * 3, {"a": "x", "b": "x"},
                              {"texts": 5}, {"repeated": 2, "contradictory": 0}),
    }  # fmt: skip


def test_the_registered_table_is_the_registry() -> None:
    found = public_sources.registered().set_index("source")
    assert list(found.index) == [s.name for s in registry.load().sources]
    cranfield = registry.load()["cranfield"]
    row = found.loc["cranfield"]
    assert row["counts"].startswith("documents 1,400, queries 225") and row["kB"] == 507 and row["files"] == 1
    assert row["traps"] == len(cranfield.traps) and row["licence"] == cranfield.licence
    assert row["sha256"] == hashlib.sha256(cranfield.files[0].sha256.encode()).hexdigest()[:12]
    assert found["sha256"].is_unique


def test_a_source_s_hash_is_that_of_all_its_files_in_order() -> None:
    source = registry.load()["banking77"]
    other = source.model_copy(update={"files": source.files[::-1]})
    assert public_sources.source_hash(source) != public_sources.source_hash(other)


def test_fields_are_summed() -> None:
    table = public_sources.registered()
    found = public_sources.by_field(table)
    assert found["sources"].sum() == len(table) and found["files"].sum() == table["files"].sum()
    assert found.set_index("field").loc["search", "sources"] == 7


def test_repairs_are_told_in_words() -> None:
    told = {name: public_sources.repairs(source) for name, source in held().items()}
    assert told == {
        "letters": "duplicate: 1", "zoo": "", "clinic": "repeated: why: 2; age: 999: 1", "bank": "repeated: 2",
    }  # fmt: skip


def test_nothing_is_read_where_public_is_false() -> None:
    table, found = public_sources.read(False)
    assert table.empty and found == {}
    for show in (public_sources.summaries, public_sources.searches, public_sources.texts):
        assert show(found, 3).empty
    assert public_sources.patients(found).empty and public_sources.pictures(found) == {}


def test_examples_are_spread_over_a_source() -> None:
    found = public_sources.summaries(held(), 2)
    assert found["source"].tolist() == ["letters"] * 2
    row = found.iloc[0]
    assert (row["of"], row["human summary"], row["best unit"]) == (
        "2 sentences",
        "Dogs ran away.",
        "Dogs ran far away.",
    )
    assert row["ROUGE-1"] == round(100 * 2 * 3 / (3 + 4))
    assert public_sources.texts(held(), 3)["text"].tolist() == ["one", "two", "three"]


def test_a_query_is_shown_with_its_best_document_and_unjudged_ones_are_not() -> None:
    found = public_sources.searches(held(), 5)
    assert found[["collection", "query", "relevant", "grade"]].values.tolist() == [["zoo", "cats?", 2, 3]]
    shown = found["a best document"][0]
    assert shown.startswith("Dogs run. Dogs") and shown.endswith("...") and len(shown) == public_sources.WIDTH


def test_a_table_is_described_after_repair() -> None:
    row = public_sources.patients(held()).iloc[0].to_dict()
    assert row == {
        "table": "clinic", "patients": 2, "sick": "50%", "numeric columns": 1, "categorical columns": 1,
        "missing cells": "25.0%", "for instance": "age, sex",
    }  # fmt: skip


@pytest.fixture
def challenge() -> Challenge:
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 256, (2, 1, 20, 105, 14), dtype=np.uint8)
    bits[..., -1] &= 0b10000000  # 105 pixels are 13 bytes and a bit
    return Challenge(("run01",), bits[0], bits[1], rng.permutation(20)[None])


def test_a_run_is_drawn_with_each_test_picture_below_its_answer(challenge: Challenge) -> None:
    figure = public_sources.pictures({"omniglot_challenge": challenge})["omniglot_challenge_run"]
    above, below = (ax.images[0].get_array() for ax in figure.axes)
    training, test = challenge.resized(public_sources.SIDE)
    side = public_sources.SIDE + 4
    for shown, column in ((0, 3), (1, 7)):
        picture = (above, below)[shown][2:-2, column * side + 2 : (column + 1) * side - 2]
        answer = int(np.flatnonzero(challenge.answers[0] == column)[0])
        assert (picture == (training[0, column], test[0, answer])[shown]).all()
    assert "run01" in figure.get_suptitle()
    other = replace(challenge, answers=challenge.answers[:, ::-1])
    changed = public_sources.pictures({"omniglot_challenge": other})["omniglot_challenge_run"]
    assert (changed.axes[1].images[0].get_array() != below).any()


def test_alphabets_are_drawn_by_their_first_drawings() -> None:
    pictures = np.arange(12, dtype=np.uint8)[:, None, None].repeat(3, 1).repeat(3, 2) * 20
    figure = figures_data.alphabets(pictures, ["Old_Greek", "Old_Greek", "Latin", "Latin"], drawers=3)
    assert [ax.get_ylabel() for ax in figure.axes] == ["Old Greek", "Latin"]
    first = figure.axes[0].images[0].get_array()
    assert first.shape == (7, 14) and first[3, 3] == 0 and first[3, 10] == 60
    assert figure.axes[1].images[0].get_array()[3, 3] == 120

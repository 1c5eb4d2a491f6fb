"""A collection that is in no registry gives the arrays that a registered one gives."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from at_hand import needs
from metastudy import loaders
from metastudy.families import candidates
from metastudy.families.candidates import to_search
from metastudy.feedback import surroundings
from metastudy.feedback.learned_columns import learned_columns
from metastudy.masking import MASK
from metastudy.own_data import searched
from toy_collections import toy

TOY = toy("cisi", 1)


def same_but_hash(own, expected) -> None:
    assert set(own) == set(expected)
    for name in set(own) - {"content_hash"}:
        np.testing.assert_array_equal(own[name], expected[name], err_msg=name)


def test_candidates_are_those_of_a_registered_collection():
    same_but_hash(searched.candidate_arrays(to_search(TOY), None, {}), candidates.build(TOY))


@needs("medline")
def test_candidates_of_a_public_collection_are_the_studys():
    found = loaders.load("medline")
    same_but_hash(searched.candidate_arrays(to_search(found), None, {}), candidates.build(found))


def test_pages_that_are_named_get_a_row_in_their_query_alone(monkeypatch):
    for depth in ("DEPTH", "POOL"):
        monkeypatch.setattr(searched, depth, 20)
    collection = to_search(TOY)
    plain = searched.of_arrays("cisi", searched.build(collection))
    page = next(i for i, row in enumerate(collection.ids) if i not in plain.candidates.rows(0)[0])
    named = searched.of_arrays(
        "cisi", searched.build(collection, None, {collection.queries[0]: [collection.ids[page]]})
    )
    assert set(named.candidates.rows(0)[0]) == {*plain.candidates.rows(0)[0], page}
    for part in (0, 1):
        np.testing.assert_array_equal(named.candidates.rows(1)[part], plain.candidates.rows(1)[part])
    assert named.candidates.content_hash != plain.candidates.content_hash


def test_columns_are_those_of_the_index_and_surroundings_made_apart():
    collection = to_search(TOY)
    found, expected = (
        searched.of_arrays("cisi", searched.build(collection)).around,
        surroundings.of_collection(collection),
    )
    columns = [
        learned_columns(around, around.index.query("3"), [3, 11], [4], list(range(20, 60)))
        for around in (found, expected)
    ]
    np.testing.assert_array_equal(*columns)


@dataclass
class Counting:
    """An encoder that notes what it read."""

    name: str = "counting"
    fingerprint: str = "0"
    dim: int = 3
    read: list[str] = field(default_factory=list)

    def __call__(self, texts):
        self.read += texts
        return np.array([[len(t), t.count("b"), 1.0] for t in texts], dtype=np.float32) / 1e3


def test_an_encoder_reads_each_text_once():
    encoder, collection = Counting(), to_search(TOY)
    arrays = searched.build(collection, encoder)
    assert len(encoder.read) == len(set(encoder.read)) >= len(set(collection.pages))
    np.testing.assert_array_equal(arrays["index/dense"], Counting()(collection.pages))
    np.testing.assert_array_equal(arrays["candidates/vectors"], arrays["index/dense"])


def test_the_hash_tells_pages_queries_and_judgements():
    same, hashes = searched.content_hash(to_search(TOY)), set()
    for change in ("ids", "bodies", "asked"):
        collection = to_search(TOY)
        getattr(collection, change)[0] += "x"
        hashes.add(searched.content_hash(collection))
    collection = to_search(TOY)
    collection.relevant["0"]["0"] = 1
    hashes |= {searched.content_hash(collection), searched.content_hash(to_search(TOY), {"0": ["1"]})}
    assert len(hashes) == 5 and same not in hashes and same == searched.content_hash(to_search(TOY))


@pytest.mark.parametrize("name", ["matplotlib", "statsmodels"])
def test_a_library_asks_summary_lines_and_never_finds_their_own_page(name):
    collection = searched.collection_of_library(name)
    assert 50 < len(collection.queries) <= searched.QUERIES < len(collection.ids)
    assert not any(MASK in text.split() for text in (*collection.pages, *collection.asked))
    found = searched.candidate_arrays(collection, None, {})
    for q, query in enumerate(collection.queries):
        rows = found["page"][found["offset"][q] : found["offset"][q + 1]]
        assert collection.position[query] not in rows
        assert {collection.position[page] for page in collection.relevant[query]} <= set(rows.tolist())

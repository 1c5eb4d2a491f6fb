"""Folders in BEIR's layout: what is taken, and what is refused before anything is computed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metastudy.errors import DataError
from metastudy.families.candidates import DEPTH
from metastudy.loaders.collections import write_beir
from metastudy.own_data import search_folder, searched
from metastudy.own_data.search_folder import plain, read, safe
from toy_collections import toy, write

HEAD = "query-id\tcorpus-id\tscore\n"


@pytest.fixture
def folder(tmp_path):
    write_beir(toy("mine", 2), tmp_path / "mine")
    return tmp_path / "mine"


def judge(folder, rows, part="test") -> None:
    write(folder, {f"qrels/{part}.tsv": HEAD + "".join(f"{q}\t{p}\t{g}\n" for q, p, g in rows)})


def test_the_part_is_test_or_the_only_one(folder):
    assert read(folder, None).part == "test"
    judge(folder, [("1", "1", 1)], "dev")
    assert read(folder, None).part == "test" and read(folder, "dev").qrels == {"1": {"1": 1}}
    (folder / "qrels/test.tsv").unlink()
    assert read(folder, None).part == "dev"
    judge(folder, [("1", "1", 1)], "train")
    with pytest.raises(DataError, match=r"mine has no qrels/test.tsv; name one of dev, train as part"):
        read(folder, None)
    with pytest.raises(DataError, match=r"no qrels/trian.tsv; name one of dev, train as part; did you mean 'train'"):
        read(folder, "trian")


def test_what_cannot_be_searched_is_refused(folder, tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"corpus.jsonl is a file; expected a folder with corpus.jsonl"):
        read(folder / "corpus.jsonl", None)
    with pytest.raises(DataError, match="nowhere has no corpus.jsonl"):
        read(tmp_path / "nowhere", None)
    monkeypatch.setattr(search_folder, "PAGES", 100)
    with pytest.raises(DataError, match="mine has 130 pages; expected at most 100, since all are compared"):
        read(folder, None)
    monkeypatch.undo()
    rows = [json.loads(line) | {"text": "の 12", "title": "the"} for line in (folder / "corpus.jsonl").open()]
    write(folder, {"corpus.jsonl": "".join(json.dumps(row) + "\n" for row in rows)})
    with pytest.raises(DataError, match="none of the 130 pages of mine has a word of the letters a to z"):
        read(folder, None)


def test_too_few_pages_or_queries_are_counted(folder):
    found = read(folder, None)
    search_folder.check_enough(found, 20)
    with pytest.raises(DataError, match=r"mine has 130 pages; expected at least 135.*--shots 120 would do"):
        search_folder.check_enough(found, 125)
    judge(folder, [(str(q), str(p), int(p < 2 or q < 5)) for q in range(9) for p in range(1, 4)])
    with pytest.raises(DataError, match=r"5 of the 9 queries that qrels/test.tsv names have two or more.*expected 6"):
        search_folder.check_enough(read(folder, None), 1)


def test_fewer_shots_are_named_where_they_would_do(folder):
    judge(folder, [(str(q), p, 1) for q in range(10) for p in (str(q), str(q + 8))])
    found = read(folder, None)
    collection = search_folder.collection_of(found, search_folder.looked_at(found, 10))
    one = searched.of_arrays("mine", searched.build(collection))
    usable = [len(search_folder.judged_results(one.candidates, DEPTH, k)[0]) for k in range(1, 31)]
    assert usable == sorted(usable, reverse=True) and usable[0] >= 6 > usable[-1]
    most = max(k for k in range(1, 31) if usable[k - 1] >= 6)
    search_folder.check_usable(found, one, (1, most), DEPTH)
    with pytest.raises(
        DataError, match=rf"queries of mine can be compared on with --shots 30.*--shots {most} would do"
    ):
        search_folder.check_usable(found, one, (1, 30), DEPTH)


def test_as_many_queries_are_looked_at_as_memory_allows(folder, monkeypatch):
    found = read(folder, None)
    assert search_folder.looked_at(found, 100) == list(found.qrels)
    eight = search_folder.looked_at(found, 8)
    assert len(eight) == 24 and set(search_folder.looked_at(found, 4)) < set(eight)
    monkeypatch.setattr(search_folder, "CELLS", 10 * 130)
    assert len(search_folder.looked_at(found, 100)) == 10
    with pytest.raises(DataError, match="32 queries of 130 pages would take too much memory; expected at most 10"):
        search_folder.check_memory(found, list(found.qrels))


def test_a_query_with_every_page_judged_leaves_nothing(folder):
    judge(folder, [("1", str(p), 1) for p in range(130)])
    with pytest.raises(DataError, match="query '1': all 130 pages are judged; expected one that is left to rank"):
        search_folder.check_memory(read(folder, None), ["1"])


def test_a_page_that_is_judged_as_not_relevant_is_none_to_find(folder):
    judge(folder, [("1", "1", 0), ("1", "2", -1), ("1", "3", 2), ("1", "4", 1), ("2", "1", 0)])
    found = read(folder, None)
    assert found.relevant == {"1": {"3": 2, "4": 1}} and search_folder.best_first(found.qrels["1"]) == list("3412")
    assert search_folder.looked_at(found, 10) == ["1"]
    assert search_folder.collection_of(found, ["1"]).relevant == {"1": {"3": 2, "4": 1}}


@given(st.lists(st.text(), unique=True))
def test_ids_are_found_again(ids):
    made = [safe(i) for i in ids]
    assert list(map(plain, made)) == ids
    assert not any("|" in i or any(c.isspace() for c in i) for i in made)


def test_plain_ids_stay_as_they_are():
    for id_ in ("MED-10", "http://a.b/c?d=e&f#g", "é", "0"):
        assert safe(id_) == id_

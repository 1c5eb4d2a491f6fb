"""What `search_speed` times is the right thing, on collections and files that are small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import search_speed, search_works, timing
from benchmarks.nearest import DIM, Mixture, Usearch, by_definition, own_mb, plain_read, rise_mb
from benchmarks.search_speed import COLUMNS, merged
from benchmarks.search_works import EXPANSIONS, WORKS, ResultsDiffer, Sizes, adapt, adapting
from metastudy.families.candidates import to_search
from metastudy.feedback import surroundings
from metastudy.feedback.fast import FastIndex
from metastudy.feedback.fast_columns import FastColumns
from metastudy.feedback.scan import LONGEST
from toy_collections import toy

ROOT = Path(__file__).resolve().parents[1]
SMALL = Sizes(candidates=50, vectors=3000, indexed=2000, queries=40, rounds=2, seconds=0.0)


@pytest.fixture(autouse=True)
def busy_is_no_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "wait_for_quiet", lambda: None)


@pytest.fixture(scope="module")
def around() -> surroundings.Surroundings:
    return surroundings.of_collection(to_search(toy("toy", 0)))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vectors") / "vectors.npy"
    Mixture().write(path, SMALL.vectors)
    return path


def test_vectors_are_the_same_each_time_and_no_query_is_among_them(path: Path, tmp_path: Path) -> None:
    vectors = np.load(path)
    assert vectors.shape == (3000, DIM) and vectors.dtype == np.float16
    lengths = np.linalg.norm(vectors.astype(float), axis=1)
    assert np.allclose(lengths, 1, atol=1e-3) and lengths.max() < LONGEST
    Mixture().write(tmp_path / "again.npy", 3000)
    assert (tmp_path / "again.npy").read_bytes() == path.read_bytes()
    assert np.array_equal(Mixture().rows(3000, 0), vectors)
    for other in (Mixture(seed=1).rows(3000, 0), Mixture().rows(3000, 1)):
        assert not (other == vectors).all(1).any()
    queries = Mixture().queries(50)
    assert (queries @ vectors.astype(np.float32).T).max() < 0.999, "a query that is in the file finds itself"


def test_nearest_vectors_are_nearer_than_others() -> None:
    rows = Mixture().rows(4000, 0).astype(np.float32)
    cosines = np.sort(Mixture().queries(50) @ rows.T, axis=1).mean(0)
    assert cosines[-1] > cosines[-100] + 0.2 > cosines[2000] + 0.3
    assert 0.05 < cosines.mean() < 0.25, "all share a direction"


def test_a_plain_read_misses_no_byte() -> None:
    vectors = np.zeros((500, DIM), dtype=np.float16)
    assert plain_read(vectors) == 0
    for row, column in ((0, 0), (250, 7), (499, DIM - 1)):
        changed = vectors.copy()
        changed[row, column] = 1
        assert plain_read(changed) != 0


def test_memory_of_a_step_is_its_peak() -> None:
    if rise_mb(lambda: None) is None:
        pytest.skip("the system does not say how much memory a program holds")
    assert 60 < rise_mb(lambda: np.ones(2**23).sum()) < 90
    assert rise_mb(lambda: None) < 8
    before, held = own_mb(), np.ones(2**23)
    assert 60 < own_mb() - before < 70 and held.all()


def test_judged_pages_are_no_candidates_and_the_plain_search_finds_them(around: surroundings.Surroundings) -> None:
    jobs = adapting(around, 50)
    assert len(jobs) == len(around.index.queries)
    for query, positives, negatives, places in jobs:
        assert len({*positives, *negatives}) == search_works.JUDGED and len(set(places.tolist())) == 50
        assert not {*positives, *negatives} & set(places.tolist())
        bm25 = around.index.bm25 @ query.words
        assert bm25[positives].mean() > bm25.mean() + bm25.std()
    assert all(len(places) == len(around.index.pages) - search_works.JUDGED for *_, places in adapting(around, 10**6))


def test_rows_of_adapting(around: surroundings.Surroundings) -> None:
    rows = adapt(around, SMALL)
    assert [row["implementation"].split(",")[0] for row in rows] == ["F+L and RM3", "F+L and RM3", "g", "g"]
    for row in rows:
        assert set(row) <= set(COLUMNS) and row["size"] == 130 and row["target_ms"] == 5
        assert 0 < row["low"] <= row["ms_per_query"] <= row["high"] < 1000


@pytest.mark.parametrize("fast", [FastIndex, FastColumns])
def test_nothing_is_timed_where_columns_differ(
    around: surroundings.Surroundings, monkeypatch: pytest.MonkeyPatch, fast: type
) -> None:
    right = fast.columns
    monkeypatch.setattr(fast, "columns", lambda *given: right(*given) + 1e-6)
    with pytest.raises(ResultsDiffer, match=f"are off by 1e-06; mend {fast.__module__}$"):
        adapt(around, SMALL)


def test_rows_of_the_scan(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = timing.Turns(1, seconds=[2.0, 0.5, 1.0], others=[0.0, 0.0, 0.0])
    monkeypatch.setattr(search_works, "interleave", lambda steps, *_: dict.fromkeys(steps, turns))
    rows = {row["implementation"]: row for row in search_works.scan(path, SMALL)}
    assert list(rows) == ["plain read", "scan, 1 at once", "scan, 32 at once"]
    for name, n in (("plain read", 1), ("scan, 1 at once", 1), ("scan, 32 at once", 32)):
        row = rows[name]
        assert set(row) <= set(COLUMNS) and (row["size"], row["queries_at_once"]) == (3000, n)
        found = [row["ms_per_query"], row["low"], row["high"]]
        assert found == pytest.approx([1000 / n, 500 / n, 2000 / n], rel=1e-3)
        assert row["gb_per_second"] == pytest.approx(3000 * 768 / 1e9, rel=1e-2), "of one pass, whoever shares it"
    assert rows["scan, 1 at once"]["recall_at_10"] == 1 and rows["scan, 1 at once"]["index_mb"] == 2


def test_nothing_is_timed_where_the_scan_is_not_exact(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = search_works.nearest
    monkeypatch.setattr(search_works, "nearest", lambda *given: (right(*given)[0][:, ::-1], None))
    with pytest.raises(ResultsDiffer, match="the scan found"):
        search_works.scan(path, SMALL)


def test_all_products_sorted_by_hand() -> None:
    vectors = np.array([[1, 0], [0, 1], [2, 2], [1, 0], [-1, 3]], dtype=np.float16)
    found = by_definition(vectors, np.array([[1, 0], [0, 1]], dtype=np.float32), 3)
    assert found.tolist() == [[2, 0, 3], [4, 2, 1]]


def test_without_the_library_the_scan_is_measured_alone(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(search_works, "USEARCH", "no_such_package")
    rows = search_works.index(path, SMALL)
    assert [row["implementation"] for row in rows] == ["scan, 1 at once", "scan, 32 at once"]
    assert {row["size"] for row in rows} == {2000} and all(row["expansion"] is None for row in rows)
    said = capsys.readouterr().out
    assert "left out: no_such_package cannot be imported (No module named" in said and "pip install" in said


def test_rows_of_the_index(path: Path) -> None:
    pytest.importorskip("usearch")
    rows = search_works.index(path, SMALL)
    assert [row["expansion"] for row in rows] == [None, None, None, *EXPANSIONS]
    exact, *graph = rows[2:]
    assert exact["recall_at_10"] == 1 and exact["queries_at_once"] == 32
    recalls = [row["recall_at_10"] for row in graph]
    assert 0.5 < recalls[0] <= recalls[-1] and recalls[-1] > 0.95 and len(set(recalls)) > 1
    assert all(row["build_s"] == exact["build_s"] > 0 and set(row) <= set(COLUMNS) for row in graph)
    vectors = np.load(path)[:500]
    assert (Usearch(vectors, 1).nearest(vectors[:20], 1)[:, 0] == np.arange(20)).all()


def test_measuring_some_works_keeps_the_rows_of_the_others(tmp_path: Path) -> None:
    path = tmp_path / "search.csv"
    first = merged(
        [{"work": WORKS["index"], "implementation": "a", "expansion": 16, "size": 5, "index_mb": None}], path
    )
    assert list(first.columns) == list(COLUMNS)
    first.to_csv(path, index=False)
    again = merged([{"work": WORKS["adapt"], "implementation": "b", "size": 7}], path)
    assert again["implementation"].tolist() == ["b", "a"] and again["expansion"].tolist() == [pd.NA, 16]
    again.to_csv(path, index=False)
    text = path.read_text().splitlines()
    assert ",a,16,5," in text[2] and "16.0" not in text[2]
    assert merged([{"work": WORKS["index"], "implementation": "c"}], path)["implementation"].tolist() == ["b", "c"]


def test_the_recorded_table_has_the_columns() -> None:
    path = ROOT / "results" / "bench" / "search.csv"
    if not path.is_file():
        pytest.skip("not measured yet; `make bench` writes it")
    table = pd.read_csv(path)
    assert list(table.columns) == list(COLUMNS) and set(table["work"]) <= set(WORKS.values())
    scans = table[table["implementation"].str.startswith("scan")]
    assert (scans["recall_at_10"] == 1).all() and (table["low"] <= table["high"]).all()


def test_the_default_sizes_are_those_that_can_be_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr("sys.argv", ["search_speed", "--help"])
    with pytest.raises(SystemExit, match="0"):
        search_speed.main()
    asked = capsys.readouterr().out
    assert all(f"--{name}" in asked for name in ("works", "vectors", "indexed", "rounds", "seconds", "threads"))

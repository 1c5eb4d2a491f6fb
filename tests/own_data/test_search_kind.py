"""The kind of data that is a collection to search, from the folder to the advice and to the ranking of new pages."""

from __future__ import annotations

import json

import numpy as np
import pytest
from toy_own_search import LIBRARIES, in_place_of_libraries, written

from metastudy.errors import DataError, ParameterError
from metastudy.feedback.learned_columns import COLUMNS
from metastudy.methods import CHUNK
from metastudy.own_data import judging, search
from metastudy.own_data.kind import checked
from metastudy.own_data.running import run
from metastudy.own_data.search import SearchKind, SearchOptions, line_up, the_encoder
from metastudy.own_data.stored_ranker import LibraryRanker, StoredRanker
from metastudy.search import Searcher
from toy_collections import write

HEAD = "query-id\tcorpus-id\tscore\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    in_place_of_libraries(monkeypatch)
    return written(tmp_path)


def options(path, **values) -> SearchOptions:
    return checked(SearchOptions, {"path": path, **values})


def test_a_comparison_from_the_folder_to_the_advice(folder, monkeypatch):
    monkeypatch.setattr(search, "QUICK_STEPS", 2)
    monkeypatch.setattr(LibraryRanker, "steps", 2)
    monkeypatch.setattr("metastudy.methods.N_VALIDATION", 4)
    prepared = SearchKind().prepare(options(folder, shots=[1, 2], quick=True, max_queries=8))
    specs = prepared.family.freeze(np.random.default_rng(0))
    assert len(specs) == prepared.labelled == prepared.facts["queries compared"] == 8 < CHUNK
    scores, took = run(prepared, specs, 0, 1, say=lambda line: None)
    names = [m.name for m in prepared.methods]
    assert names == list(took) and names[0] == prepared.reference == "none" and names[-1] == "g"
    assert set(prepared.classical) < set(names) and len(set(names)) == len(names) == 16
    table = judging.table(prepared, scores)
    assert len(table) == 2 * len(names) and table["mean"].between(0, 1).all()
    assert table.loc[table["method"] == "none", "verdict"].eq("reference").all()
    feedback_helps = table.set_index(["shots", "method"])["mean"]
    assert feedback_helps[2, "F+L"] > feedback_helps[2, "none"], "words of the topic are in the judged pages"
    advice = judging.advice(prepared, scores)
    assert [a.shots for a in advice] == [1, 2] and "judged page of a query: " in advice[0].sentence


def test_what_is_told(folder):
    prepared = SearchKind().prepare(options(folder, shots=[1, 4], max_queries=10))
    assert prepared.facts["pages"] == 130 and prepared.facts["part"] == "test" and prepared.labelled == 10
    assert prepared.facts["looked at"] == 30 and prepared.facts["judged queries"] == 32
    assert prepared.facts["queries compared"] + sum(v for k, v in prepared.facts.items() if "left out: none" in k) <= 30
    assert isinstance(prepared.methods[-1], StoredRanker) and "search_g.safetensors" in prepared.notes[0]
    assert "cranfield" in prepared.notes[0] and len(prepared.notes) == 4 and prepared.config.steps == search.STEPS
    assert prepared.family.folds()[0].validation == (LIBRARIES[0],)
    assert not list(folder.parent.glob("compared*")), "nothing is written"


def test_without_its_file_g_is_trained_on_the_libraries(folder, monkeypatch):
    monkeypatch.setattr(search, "MODEL", "results/full/models/no.safetensors")
    methods, notes = line_up(None)
    assert isinstance(methods[-1], LibraryRanker) and methods[-1].columns == COLUMNS and methods[-1].trainings == 3
    assert "no.safetensors is missing: g was trained on the libraries alone" in notes[0]
    assert line_up(None, quick=True)[0][-1].trainings == 1


def test_a_file_of_other_vectors_is_refused(monkeypatch):
    monkeypatch.setattr(search, "MODEL", search.MODEL_MINILM)
    with pytest.raises(DataError, match="search_g_minilm.safetensors was trained with other vectors; restore it"):
        line_up(None)


def test_minilm_is_only_used_where_it_is_installed(folder, monkeypatch):
    monkeypatch.setattr(search, "find_spec", lambda name: None)
    monkeypatch.delenv(search.VARIABLE, raising=False)
    with pytest.raises(DataError, match="--encoder minilm needs the extra `search`, which is not installed"):
        SearchKind().prepare(options(folder, encoder="minilm"))
    monkeypatch.setattr(search, "find_spec", lambda name: name if name == "sentence_transformers" else None)
    with pytest.raises(DataError, match="which is not installed"):
        the_encoder(options(folder, encoder="minilm"))
    monkeypatch.setenv(search.VARIABLE, "somewhere")
    assert the_encoder(options(folder, encoder="minilm")).name == "minilm"
    assert the_encoder(options(folder)) is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"shots": [0]}, "--shots"),
        ({"shots": [21]}, r"^--shots 21: input should be less than or equal to 20$"),
        ({"shots": []}, "--shots"),
        ({"max_queries": 5}, "--max-queries 5"),
        ({"encoder": "bert"}, "--encoder .?bert"),
        ({"parts": "dev"}, "unknown option 'parts'; did you mean 'part'"),
    ],
)
def test_options_out_of_range_are_refused(tmp_path, values, message):
    with pytest.raises(ParameterError, match=message):
        options(tmp_path, **values)


def test_two_names_of_one_number_are_refused(folder):
    with pytest.raises(ParameterError, match="--draws and --max-queries say the same here"):
        SearchKind().prepare(options(folder, draws=8, max_queries=8))


def test_a_folder_called_as_a_library_is_refused(folder):
    other = folder.rename(folder.parent / LIBRARIES[1])
    with pytest.raises(DataError, match="the folder is called scipy, as one of the earlier collections"):
        SearchKind().prepare(options(other))


def asked(folder, method, new=None):
    found = SearchKind().ask(options(folder), method, new)
    fitted = found.method.fit(found.family, found.family.folds()[0], found.config, 0)
    return found, found.table(fitted.predict(found.tasks, found.shots))


def judged(folder, rows) -> None:
    write(folder, {"qrels/test.tsv": HEAD + "".join(f"{q}\t{p}\t{g}\n" for q, p, g in rows)})


def test_where_all_pages_are_candidates_g_ranks_as_the_searcher_does(folder):
    judged(folder, [("3", "3", 1), ("3", "4", 0), ("3", "11", 2), ("5", "13", 1), ("6", "7", 0), ("6", "8", 0)])
    found, table = asked(folder, "g")
    assert found.shots in found.family.shots and list(table.columns) == ["query", "rank", "page", "title", "score"]
    assert table.groupby("query").size().to_dict() == dict.fromkeys("356", 100)
    searcher = Searcher.of(folder)
    queries = {row["_id"]: row["text"] for row in map(json.loads, (folder / "queries.jsonl").open())}
    feedback = {"3": {"3": 1, "4": 0, "11": 2}, "5": {"13": 1}, "6": {"7": 0, "8": 0}}
    for query, pages in feedback.items():
        expected, own = searcher.search(queries[query], pages, 100), table[table["query"] == query]
        np.testing.assert_allclose(own["score"], [r.score for r in expected], atol=1e-8)  # 6: untuned, for both
        distinct = own[~own["score"].round(7).duplicated(keep=False)]  # of equal scores, either may be ahead
        by_rank = {r.rank: r.id for r in expected}
        assert len(distinct) > 80 and distinct["page"].tolist() == [by_rank[rank] for rank in distinct["rank"]]
        assert own["rank"].tolist() == list(range(1, 101)) and not set(own["page"]) & set(pages)


def test_a_network_ranks_too_and_only_what_is_named(folder, monkeypatch):
    monkeypatch.setattr(search, "STEPS", 2)
    judged(folder, [("3", "3", 1), ("5", "13", 1), ("5", "4", 0), ("6", "7", 0)])
    write(folder, {"some.txt": "5\n\n3\n5\n", "some.jsonl": '{"_id": "5"}\n'})
    _, table = asked(folder, "prototypes", folder / "some.txt")
    assert list(dict.fromkeys(table["query"])) == ["5", "3"] and np.isfinite(table["score"]).all()
    assert (table.groupby("query")["score"].diff().dropna() <= 0).all()
    _, one = asked(folder, "prototypes", folder / "some.jsonl")
    assert one["page"].tolist() == table[table["query"] == "5"]["page"].tolist()


def test_what_cannot_be_asked_is_refused(folder):
    judged(folder, [("3", "3", 1)])
    write(folder, {"new.txt": "3\n4\n", "wrong.txt": "3\n\n311\n", "none.txt": "\n"})
    with pytest.raises(DataError, match=r"query '4' has no judged page in qrels/test.tsv.*judge a result"):
        SearchKind().ask(options(folder), "g", folder / "new.txt")
    with pytest.raises(DataError, match=r"wrong.txt line 3: query '311' is none of queries.jsonl.*did you mean '31'"):
        SearchKind().ask(options(folder), "g", folder / "wrong.txt")
    with pytest.raises(DataError, match=r"none.txt holds no query"):
        SearchKind().ask(options(folder), "g", folder / "none.txt")
    with pytest.raises(ParameterError, match=r"--method 'F\+l' is none of none, bm25.*did you mean 'F\+L'"):
        SearchKind().ask(options(folder), "F+l", None)


def test_ids_with_spaces_and_pages_without_text_survive(folder):
    rows = [json.loads(line) for line in (folder / "corpus.jsonl").open()]
    rows = [row | {"_id": f"page {row['_id']}|%7C"} for row in rows]
    rows[20] |= {"title": "", "text": " "}
    write(folder, {"corpus.jsonl": "".join(json.dumps(row) + "\n" for row in rows)})
    judged(folder, [("3", "page 3|%7C", 1)])
    _, table = asked(folder, "none")
    assert set(table["page"]) < {row["_id"] for row in rows} - {"page 20|%7C", "page 3|%7C"}

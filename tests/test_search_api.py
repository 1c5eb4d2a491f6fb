"""Search in people's own pages: ranked as in the study, explained, and documented behaviour for bad input."""

from __future__ import annotations

import pickle
import resource
import sys
import time
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metastudy import ranker_file, search
from metastudy.encoders import TfidfSvd, normalise, terms
from metastudy.errors import DataError, ParameterError
from metastudy.families.base import Fold
from metastudy.families.candidates import to_search
from metastudy.families.collection import LSA_DIM, bm25_scores
from metastudy.feedback import index as page_index
from metastudy.feedback import surroundings
from metastudy.feedback.components import components
from metastudy.feedback.learned_columns import COLUMNS, PLAIN, of_task
from metastudy.feedback.ranker import Weights
from metastudy.feedback.rocchio import NONE, combined, matrix
from metastudy.minilm import MiniLM
from metastudy.project import Project
from metastudy.ranker_file import TrainedRanker
from metastudy.search import MODEL, MODEL_MINILM, Searcher, load_g
from metastudy.search_results import BOTH, MEANINGS, OTHERS, QUERY, RELEVANT, Result, Results, source
from toy_collections import word, write
from toy_ranker import SOURCES, in_place_of_public_collections, toy_model

TOY = SOURCES["cranfield"]
PAGES = {i: (d.title, d.text) for i, d in TOY.documents.items()}
FEEDBACK = {"3": True, "4": False, "11": 2, "0": 0.0}
SMALL = {
    "wing": ("Wings", "A wing stalls when the angle of attack is too large."),
    "heat": ("Heat", "Heat flows through the skin of a wing at high speed."),
    "flow": ("Flow", "The flow around a wing is laminar, then turbulent."),
    "fish": ("Fish", "Fish swim in cold water and eat small animals."),
    "cook": ("Cooking", "Fish is cooked in hot water or fried in oil."),
}


@dataclass(frozen=True)
class Letters:
    """An encoder that counts letters: it reads any text, also words that no page has, and makes something of none."""

    fingerprint: str = "letters"
    name: str = "letters"
    dim: int = 27

    def __call__(self, texts):
        letters = "abcdefghijklmnopqrstuvwxyz"
        return normalise(np.array([[0.5, *(t.lower().count(c) for c in letters)] for t in texts]))


@pytest.fixture(scope="module")
def searcher():
    return Searcher.of(PAGES, model=toy_model())


@pytest.fixture(scope="module")
def small():
    return Searcher.of(SMALL, model=toy_model())


def test_words_and_vectors_are_those_of_the_study(searcher):
    expected = page_index.of_arrays("toy", page_index.build(to_search(TOY)))
    for name in ("pages", "dense", "lsa"):
        assert np.array_equal(getattr(searcher.index, name), getattr(expected, name))
    for name in ("counts", "bm25", "tfidf"):
        assert np.array_equal(getattr(searcher.index, name).toarray(), getattr(expected, name).toarray())
    for query, text in TOY.queries.items():
        found, own = searcher._asked(text), expected.query(query)
        assert all(np.array_equal(getattr(found, name), getattr(own, name)) for name in ("words", "dense", "lsa"))


@pytest.mark.parametrize("shots", [1, 4])
def test_pages_are_ranked_as_in_the_study(searcher, monkeypatch, shots):
    family = in_place_of_public_collections(monkeypatch)
    fold = Fold("all", ("cisi",), ("cisi",), ("cranfield",))
    for spec in [s for s in family.freeze(np.random.default_rng(0)) if s.family == "cranfield"][:5]:
        task = family.build(spec, shots, fold)
        x, positives = of_task(family, task)
        scores = toy_model().weights.scores(x, shots, positives)
        query, judged = task.query_ids[0].split("|")[0], spec.support[0]
        relevant = TOY.qrels[query]
        found = searcher.search(TOY.queries[query], {p: relevant.get(p, 0) for p in judged[:shots]}, n=len(PAGES))
        own = {r.id: r.score for r in found if r.id not in judged[shots:]}
        expected = {row.split("|")[1]: s for row, s in zip(task.query_ids, scores.tolist(), strict=True)}
        assert own.keys() >= expected.keys() and len(expected) > 100
        assert [own[page] for page in expected] == pytest.approx(list(expected.values()), abs=1e-8)
        assert not set(found.ids) & set(judged[:shots]) and np.ptp(list(expected.values())) > 1


def test_without_feedback_both_scores_count_the_same(searcher):
    """BM25 of bm25s and the cosine of latent semantic vectors, each standardised over all pages."""
    pages = [f"{a} {b}" for a, b in zip(to_search(TOY).summaries, to_search(TOY).bodies, strict=True)]
    query, vectors = TOY.queries["5"], TfidfSvd(pages, LSA_DIM)
    columns = bm25_scores([terms(p) for p in pages], [terms(query)])[0], (vectors(pages) @ vectors([query]).T)[:, 0]
    expected = sum((c - c.mean()) / c.std() for c in columns)
    found = searcher.search(query, n=500)
    assert len(found) == found.searched == len(PAGES) and found.judged == {} and not found.note
    scores = {r.id: r.score for r in found}
    assert [scores[i] for i in PAGES] == pytest.approx(expected.tolist(), abs=1e-4)
    assert [r.score for r in found] == sorted(scores.values(), reverse=True)
    assert [r.rank for r in found] == [r.before for r in found] == list(range(1, len(PAGES) + 1))
    assert all(r.why.keys() == {"bm25", "dense"} for r in found)
    assert searcher.search(query).found == found[:10], "ten by default"


def test_judged_pages_are_no_results_and_the_rest_moves(searcher):
    query = TOY.queries["3"]
    found = searcher.search(query, FEEDBACK, n=500)
    assert found.judged == {"3": True, "4": False, "11": True, "0": False}
    assert sorted([*found.ids, *FEEDBACK]) == sorted(PAGES) and found.searched == len(PAGES) - 4
    first = [i for i in searcher.search(query, n=500).ids if i not in FEEDBACK]
    assert [i for _, i in sorted((r.before, r.id) for r in found)] == first, "ranks of before count no judged page"
    assert [r.rank for r in found] == list(range(1, len(found) + 1)) and found.ids != first
    topic = [int(i) % 8 == 3 for i in found.ids[:10]]
    assert sum(topic) > sum(int(i) % 8 == 3 for i in first[:10]), "more of what the relevant pages are about"


def test_contributions_add_up_to_the_score(searcher):
    for feedback in ({}, FEEDBACK, {"4": False}):
        for r in searcher.search(TOY.queries["3"], feedback):
            assert sum(r.why.values()) == pytest.approx(r.score, abs=1e-7)
            assert sum(r.sources.values()) == pytest.approx(r.score, abs=1e-7)
            sizes = [abs(v) for v in r.why.values()]
            assert sizes == sorted(sizes, reverse=True)
    with_feedback = searcher.search(TOY.queries["3"], FEEDBACK)[0]
    assert set(with_feedback.why) == set(COLUMNS) and list(with_feedback.sources) == [QUERY, RELEVANT, BOTH, OTHERS]


def test_every_column_has_a_meaning_and_a_source():
    assert set(MEANINGS) == set(COLUMNS)
    sides = {QUERY: 5, RELEVANT: 11, BOTH: 4, OTHERS: 4}
    assert {side: sum(source(c) == side for c in COLUMNS) for side in sides} == sides
    assert {source(c) for c in ("bm25", "late", "title")} == {QUERY} and source("late_positive") == RELEVANT


def test_order_of_feedback_and_kind_of_grade_do_not_matter(searcher):
    query, expected = TOY.queries["3"], searcher.search(TOY.queries["3"], FEEDBACK, n=50)
    same = {"11": np.float32(0.5), "4": -1, "0": np.bool_(False), "3": 7}
    for feedback in (same, pd.Series(same), pd.Series({"3": True, "4": False, "11": True, "0": False})):
        found = searcher.search(query, feedback, n=50)
        assert found.ids == expected.ids
        assert [r.score for r in found] == pytest.approx([r.score for r in expected], abs=1e-8)


def test_every_form_of_pages_gives_the_same(tmp_path):
    mapping = {i: f"{title} {text}" for i, (title, text) in SMALL.items()}
    rows = [{"_id": i, "title": title, "text": text} for i, (title, text) in SMALL.items()]
    write(tmp_path, {"corpus.jsonl": "".join(pd.Series(row).to_json() + "\n" for row in rows)})
    frame = pd.DataFrame(rows).rename(columns={"_id": "id"})
    forms = [SMALL, frame, frame.set_index("id"), tmp_path, str(tmp_path), {i: list(p) for i, p in SMALL.items()}]
    found = [Searcher.of(form, model=toy_model()).search("wing stall", {"flow": 1}) for form in forms]
    assert all(one == found[0] for one in found) and set(found[0].ids) == {"wing", "heat", "fish", "cook"}
    assert {r.id: r.title for r in found[0]}["wing"] == "Wings"
    for form in (mapping, pd.Series(mapping), frame.assign(text=list(mapping.values())).drop(columns="title")):
        one = search.search("wing stall", form, {"flow": 1}, model=toy_model(), n=2)
        assert len(one) == 2 and one.judged == {"flow": True}
        line = {r.id: r.title for r in search.search("wing", form)}["wing"]
        assert line == "Wings A wing stalls when the angle of attack is too large.", "its first words"


def test_ids_may_be_numbers(small):
    found = search.search("wing stall", list_of(SMALL), {2: True}, model=toy_model())
    assert found.ids == [list(SMALL).index(i) for i in small.search("wing stall", {"flow": True}).ids]
    frame = pd.DataFrame({"text": ["wing flow", "heat", "fish"]}, index=[7, 8, 9])
    found = Searcher.of(frame, model=toy_model()).search("wing", {np.int64(8): True})
    assert set(found.ids) == {7, 9} and all(type(i) is int for i in found.ids)
    mixed = Searcher.of({1: "wing", "1": "fish"}, model=toy_model())
    assert mixed.search("wing").ids == [1, "1"] and mixed.search("fish", {1: False}).ids == ["1"]


def list_of(pages):
    return dict(enumerate(pages.values()))


def test_missing_cells_are_empty_texts():
    frame = pd.DataFrame({"title": ["Wings", None, np.nan], "text": [None, "fish swim", pd.NA]}, index=list("abc"))
    searcher = Searcher.of(frame)
    assert searcher.pages.titles == ("Wings", "", "") and searcher.pages.texts == ("", "fish swim", "")
    assert searcher.search("wings").ids == ["a", "b"], "c has no text"


# --- bad input ---


@pytest.mark.parametrize(
    ("pages", "error", "message"),
    [
        (None, ParameterError, "pages is a NoneType; expected a mapping of ids to texts or to pairs"),
        (["wing", "fish"], ParameterError, r"pages is a list; expected .*: of a list, dict\(enumerate\(...\)\)"),
        (3, ParameterError, "pages is a int"),
        ({"wing"}, ParameterError, "pages is a set"),
        ("no such folder", DataError, "pages = 'no such folder' is no folder; expected a mapping"),
        ({}, DataError, "there are no pages; expected at least one"),
        (pd.DataFrame({"text": []}), DataError, "there are no pages"),
        (pd.DataFrame({"body": ["wing"]}), ParameterError, "has columns 'body'; expected one called 'text'"),
        (pd.DataFrame([["a", "b"]], columns=["text", "text"]), ParameterError, "two columns called 'text'"),
        (pd.DataFrame({"text": ["wing", 3.5]}), ParameterError, "the text of page 1 is a float; expected a string"),
        (pd.DataFrame({"text": ["wing"], "title": [7]}), ParameterError, "the title of page 0 is a int"),
        (pd.DataFrame({"text": ["a", "b"]}, index=["x", "x"]), DataError, "page id 'x' comes twice; expected each id"),
        (pd.DataFrame({"text": ["a", "b"], "id": [4, 4]}), DataError, "page id 4 comes twice"),
        (pd.Series(["a", "b"], index=["x", "x"]), DataError, "page id 'x' comes twice"),
        (
            pd.DataFrame({"text": ["a", "b"], "id": ["x", None]}),
            ParameterError,
            "page id .* is a .*; expected a string",
        ),
        ({"a": "wing", 1.5: "fish"}, ParameterError, "page id 1.5 is a float; expected a string or a whole number"),
        ({True: "wing"}, ParameterError, "page id True is a bool"),
        (
            {"a": "wing", "b": None},
            ParameterError,
            r"page 'b' is a NoneType; expected a text or a pair \(title, text\)",
        ),
        ({"a": b"wing"}, ParameterError, "page 'a' is a bytes"),
        ({"a": float("nan")}, ParameterError, "page 'a' is a float"),
        ({"a": ("wing", "stall", "x")}, ParameterError, "page 'a' is a tuple of 3"),
        ({"a": ("wing", 3)}, ParameterError, "the text of page 'a' is a int; expected a string"),
        ({"a": "", "b": " \n"}, DataError, "none of the 2 pages has a word of the letters a to z"),
        ({"a": "the of 12", "b": "今天天气"}, DataError, "none of the 2 pages has a word"),
    ],
)
def test_pages_that_cannot_be_read_are_named(pages, error, message):
    with pytest.raises(error, match=message):
        Searcher.of(pages)


def test_errors_of_a_folder_name_the_line(tmp_path):
    write(tmp_path, {"corpus.jsonl": '{"_id": "a", "text": "wing"}\n{"_id": "a", "text": "fish"}\n'})
    with pytest.raises(DataError, match="corpus.jsonl line 2: id 'a' stands on line 1 too"):
        Searcher.of(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None,), "query is a NoneType; expected a string"),
        ((["wing"],), "query is a list"),
        ((b"wing",), "query is a bytes"),
        ((float("nan"),), "query is a float"),
        (("",), "query is blank; expected words, or a relevant page in feedback"),
        ((" \n\t",), "query is blank"),
        (("", {"wing": False}), "query is blank"),
        (("wing", ["heat"]), r"feedback is a list; expected a mapping .*dict.fromkeys\(ids, True\)"),
        (("wing", "heat"), "feedback is a str"),
        (("wing", {"bird": True}), r"page 'bird', which is none of the 5 pages \('wing', 'heat', 'flow', ...\); give"),
        (("wing", {0: True}), "page 0, which is none of the 5 pages"),
        (("wing", {("wing",): True}), "which is none of the 5 pages"),
        (("wing", {"heat": float("nan")}), "feedback of page 'heat' is nan; expected True, False or a finite grade"),
        (("wing", {"heat": float("inf")}), "feedback of page 'heat' is inf"),
        (("wing", {"heat": None}), "feedback of page 'heat' is None; .*: leave out what nobody judged"),
        (("wing", {"heat": "yes"}), "feedback of page 'heat' is 'yes'"),
        (("wing", {"heat": [1]}), r"feedback of page 'heat' is \[1\]"),
        (("wing", pd.Series({"heat": np.nan})), "feedback of page 'heat' is nan"),
        (("wing", pd.Series([1, 0], index=["heat", "heat"])), "feedback names page 'heat' twice; expected once"),
        (("wing", None, 0), "n = 0; expected a number of results, 1 or more"),
        (("wing", None, True), "n = True"),
        (("wing", None, 2.5), "n = 2.5"),
    ],
)
def test_what_cannot_be_asked_is_named(small, arguments, message):
    with pytest.raises(ParameterError, match=message):
        small.search(*arguments)


def test_an_id_of_the_other_type_is_pointed_out():
    searcher = Searcher.of({1: "wing", "2": "fish"})
    with pytest.raises(ParameterError, match="page '1', which is none of the 2 pages .* there is 1, of another type"):
        searcher.search("wing", {"1": True})
    with pytest.raises(ParameterError, match="page 2, which .* there is '2', of another type: give that"):
        searcher.search("wing", {2: True})


def test_a_query_without_a_known_word_finds_nothing_and_says_so(small):
    for query in ("zebra", "the of and", "12 345", "???", "天气"):
        for feedback in (None, {"wing": False}):
            found = small.search(query, feedback)
            assert len(found) == 0 and list(found) == [] and found.ids == [] and len(found.frame()) == 0
            assert "no page has a word of the query" in found.note and found.note in repr(found)
    assert small.search("zebra wing").ids == small.search("wing").ids, "an unknown word is as if not there"


def test_a_relevant_page_stands_in_for_a_query(small):
    for query in ("", " ", "zebra"):
        found = small.search(query, {"fish": True})
        assert found.ids[0] == "cook" and len(found) == 4 and found[0].score > found[1].score
        assert not any(found[0].why[name] for name in ("bm25", "dense", "lsa", "title"))


def test_where_no_judged_page_is_relevant_ranks_are_those_without_feedback(small):
    first = small.search("fish in water", n=9)
    found = small.search("fish in water", {"cook": False, "wing": 0}, n=9)
    assert found.ids == [i for i in first.ids if i not in ("cook", "wing")] and found.judged == {
        "cook": False,
        "wing": False,
    }
    assert {r.id: (r.score, r.why) for r in found} == {i: s for i, s in scores_of(first).items() if i in found.ids}
    assert [r.before for r in found] == [r.rank for r in found] == [1, 2, 3]


def scores_of(results):
    return {r.id: (r.score, r.why) for r in results}


def test_where_all_judged_pages_are_relevant_nothing_is_missing(small):
    found = small.search("fish in water", {"cook": True, "fish": True})
    assert sorted(found.ids) == ["flow", "heat", "wing"] and found[0].sources[OTHERS] == 0
    everything = small.search("fish", dict.fromkeys(SMALL, True))
    assert len(everything) == 0 and everything.note == "no page with text is left that nobody judged"


def test_pages_without_text_are_never_found_and_teach_nothing(small):
    """As if they were not there, but for the means over all pages."""
    blank = {"empty": ("", ""), "space": ("\n", "  ")}
    searcher = Searcher.of({**SMALL, **blank}, model=toy_model())
    assert searcher.search("wing", n=9).ids == small.search("wing", n=9).ids
    assert searcher.search("wing").searched == 5
    expected, feedback = searcher.search("wing", {"heat": True}), {"heat": True, "empty": True, "space": False}
    assert searcher.search("wing", feedback).found == expected.found
    assert searcher.search("wing", {"empty": True}).found == searcher.search("wing").found
    with pytest.raises(ParameterError, match="query is blank"):
        searcher.search("", {"empty": True})
    assert Searcher.of({"a": ("Wings", "")}).search("wing").ids == ["a"], "a title is text"
    read = Searcher.of({**SMALL, **blank}, encoder=Letters(), model=TrainedRanker(toy_model().weights, "letters"))
    assert sorted(read.search("wing", n=9).ids) == sorted(SMALL)


def test_a_collection_of_one_page():
    searcher = Searcher.of({"only": "Fish swim."}, model=toy_model())
    for feedback in (None, {}):
        (found,) = searcher.search("fish", feedback)
        assert (found.id, found.rank, found.before, found.score) == ("only", 1, 1, 0)
    for relevant in (True, False):
        judged = searcher.search("fish", {"only": relevant})
        assert len(judged) == 0 and judged.note == "no page with text is left that nobody judged"
    assert "no page has a word" in searcher.search("wing").note


@pytest.mark.parametrize("second", ["Fish eat fish.", "Wings stall.", "Fish swim."])
def test_a_collection_of_two_pages(second):
    """With words in common, with none (so that there are no latent semantic vectors), and the same text twice."""
    searcher = Searcher.of({"a": "Fish swim.", "b": second}, model=toy_model())
    assert searcher.search("swim").ids == ["a", "b"], "the first, where both are the same"
    for relevant in (True, False):
        (found,) = searcher.search("swim", {"a": relevant})
        assert found.id == "b" and found.before == 1 and np.isfinite(found.score)


def test_the_same_text_twice_has_the_same_score(searcher):
    pages = {**PAGES, "again": PAGES["19"], "third": PAGES["19"]}
    both = Searcher.of(pages, model=toy_model())
    for feedback in (None, FEEDBACK):
        found = both.search(TOY.queries["3"], feedback, n=200)
        same = [r for r in found if r.id in ("19", "again", "third")]
        assert [r.id for r in same] == ["19", "again", "third"] and len({r.score for r in same}) == 1
        assert [r.rank - same[0].rank for r in same] == [0, 1, 2]


WORDS = st.lists(st.sampled_from(["fish", "wing", "heat", "the", "7", "wäter", "…", "swim"]), max_size=5).map(" ".join)


@pytest.mark.filterwarnings("error")
@given(
    st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=9),
    WORDS,
    st.dictionaries(st.integers(0, 8), st.sampled_from([True, False, 0, 1, 3, -1, 0.5]), max_size=5),
    st.integers(1, 12),
    st.booleans(),
)
@settings(deadline=None, max_examples=150)
def test_whatever_small_collection_is_searched(pages, query, feedback, n, encoded):
    texts = dict(enumerate(pages))
    model = TrainedRanker(toy_model().weights, "letters") if encoded else toy_model()
    if not any(terms(f"{title} {text}") for title, text in pages):
        with pytest.raises(DataError, match="has a word"):
            Searcher.of(texts)
        return
    searcher = Searcher.of(texts, Letters() if encoded else None, model)
    feedback = {i: grade for i, grade in feedback.items() if i in texts}
    written = {i for i, (title, text) in texts.items() if title.strip() or text.strip()}
    if not query.strip() and not any(grade > 0 for i, grade in feedback.items() if i in written):
        with pytest.raises(ParameterError, match="blank"):
            searcher.search(query, feedback, n)
        return
    found = searcher.search(query, feedback, n)
    assert bool(found.note) == (len(found) == 0)
    assert found.note or len(found) == min(n, len(written - feedback.keys()))
    assert set(found.ids) <= written - feedback.keys()
    scores = [r.score for r in found]
    assert np.isfinite(scores).all() and scores == sorted(scores, reverse=True)
    assert [r.rank for r in found] == list(range(1, len(found) + 1))
    assert len({r.before for r in found}) == len(found)
    assert all(1 <= r.before <= found.searched for r in found)
    for r in found:
        assert sum(r.why.values()) == pytest.approx(r.score, abs=1e-6)
    assert all(str(r.id) in text for text in (repr(found), found._repr_html_()) for r in found)


# --- encoders and models ---


def test_an_encoder_makes_the_dense_vectors():
    model = TrainedRanker(toy_model().weights, "letters")
    searcher = Searcher.of(SMALL, encoder=Letters(), model=model)
    assert np.allclose(searcher.index.dense, Letters()(searcher.pages.pages)) and searcher.index.lsa.shape != (5, 27)
    assert [r.why["dense"] for r in searcher.search("wing")] != [
        r.why["dense"] for r in Searcher.of(SMALL).search("wing")
    ]
    found = searcher.search("xylophone")
    assert len(found) == 5 and found[0].why["bm25"] == 0 and found[0].why["dense"] > 0, "an encoder reads any word"
    assert found == search.search("xylophone", SMALL, encoder=Letters(), model=model)
    more_like = searcher.search("", {"fish": True})
    assert {r.why["dense"] for r in more_like} == {0}, "nothing is asked"
    assert repr(searcher) == f"Searcher(5 pages, {len(searcher.words.vocabulary_)} words, encoder letters)"


def test_an_encoder_that_gives_something_else_is_refused():
    for wrong in (lambda t: np.zeros(len(t)), lambda t: np.zeros((1, 3)), lambda t: np.full((len(t), 3), np.nan)):
        wrong.fingerprint = "wrong"
        with pytest.raises(
            DataError, match=r"the encoder made \(.*\) of 5 texts; expected finite numbers, a row a text"
        ):
            Searcher.of(SMALL, encoder=wrong)
    for nothing in ("minilm", 3, len):
        with pytest.raises(ParameterError, match=r"encoder is a .*; expected None, or one such as MiniLM\(\)"):
            Searcher.of(SMALL, encoder=nothing)


def test_a_model_is_for_one_encoder(tmp_path):
    path = tmp_path / "g.safetensors"
    ranker_file.write(path, toy_model())
    expected = Searcher.of(SMALL, model=toy_model()).search("wing", {"heat": True})
    for model in (path, str(path)):
        assert Searcher.of(SMALL, model=model).search("wing", {"heat": True}) == expected
    with pytest.raises(
        ParameterError, match="was trained with no encoder, and the pages are read with encoder letters"
    ):
        Searcher.of(SMALL, encoder=Letters(), model=path)
    with pytest.raises(
        ParameterError, match="was trained with encoder 0123456789ab, and the pages are read with no enc"
    ):
        Searcher.of(SMALL, model=TrainedRanker(toy_model().weights, "0123456789abcdef"))
    with pytest.raises(ParameterError, match="model is a Weights; expected a path, a TrainedRanker, or None"):
        Searcher.of(SMALL, model=toy_model().weights)
    with pytest.raises(DataError, match="h.safetensors is missing; expected a search model"):
        Searcher.of(SMALL, model=tmp_path / "h.safetensors")


def test_the_projects_own_g_is_read_when_it_is_needed(tmp_path, monkeypatch):
    project = Project(tmp_path, tmp_path / "results")
    monkeypatch.setattr(search.Project, "at", lambda: project)
    searcher = Searcher.of(SMALL)
    assert searcher.search("wing") and searcher.search("wing", {"fish": False}), "nothing learned is needed"
    with pytest.raises(DataError, match=f"{MODEL} is missing; `make reproduce PROFILE=full` makes it"):
        searcher.search("wing", {"heat": True})
    assert "_around" not in vars(searcher), "found out before anything takes long"
    ranker_file.write(project.path(MODEL), toy_model())
    ranker_file.write(project.path(MODEL_MINILM), TrainedRanker(toy_model().weights, MiniLM().fingerprint))
    expected = Searcher.of(SMALL, model=toy_model()).search("wing", {"heat": True})
    assert searcher.search("wing", {"heat": True}) == expected, "made meanwhile"
    assert load_g().encoder == "own pages" and load_g(MiniLM()).encoder == MiniLM().fingerprint
    with pytest.raises(ParameterError, match=r"no g for encoder letters; train one .*`ranker_file.train_g\(encoder\)`"):
        Searcher.of(SMALL, encoder=Letters()).search("wing", {"heat": True})


# --- many pages ---


def test_of_many_pages_g_ranks_those_that_a_plain_formula_puts_first(searcher, monkeypatch):
    rows, others = searcher.pages.place, 0
    for query in list(TOY.queries.values())[:8]:
        expected = {r.id: r for r in searcher.search(query, FEEDBACK, n=500)}
        own = components(searcher.index, searcher._asked(query), [rows["3"], rows["11"]], [rows["4"], rows["0"]])
        plain = combined(own, matrix([PLAIN]))[0]
        with monkeypatch.context() as patch:
            patch.setattr(search, "CANDIDATES", 12)
            found = searcher.search(query, FEEDBACK)
            assert len(searcher.search(query, FEEDBACK, n=60)) == 60, "as many as are asked for"
        candidates = sorted(expected, key=lambda i: (-plain[rows[i]], expected[i].before))[:12]
        assert found.ids == sorted(candidates, key=lambda i: expected[i].rank)[:10]
        assert found.searched == len(PAGES) - 4
        for r in found:
            same = expected[r.id]
            assert (r.score, r.why, r.before) == (same.score, same.why, same.before), "the same numbers"
        others += found.ids != list(expected)[:10]
    assert others, "so that it says something"


def test_pages_that_g_cannot_tell_apart_keep_their_order(searcher):
    same = Weights(torch.zeros(1, 2, len(COLUMNS)), COLUMNS)
    found = Searcher.of(PAGES, model=TrainedRanker(same)).search(TOY.queries["3"], FEEDBACK, n=500)
    assert {r.score for r in found} == {0} and [r.before for r in found] == [r.rank for r in found]
    assert found.ids != [i for i in PAGES if i not in FEEDBACK], "not that of the pages"


def test_20_000_pages_take_seconds_and_memory_that_is_linear():
    """Reading and asking, without what the first relevant page costs."""
    rng = np.random.default_rng(0)
    words = np.array([word(int(i)) for i in range(1000)])
    pages = {i: " ".join(row) for i, row in enumerate(words[rng.integers(1000, size=(20_000, 20))])}
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    searcher = Searcher.of(pages)
    found = searcher.search(pages[7])
    assert found.ids[0] == 7 and time.process_time() - start < 60
    unit = 1 if sys.platform == "darwin" else 1024
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit < 600 * 2**20
    start = time.process_time()
    searcher.search(pages[8], {7: False})
    assert time.process_time() - start < 2


def test_neighbours_are_looked_for_once_and_only_for_a_relevant_page(monkeypatch):
    asked = []
    build = surroundings.build
    monkeypatch.setattr(surroundings, "build", lambda *arguments: asked.append(1) or build(*arguments))
    searcher = Searcher.of(SMALL, model=toy_model())
    searcher.search("wing")
    searcher.search("wing", {"fish": False})
    assert not asked
    searcher.search("wing", {"heat": True})
    searcher.search("fish", {"cook": True})
    assert asked == [1]


# --- for people and programs ---


def test_results_are_a_list(searcher):
    found = searcher.search(TOY.queries["3"], FEEDBACK)
    assert isinstance(found, Results) and isinstance(found[0], Result) and found[-1] == list(found)[-1]
    assert found[:3] == found.found[:3] and found[0] in found and len(found) == 10
    frame = found.frame()
    assert list(frame.columns[:5]) == ["rank", "before", "id", "title", "score"] and len(frame) == 10
    assert frame["id"].tolist() == found.ids and frame.columns.is_unique
    assert set(frame.columns[5:]) == {f"why: {name}" for name in COLUMNS} and frame.notna().all(axis=None)
    assert frame.filter(like="why: ").sum(axis=1).tolist() == pytest.approx(frame["score"].tolist(), abs=1e-7)


def test_results_as_plain_text(small):
    lines = repr(small.search("fish in\nwater")).split("\n")
    assert lines[0] == "'fish in water': 5 of 5 pages" and len(lines) == 6 and "was" not in lines[1]
    assert lines[1].split() == ["1", "fish:", "Fish", *lines[1].split()[3:]]
    found = small.search("fish in water", {"cook": True, "wing": False}, n=2)
    head, first, _ = repr(found).split("\n")
    assert head == "'fish in water': 2 of 3 pages, after 2 judged (relevant: 1)"
    assert f"1 (was {found[0].before})" in first and "relevant pages +" in first
    long = search.search("wing", {"a": ("wing " * 50, "x"), "b": "fish"})
    assert "…" in repr(long).split("\n")[1] and len(repr(long).split("\n")[1]) < 110


def test_results_as_html_escape_what_people_wrote():
    nasty = '<script>alert("x")</script> & $a$'
    searcher = Searcher.of({nasty: (nasty, "wing"), "b": "fish wing", "c": "heat"}, model=toy_model())
    for feedback in (None, {"c": True}):
        html = searcher.search(f"wing {nasty}", feedback)._repr_html_()
        assert "<script>" not in html and html.count("&lt;script&gt;") == 3 and "&amp; $a$" in html
        assert html.startswith('<div class="tex2jax_ignore mathjax_ignore">') and html.count("<tr>") == (
            3 if feedback else 4
        )
        assert ("<th" in html) and ("before" in html) == bool(feedback)
    moved = search.search("fish", SMALL, {"flow": True}, model=toy_model())
    html = moved._repr_html_()
    for r in moved:
        arrow = "=" if r.before == r.rank else f"{'▲' if r.before > r.rank else '▼'}{abs(r.before - r.rank)}"
        assert f">{r.before} {arrow}<" in html
    assert f'title="{MEANINGS["bm25"].replace(chr(39), "&#x27;")}"' in search.search("fish", SMALL)._repr_html_()
    assert "<table>" not in search.search("zebra", SMALL)._repr_html_()


def test_a_searcher_can_be_kept(small):
    again = pickle.loads(pickle.dumps(small))
    for feedback in (None, {"heat": True}):
        assert again.search("wing", feedback) == small.search("wing", feedback)


def test_untuned_weights_are_those_of_the_study():
    assert set(NONE) == {"bm25", "dense"} and set(NONE.values()) == {1.0}

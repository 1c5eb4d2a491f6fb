"""What g looks for in words against the same over the whole vocabulary, by the functions that define it."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from metastudy.families.candidates import to_search
from metastudy.feedback.components import RM3_ORIGINAL, RM3_WORDS, mean_row, relevance_model, rm3_name
from metastudy.feedback.learned_columns import BO1_WORDS, GROUPS, LATE_WORDS, bo1, heaviest
from metastudy.feedback.surroundings import of_collection
from metastudy.feedback.word_weights import RM3_USED, WordWeights
from toy_collections import toy

TOY = to_search(toy("toy", 0, documents=60))
AROUND = of_collection(TOY)
INDEX = AROUND.index
N, V = INDEX.counts.shape
judged = st.lists(st.integers(0, N - 1), max_size=8, unique=True)
queries = st.sampled_from(TOY.queries)


def whole(words, weights) -> np.ndarray:
    """Rows of weights (r, w) over the vocabulary: (r, V)."""
    found = np.zeros((len(weights), V))
    for row, weight in zip(found, weights, strict=True):
        row[words] = weight
    return found


def mean(rows: csr_matrix, places) -> np.ndarray:
    return mean_row(rows, places).toarray()[0]


@settings(max_examples=40, deadline=None)
@given(queries, judged, st.integers(0, 8))
def test_weights_by_their_definitions(query, pages, n):
    asked, (positives, negatives) = INDEX.query(query), (pages[:n], pages[n:])
    bm25, tfidf, title = {"bm25": asked.words}, {}, {}
    nearest, late = np.zeros((0, V)), np.zeros((0, V))
    for side, places in (("positive", positives), ("negative", negatives)):
        if places:
            bm25[f"bm25_{side}"], tfidf[f"tfidf_{side}"] = mean(INDEX.bm25_rows, places), mean(INDEX.tfidf, places)
    if positives:
        for words in RM3_WORDS:
            expanded = relevance_model(INDEX, positives, words).toarray()[0]
            for original in RM3_ORIGINAL:
                if (name := rm3_name(words, original)) in GROUPS["RM3"]:
                    bm25[name] = original * asked.words / asked.words.sum() + (1 - original) * expanded
        bm25 |= {f"bo1_{words}": heaviest(bo1(AROUND, positives), words) for words in BO1_WORDS}
        title["title"] = AROUND.weights.transform(csr_matrix(asked.words[None])).toarray()[0]
        title["title_positive"] = tfidf["tfidf_positive"]
        nearest = INDEX.tfidf[positives].toarray()
        late = [asked.words * AROUND.weights.idf_, heaviest(tfidf["tfidf_positive"], LATE_WORDS)]
    found = WordWeights.of(AROUND, asked, positives, negatives)
    for own, expected in ((found.bm25, bm25), (found.tfidf, tfidf), (found.title, title)):
        assert own.keys() == expected.keys()
        assert np.allclose(whole(found.words, own.values()), whole(range(V), expected.values()), rtol=0, atol=1e-13)
    for own, expected in ((found.nearest, nearest), (found.late, late)):
        assert np.allclose(whole(found.words, own), expected, rtol=0, atol=1e-13)


def test_the_settings_of_rm3_are_those_of_its_columns():
    assert tuple(rm3_name(*one) for one in RM3_USED) == GROUPS["RM3"]


def test_a_query_without_a_known_word_and_a_page_without_words():
    small = of_collection(to_search(toy("toy", 0, queries=2, documents=9)))
    query = small.index.query("0")
    nothing = type(query)(np.zeros_like(query.words), query.dense, query.lsa)
    found = WordWeights.of(small, nothing, [1], [])
    assert not found.bm25["bm25"].any() and not found.title["title"].any() and not found.late[0].any()
    assert all(np.isfinite(v).all() for v in (*found.bm25.values(), *found.title.values()))
    assert not len(WordWeights.of(small, nothing, [], []).words)

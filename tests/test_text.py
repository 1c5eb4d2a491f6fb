"""Sentences and ROUGE."""

import pytest
from rouge_score.rouge_scorer import RougeScorer

from metastudy import corpus
from metastudy.errors import DataError
from metastudy.text import ROUGE, rouge, rouge1, split_sentences, stems


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", []),
        ("  One only  ", ["One only"]),
        ("It works. It does! Is it?", ["It works.", "It does!", "Is it?"]),
        ("See e.g. the table. Then stop.", ["See e.g. the table.", "Then stop."]),
        ("Call `a. B` first. Then `x`. `y` is last.", ["Call `a. B` first.", "Then `x`.", "`y` is last."]),
        ("The value of numpy.pi is 3.14 here. Good.", ["The value of numpy.pi is 3.14 here.", "Good."]),
    ],
)
def test_split_sentences(text, sentences):
    assert split_sentences(text) == sentences


def test_rouge_by_hand():
    # prediction: the cat sat on the mat (6); reference: the cat was on a mat (6)
    # shared words: the, cat, on, mat = 4; shared pairs: "the cat" = 1 of 5 and 5; longest common: the cat on mat = 4
    scores = rouge("The cat sat on the mat.", ["the cat was on a mat"])
    assert scores == pytest.approx({"rouge1": 100 * 4 / 6, "rouge2": 100 * 1 / 5, "rougeL": 100 * 4 / 6})


def test_rouge_stems_and_takes_the_best_reference():
    assert rouge("computing norms", ["nothing alike", "computes norm"])["rouge1"] > 99
    assert rouge("", ["a b"]) == {"rouge1": 0, "rouge2": 0, "rougeL": 0}
    with pytest.raises(DataError, match="reference"):
        rouge("text", [])


def test_rouge1_alone_is_the_same():
    references = ["the cat was on a mat", "a dog"]
    assert rouge1("The cats sat on the mat.", references) == rouge("The cats sat on the mat.", references)["rouge1"]
    assert rouge1("dogs", references) == pytest.approx(100 * 2 / 3)  # one of one and one of two words
    with pytest.raises(DataError, match="reference"):
        rouge1("text", [])


def test_cached_stems_equal_the_libraries_own_scores():
    scorer = RougeScorer(list(ROUGE), use_stemmer=True)
    for e in corpus.load().entries[::400]:
        slow = {m: 100 * s.fmeasure for m, s in scorer.score(e.summary, e.body[0]).items()}
        assert rouge(e.body[0], [e.summary]) == pytest.approx(slow)


def test_stems():
    assert stems("Computing the `find_peaks` values") == ["comput", "the", "find", "peak", "valu"]

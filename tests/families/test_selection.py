"""Summaries of a length without repetitions, against maximal marginal relevance in plain loops."""

from __future__ import annotations

import math
import time
import tracemalloc
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metastudy.families.selection import LENGTH, REDUNDANCY, Sentences, allowed, best, choose
from metastudy.text import stems, words

VOCABULARY = ["cat", "cats", "dog", "walks", "walking", "far", "river", "no", "7"]
TEXTS = st.lists(st.lists(st.sampled_from(VOCABULARY), max_size=6).map(" ".join), min_size=1, max_size=9)
SEEDS = st.integers(0, 10**6)  # of scores from a normal distribution, so that no two alternatives are equally good
BUDGETS = st.floats(1, 60)
PRICES = st.sampled_from([0.0, 0.3, 1.0, 2.5])


def cosine(a: str, b: str) -> float:
    """Of counted stems, each of the same weight; 0 where a text has no words."""
    x, y = Counter(stems(a)), Counter(stems(b))
    length = math.sqrt(sum(v * v for v in x.values()) * sum(v * v for v in y.values()))
    return sum(x[word] * y[word] for word in x) / length if length else 0.0


def slow(scores: np.ndarray, texts: list[str], n_words: float, redundancy: float) -> tuple[int, ...]:
    """The summary, sentence by sentence, with every cosine computed anew."""
    mean = sum(scores) / len(scores)
    spread = math.sqrt(sum((s - mean) ** 2 for s in scores) / len(scores))
    chosen: list[int] = []
    length = 0
    while len(chosen) < len(texts):
        highest, following = -math.inf, -1
        for i in range(len(texts)):
            if i not in chosen:
                said = max((cosine(texts[i], texts[j]) for j in chosen), default=0.0)
                value = (scores[i] - mean) / (spread + 1e-8) - redundancy * said
                if value > highest:
                    highest, following = value, i
        longer = length + len(words(texts[following]))
        further = abs(longer - n_words) > abs(length - n_words)
        if chosen and (further or length > n_words):  # the latter stops at sentences without words too
            break
        chosen.append(following)
        length = longer
    return tuple(sorted(chosen))


def scores_of(seed: int, texts: list[str]) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=len(texts))


def length_of(chosen: tuple[int, ...], texts: list[str]) -> int:
    return sum(len(words(texts[i])) for i in chosen)


@settings(deadline=None, max_examples=300)
@given(TEXTS, SEEDS, BUDGETS | st.integers(1, 60), PRICES)
def test_it_is_marginal_relevance_written_out(texts, seed, n_words, redundancy) -> None:
    scores = scores_of(seed, texts)
    assert choose(scores, Sentences.of(texts), n_words, redundancy) == slow(scores, texts, n_words, redundancy)


@settings(deadline=None)
@given(TEXTS, SEEDS, BUDGETS)
def test_indices_ascend_are_of_sentences_and_at_least_one(texts, seed, n_words) -> None:
    chosen = choose(scores_of(seed, texts), Sentences.of(texts), n_words)
    assert chosen and list(chosen) == sorted(set(chosen)) and set(chosen) <= set(range(len(texts)))
    assert all(type(i) is int for i in chosen), "plain numbers, which may be keys and be written to files"


@settings(deadline=None)
@given(TEXTS, SEEDS, BUDGETS, st.floats(0.01, 100), st.floats(-50, 50))
def test_only_order_and_gaps_of_scores_count(texts, seed, n_words, scale, shift) -> None:
    scores, sentences = scores_of(seed, texts), Sentences.of(texts)
    assert choose(scale * scores + shift, sentences, n_words) == choose(scores, sentences, n_words)


@settings(deadline=None)
@given(TEXTS, SEEDS, BUDGETS, BUDGETS, PRICES)
def test_a_longer_summary_holds_the_shorter_one(texts, seed, one, other, redundancy) -> None:
    scores, sentences = scores_of(seed, texts), Sentences.of(texts)
    short, long = (choose(scores, sentences, n, redundancy) for n in sorted((one, other)))
    assert set(short) <= set(long)
    assert choose(scores, sentences, 1e6, redundancy) == tuple(range(len(texts))), "there is room for all"


@settings(deadline=None)
@given(TEXTS, SEEDS, BUDGETS)
def test_the_length_is_missed_by_half_a_sentence_at_most(texts, seed, n_words) -> None:
    chosen = choose(scores_of(seed, texts), Sentences.of(texts), n_words)
    longest = max(len(words(t)) for t in texts)
    if len(chosen) > 1:
        assert length_of(chosen, texts) <= n_words + longest / 2
    if len(chosen) < len(texts):
        assert length_of(chosen, texts) >= n_words - longest / 2


@settings(deadline=None)
@given(TEXTS, SEEDS, BUDGETS)
def test_without_a_price_of_repetition_the_highest_scores_are_taken(texts, seed, n_words) -> None:
    scores = scores_of(seed, texts)
    chosen = choose(scores, Sentences.of(texts), n_words, redundancy=0)
    assert set(chosen) == set(np.argsort(-scores)[: len(chosen)].tolist())


@pytest.mark.parametrize(
    ("n_words", "expected"),
    [(1, (0,)), (3, (0,)), (5.9, (0,)), (6, (0, 1)), (9, (0, 1)), (9.9, (0, 1)), (10, (0, 1, 2)), (99, (0, 1, 2))],
)
def test_a_sentence_is_added_where_it_brings_the_length_no_further_from_the_aim(n_words, expected) -> None:
    """Lengths 4, 4 and 4: the second is as good as none at 6, the third at 10."""
    texts = ["one two three four", "five six seven eight", "nine ten eleven twelve"]
    assert choose(np.array([3.0, 2.0, 1.0]), Sentences.of(texts), n_words) == expected


def test_one_word_is_one_sentence_however_long() -> None:
    texts = ["short", "a sentence of many more words than one", "end"]
    sentences = Sentences.of(texts)
    assert choose(np.array([0.0, 1.0, 0.5]), sentences, 1) == (1,)
    assert choose(np.array([1.0, 0.0, 0.5]), sentences, 1) == (0,)


def test_the_next_best_is_not_passed_over_for_a_shorter_one_that_fits() -> None:
    texts = ["one two", "three four five six seven eight nine", "ten"]
    assert choose(np.array([3.0, 2.0, 1.0]), Sentences.of(texts), 3) == (0,)


def test_what_was_said_is_said_again_last() -> None:
    texts = ["The cat walks far.", "Cats walk the far.", "A river runs.", "Dogs."]
    scores, sentences = np.array([4.0, 3.9, 1.0, 0.0]), Sentences.of(texts)
    assert choose(scores, sentences, 8, redundancy=0) == (0, 1)
    assert choose(scores, sentences, 8, redundancy=3.0) == (0, 2, 3)
    spread = np.std(scores)
    turn = (3.9 - 1.0) / spread / cosine(texts[0], texts[1])  # where the second is worth as much as the third
    assert choose(scores, sentences, 7, turn - 0.01) == (0, 1) and choose(scores, sentences, 7, turn + 0.01) == (0, 2)
    assert turn > REDUNDANCY, "a document whose scores differ so much repeats itself"


def test_the_highest_cosine_counts_and_not_the_last_or_the_sum() -> None:
    texts = ["red green", "blue grey", "red green", "red grey"]  # against the first two: 1, and twice 1/2
    scores = np.array([9.0, 8.0, 1.0, 1.0])
    assert choose(scores, Sentences.of(texts), 6) == (0, 1, 3)


@settings(deadline=None)
@given(st.integers(1, 12), st.floats(-1e3, 1e3), st.integers(1, 30))
def test_of_equal_scores_the_first(n, value, n_words) -> None:
    texts = [f"a{i} b{i}" for i in range(n)]  # nothing in common
    chosen = choose(np.full(n, value), Sentences.of(texts), n_words)
    assert chosen == tuple(range(len(chosen))) and best(np.full(n, value)) == (0,)
    same = Sentences.of(["a b"] * n)
    assert choose(np.full(n, value), same, n_words) == chosen, "and so where all say the same"


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=9))
def test_the_best_is_the_first_of_the_highest(scores) -> None:
    (found,) = best(np.array(scores, dtype=float))
    assert scores[found] == max(scores) and max(scores) not in scores[:found] and type(found) is int


@pytest.mark.parametrize("texts", [["", "", ""], ["...", "!", " - "], [""]])
def test_sentences_without_words_have_no_length_and_nothing_in_common(texts) -> None:
    sentences = Sentences.of(texts)
    assert sentences.lengths.tolist() == [0] * len(texts) and sentences.vectors.nnz == 0
    assert choose(np.arange(len(texts), dtype=float), sentences, 5) == tuple(range(len(texts)))


def test_one_without_words_does_not_end_a_summary_that_is_too_short() -> None:
    texts = ["one two", "...", "three four"]
    assert choose(np.array([3.0, 2.0, 1.0]), Sentences.of(texts), 4) == (0, 1, 2)
    assert choose(np.array([3.0, 2.0, 1.0]), Sentences.of(texts), 1) == (0,), "nor is it added to one that is not"


def test_bags_have_length_one_and_count_stems_that_weigh_the_same() -> None:
    sentences = Sentences.of(["Cats walk; the cat walked.", "cat", ""])
    assert sentences.lengths.tolist() == [5, 1, 0]
    # of the first cat and walk twice, the once: 2 / sqrt(4 + 4 + 1) with the second
    np.testing.assert_allclose((sentences.vectors @ sentences.vectors.T).toarray()[:, 1], [2 / 3, 1, 0], atol=1e-12)


def test_scores_and_bags_are_left_as_they_were() -> None:
    texts = ["red green", "blue grey", "red blue"]
    scores, sentences = np.array([1.0, 2.0, 3.0], dtype=np.float32), Sentences.of(texts)
    before = sentences.vectors.toarray()
    choose(scores, sentences, 4)
    assert scores.tolist() == [1, 2, 3] and np.array_equal(sentences.vectors.toarray(), before)


def test_long_documents_need_neither_a_matrix_of_sentences_nor_long() -> None:
    """20,000 sentences: all cosines would be 3 GB."""
    rng = np.random.default_rng(0)
    vocabulary = np.array([f"w{i}" for i in range(5000)])
    texts = [" ".join(row) for row in vocabulary[rng.integers(len(vocabulary), size=(20_000, 12))]]
    scores, sentences = rng.normal(size=20_000), Sentences.of(texts)
    start = time.process_time()
    chosen = choose(scores, sentences, 120)
    assert time.process_time() - start < 2 and len(chosen) == 10
    tracemalloc.start()
    assert choose(scores, sentences, 120) == chosen
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 * 8 * 20_000, "a hundred numbers for each sentence"


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=9))
def test_a_summary_may_be_somewhat_longer_than_half_of_the_labelled_ones(lengths) -> None:
    found, order = allowed(lengths), sorted(lengths)
    middle = (order[(len(order) - 1) // 2] + order[len(order) // 2]) / 2
    assert type(found) is int and found >= 1
    assert found == 1 or abs(found - LENGTH * middle) <= 0.5 + 1e-9
    assert allowed(lengths[::-1]) == found


def test_the_allowed_length_by_hand() -> None:
    assert allowed([20, 4, 8]) == 10 and allowed([4, 8]) == 8 and allowed([0]) == 1
    assert allowed([8, 8, 10**6]) == 10, "one long summary moves it little"

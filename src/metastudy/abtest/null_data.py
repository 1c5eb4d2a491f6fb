"""Data without a difference, to ask of a test how often it finds one: made so that the truth is known exactly.

Two methods are exchangeable where swapping their names leaves the distribution of all scores as it was; then every
paired difference is symmetric around zero. All functions take a numpy Generator, and higher scores are better.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import expit

from metastudy.errors import ParameterError

Pair = tuple[np.ndarray, np.ndarray]

QUERIES = 10  # of a task with tied scores: accuracies are multiples of 1 / 10
SAME = 0.7  # share of tasks on which both methods of zero-inflated data say the same
RARE_GAIN = (0.5, 4.5)  # beta parameters of a lopsided gain: mean 0.1, skewness 1.9


def _difficulty(n: int, rng: np.random.Generator) -> np.ndarray:
    """The score that either method would reach on each of n tasks on average, (n,): mean 0.8, a long tail below."""
    if n < 2:
        raise ParameterError(f"n is {n}; expected 2 or more tasks")
    return rng.beta(4, 1, n)


def _around(mean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Scores in [0, 1] around each mean, independent of each other: beta with ten observations' worth of precision."""
    return rng.beta(QUERIES * mean, QUERIES * (1 - mean))


def skewed(n: int, rng: np.random.Generator) -> Pair:
    """Scores a and b, (n,) each, bounded and skewed: beta around a shared difficulty that is skewed itself."""
    mean = _difficulty(n, rng)
    return _around(mean, rng), _around(mean, rng)


def tied(n: int, rng: np.random.Generator) -> Pair:
    """Accuracies a and b over QUERIES queries, (n,) each: multiples of 0.1, often equal."""
    mean = _difficulty(n, rng)
    return rng.binomial(QUERIES, mean) / QUERIES, rng.binomial(QUERIES, mean) / QUERIES


def zero_inflated(n: int, rng: np.random.Generator) -> Pair:
    """Skewed scores a and b, (n,) each, that are exactly equal on a share SAME of the tasks, drawn at random."""
    a, b = skewed(n, rng)
    return a, np.where(rng.random(n) < SAME, a, b)


def clustered(sizes: Sequence[int], rng: np.random.Generator, effect: float = 0.4) -> tuple[np.ndarray, ...]:
    """Scores a, b and the number of the family, (sum of sizes,) each; `sizes` counts the tasks of each family.

    score = logistic(difficulty of the task + method in this family + noise), with standard deviations 1, `effect` and
    0.6: each family favours one method by a chance that has mean zero, so differences inside a family are correlated
    (at 0.4 by .3) and families are the independent units.
    """
    if len(sizes) < 2 or min(sizes) < 1 or not effect >= 0:
        raise ParameterError(f"sizes {list(sizes)}, effect {effect}; expected two or more families of 1 or more tasks")
    family = np.repeat(np.arange(len(sizes)), sizes)
    difficulty = rng.normal(1, 1, len(family))
    favour = rng.normal(0, effect, (2, len(sizes)))[:, family]
    a, b = expit(difficulty + favour + rng.normal(0, 0.6, (2, len(family))))
    return a, b, family


def lopsided(n: int, rng: np.random.Generator) -> np.ndarray:
    """Differences, (n,), with mean exactly zero that are not symmetric: rare large gains, a small loss elsewhere.

    Not two exchangeable methods: the mean is zero all the same, which is what the tests of a mean claim to judge.
    """
    a, b = RARE_GAIN
    return rng.beta(a, b, n) - a / (a + b)


def with_seeds(scores: np.ndarray, seeds: int, rng: np.random.Generator, between: float = 0.03) -> np.ndarray:
    """Scores of one method, (n,) -> (n, seeds): each seed's model is better or worse by N(0, between²) on all tasks.

    Every task adds noise of its own, with standard deviation 0.05, to every seed.
    """
    if seeds < 1 or not between >= 0:
        raise ParameterError(
            f"seeds {seeds} and spread {between}; expected one or more seeds and a spread of 0 or more"
        )
    return scores[:, None] + rng.normal(0, between, seeds) + rng.normal(0, 0.05, (len(scores), seeds))


def rankings(
    queries: int, rng: np.random.Generator, noise: tuple[float, float] = (1.0, 1.0), documents: int = 10
) -> tuple[list[tuple[list[int], list[int]]], list[dict[int, int]]]:
    """Rankings a and b of each query's documents, and the documents' grades, 0 or 1 (a third is relevant).

    Each ranker sorts by grade + N(0, noise²), independently of the other: exchangeable where both have the same noise.
    """
    if queries < 1 or documents < 2 or min(noise) < 0:
        raise ParameterError(f"{queries} queries of {documents} documents, noise {noise}; expected 1 of 2, noise >= 0")
    grades = (rng.random((queries, documents)) < 1 / 3).astype(int)
    seen = grades[:, None] + np.array(noise)[:, None] * rng.normal(0, 1, (queries, 2, documents))
    orders = np.argsort(-seen, axis=2).tolist()
    return [(a, b) for a, b in orders], [dict(enumerate(g)) for g in grades.tolist()]


def two_arms(control: int, treatment: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Different units: outcomes of control and treatment, then both before the experiment; gamma-like, skewed.

    Before and after share the unit's own level, so their correlation is 2/3.
    """
    if min(control, treatment) < 2:
        raise ParameterError(f"arms of {control} and {treatment} units; expected 2 or more in each")
    level = rng.gamma(2, 1, control + treatment)
    before, after = level + rng.gamma(1, 1, (2, len(level)))
    return after[:control], after[control:], before[:control], before[control:]


def cross_validation(
    rng: np.random.Generator, n: int = 200, folds: int = 10, repeats: int = 10, features: int = 5, shift: float = 0.3
) -> Pair:
    """Repeated cross-validation of two learners with equal expected error on one data set of n items.

    Items of two equally likely classes have 2 x `features` independent normal features of variance 1 and mean
    ± `shift`. Each learner classifies by the nearer class mean and sees one half of the features, so the two are
    exchangeable. Returns differences in accuracy over folds, (repeats x folds,), repeat by repeat, and over items,
    (n,): whether an item was classified rightly out of fold, averaged over repeats.

    Raises ParameterError unless folds divides n and a fold leaves at least two items.
    """
    if folds < 2 or n % folds or n < 2 * folds or repeats < 1 or features < 1:
        raise ParameterError(f"{repeats} x {folds} folds of {n} items, {features} features; expected folds to divide n")
    positive = rng.permutation(n) < n // 2  # equal classes, so that no training set lacks one
    x = rng.normal(0, 1, (n, 2 * features)) + shift * np.where(positive, 1, -1)[:, None]
    held_out = np.stack([rng.permutation(n) % folds for _ in range(repeats)])  # (repeats, n): fold of each item
    test = (held_out[:, None, :] == np.arange(folds)[:, None]).reshape(-1, n)  # (repeats * folds, n)
    right = np.stack([_nearest_mean(x[:, half::2], positive, test) for half in (0, 1)])
    gain = np.subtract(*right, dtype=float) * test  # (repeats * folds, n), zero on training items
    return gain.sum(1) / (n // folds), gain.sum(0) / repeats


def _nearest_mean(x: np.ndarray, positive: np.ndarray, test: np.ndarray) -> np.ndarray:
    """x (n, d), classes (n,), test items of each split (s, n) -> which items each split classifies rightly, (s, n)."""
    means = []
    for members in (positive, ~positive):
        train = ~test & members  # (s, n)
        means.append((train @ x) / train.sum(1, keepdims=True))  # (s, d)
    up, down = means
    nearer_up = (up - down) @ x.T > ((up**2 - down**2).sum(1) / 2)[:, None]
    return nearer_up == positive

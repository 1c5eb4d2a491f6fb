"""Simulated data are what they say: no difference where none is promised, and the dependence that is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.neighbors import NearestCentroid

from metastudy.abtest import null_data
from metastudy.abtest.power import intra_cluster_correlation
from metastudy.errors import ParameterError

PAIRS = {"skewed": null_data.skewed, "tied": null_data.tied, "zero_inflated": null_data.zero_inflated}


@pytest.mark.parametrize("shape", PAIRS)
def test_swapping_two_exchangeable_methods_changes_no_distribution(shape: str) -> None:
    a, b = PAIRS[shape](20_000, np.random.default_rng(0))
    assert stats.ks_2samp(a, b).pvalue > 0.001
    differences = (a - b)[a != b]
    assert abs(differences.mean()) < 3.5 * stats.sem(differences)
    assert stats.ks_2samp(differences, -differences).pvalue > 0.001  # symmetric, and not only centred


def test_lopsided_differences_have_mean_zero_and_the_skewness_they_name() -> None:
    values = null_data.lopsided(200_000, np.random.default_rng(0))
    assert abs(values.mean()) < 3.5 * stats.sem(values) and values.min() >= -0.1
    assert stats.skew(values) == pytest.approx(float(stats.beta(*null_data.RARE_GAIN).stats("s")), abs=0.05)


def test_families_share_what_the_docstring_says() -> None:
    a, b, family = null_data.clustered([5, 9, 1] * 400, np.random.default_rng(0))
    assert family.tolist()[:7] == [0] * 5 + [1] * 2 and len(a) == 6_000
    assert abs((a - b).mean()) < 3.5 * np.std(a - b) * (2.3 / len(a)) ** 0.5  # design effect of 5, 9 and 1 tasks
    # differences of logits have variance 2 (0.4² + 0.6²), of which the share 0.16 / 0.52 belongs to families
    logits = np.log(a / (1 - a)) - np.log(b / (1 - b))
    assert intra_cluster_correlation(logits, family) == pytest.approx(0.16 / 0.52, abs=0.04)
    apart = null_data.clustered([5, 9, 1] * 400, np.random.default_rng(0), effect=0)
    assert intra_cluster_correlation(apart[0] - apart[1], apart[2]) < 0.03


def test_seeds_move_all_tasks_together() -> None:
    scores = null_data.with_seeds(np.zeros(400), 300, np.random.default_rng(0), between=0.06)
    assert scores.shape == (400, 300)
    assert scores.mean(0).std() == pytest.approx(0.06, rel=0.15)
    assert (scores - scores.mean(0)).std() == pytest.approx(0.05, rel=0.02)
    assert null_data.with_seeds(np.zeros(400), 300, np.random.default_rng(0), between=0).mean(0).std() < 0.004


def test_the_past_of_a_unit_tells_two_thirds() -> None:
    control, treatment, c_before, t_before = null_data.two_arms(20_000, 10_000, np.random.default_rng(0))
    assert list(map(len, (control, treatment, c_before, t_before))) == [20_000, 10_000, 20_000, 10_000]
    for after, before in ((control, c_before), (treatment, t_before)):
        assert np.corrcoef(after, before)[0, 1] == pytest.approx(2 / 3, abs=0.02)
    assert stats.ttest_ind(control, treatment).pvalue > 0.001


def test_rankers_order_the_same_documents_and_less_noise_is_better() -> None:
    pairs, grades = null_data.rankings(400, np.random.default_rng(0), noise=(0.1, 2.0))
    first = [[], []]
    for pair, judged in zip(pairs, grades, strict=True):
        assert sorted(pair[0]) == sorted(pair[1]) == sorted(judged) == list(range(10))
        for ranker in (0, 1):
            first[ranker].append(judged[pair[ranker][0]])
    assert np.mean(first[0]) > 0.95 and np.mean(first[1]) < 0.7
    equal, judged = null_data.rankings(2_000, np.random.default_rng(1))
    gain = [g[a[0]] - g[b[0]] for (a, b), g in zip(equal, judged, strict=True)]
    assert abs(np.mean(gain)) < 3.5 * stats.sem(gain)


def test_folds_and_items_count_the_same_errors() -> None:
    """Both are averages of one table, items by repeats."""
    by_fold, by_item = null_data.cross_validation(np.random.default_rng(0), n=60, folds=5, repeats=3)
    assert by_fold.shape == (15,) and by_item.shape == (60,)
    assert by_fold.mean() == pytest.approx(by_item.mean(), abs=1e-12)
    assert np.allclose(by_item * 3, np.round(by_item * 3)) and np.allclose(by_fold * 12, np.round(by_fold * 12))
    repeats = by_fold.reshape(3, 5).mean(1)
    assert np.ptp(by_fold) > np.ptp(repeats)  # folds of one repeat come one after another


def test_the_vectorised_learner_is_the_one_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    x, positive = rng.normal(size=(40, 3)), rng.permutation(40) < 20
    test = rng.random((6, 40)) < 0.3
    right = null_data._nearest_mean(x, positive, test)
    for held_out, found in zip(test, right, strict=True):
        slow = NearestCentroid().fit(x[~held_out], positive[~held_out]).predict(x)
        assert (found == (slow == positive)).all()


def test_equal_learners_differ_by_nothing_on_average_and_folds_repeat_each_other() -> None:
    rng = np.random.default_rng(0)
    folds = np.array([null_data.cross_validation(rng)[0] for _ in range(200)])  # (data sets, 100)
    means = folds.mean(1)
    assert abs(means.mean()) < 3.5 * stats.sem(means)
    assert means.std() > 2 * np.mean(folds.std(1)) / 10, "as if folds were independent: why the naive t must fail"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda rng: null_data.skewed(1, rng), "n is 1; expected 2"),
        (lambda rng: null_data.clustered([4], rng), r"sizes \[4\]"),
        (lambda rng: null_data.clustered([4, 0], rng), r"sizes \[4, 0\]"),
        (lambda rng: null_data.clustered([4, 2], rng, effect=-1), "effect -1"),
        (lambda rng: null_data.with_seeds(np.zeros(4), 0, rng), "seeds 0"),
        (lambda rng: null_data.two_arms(5, 1, rng), "arms of 5 and 1"),
        (lambda rng: null_data.rankings(0, rng), "0 queries"),
        (lambda rng: null_data.cross_validation(rng, n=25, folds=10), "10 x 10 folds of 25"),
        (lambda rng: null_data.cross_validation(rng, n=10, folds=10), "10 x 10 folds of 10"),
        (lambda rng: null_data.cross_validation(rng, folds=1), "10 x 1 folds"),
    ],
)
def test_what_makes_no_sense_is_refused(call, message) -> None:
    with pytest.raises(ParameterError, match=message):
        call(np.random.default_rng(0))


@pytest.mark.parametrize("shape", PAIRS)
def test_one_generator_state_gives_one_data_set(shape: str) -> None:
    one, other = (PAIRS[shape](30, np.random.default_rng(4)) for _ in range(2))
    assert np.array_equal(one, other) and not np.array_equal(one, PAIRS[shape](30, np.random.default_rng(5)))

"""The simulated studies of `calibrate`: what each draws, which tests it asks, and what these must answer how often."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.power import TTestPower

from metastudy.abtest import benjamini_hochberg, holm, interval, null_data, paired_test, t_interval
from metastudy.abtest.claims import Claim, Quantity, Study
from metastudy.abtest.click_users import user
from metastudy.abtest.interleaving import interleave_many, preference
from metastudy.abtest.many import friedman
from metastudy.abtest.margins import equivalence, non_inferiority
from metastudy.abtest.paired import MIN_BOOTSTRAP
from metastudy.abtest.power import sample_size
from metastudy.abtest.resampled import corrected_resampled_t, five_by_two_f
from metastudy.abtest.seeds import seed_aware
from metastudy.abtest.sequential import confidence_sequence, naive_peeking, two_arm_sequence
from metastudy.abtest.unpaired import cuped, sample_ratio, two_proportions, welch
from metastudy.errors import DataError

Rng = np.random.Generator
Draw = Callable[[int, Rng], null_data.Pair]
Answers = tuple[bool, ...]

ALPHA = 0.05
BAND = (0.037, 0.063)  # of rejections: 99% of exact tests lie inside, at 2,000 replicates
COVERAGE = (0.93, 0.97)
SIZES = (2, 3, 3, 4, 5, 6, 8, 10, 12, 15, 20, 24)  # tasks of 12 families
SHAPES: dict[str, Draw] = {
    "skewed": null_data.skewed, "tied": null_data.tied, "zero-inflated": null_data.zero_inflated,
}  # fmt: skip
CHEAP = {"full": 10_000, "fast": 500}  # replicates where they cost little: no honest test misses a band by chance

FEW = "ties: sign flips have few different sums, and equal ones count as extreme"
ZEROS = "of 15 tasks 4 or 5 differ, often fewer than the 6 that p < .05 takes"
FOLDS = "the correlation between folds is set, not estimated: an upper bound is all that is promised"
ANY_TIME = "Ville's inequality is a bound, and holds for any number of looks"
SIGN = "the sign test over decided queries is discrete"
TWICE = "what tasks and seeds share is counted twice"
MARGIN = "the true difference lies exactly on the margin"


# One function for each kind of study: draw it, ask the tests, say what each answered.


def _inside(ends: tuple[float, float], truth: float = 0.0) -> bool:
    return bool(ends[0] <= truth <= ends[1])


def _paired(draw_pair: Draw, n: int, rng: Rng) -> Answers:
    a, b = draw_pair(n, rng)
    found = paired_test(a, b, seed=int(rng.integers(2**31)))
    return found.p <= ALPHA, _inside((found.low, found.high))


def _interval(draw_pair: Draw, n: int, rng: Rng) -> Answers:
    return (_inside(interval(np.subtract(*draw_pair(n, rng)), seed=int(rng.integers(2**31)))),)


def _lopsided(n: int, rng: Rng) -> null_data.Pair:
    return null_data.lopsided(n, rng), np.zeros(n)


def _percentile(n: int, rng: Rng) -> Answers:
    values = null_data.lopsided(n, rng)
    found = stats.bootstrap((values,), np.mean, n_resamples=999, method="percentile", rng=rng).confidence_interval
    return (_inside((found.low, found.high)),)


def _clustered(rng: Rng) -> Answers:
    a, b, family = null_data.clustered(SIZES, rng)
    found = paired_test(a, b, family)
    return found.p <= ALPHA, _inside((found.low, found.high)), not _inside(t_interval(a - b))


def _margins(draw_pair: Draw, n: int, margin: float, rng: Rng) -> Answers:
    differences = np.subtract(*draw_pair(n, rng))
    side = margin * rng.choice([-1, 1])
    return equivalence(differences + side, margin).p <= ALPHA, non_inferiority(differences - margin, margin).p <= ALPHA


def _clustered_margins(margin: float, rng: Rng) -> Answers:
    a, b, family = null_data.clustered(SIZES, rng)
    same, no_worse = equivalence(a - b + margin, margin, family), non_inferiority(a - b - margin, margin, family)
    return same.p <= ALPHA, no_worse.p <= ALPHA


def _seeds(n: int, between: float, rng: Rng) -> Answers:
    a, b = (null_data.with_seeds(x, 3, rng, between) for x in null_data.skewed(n, rng))
    found = seed_aware(a, b)
    return found.p <= ALPHA, _inside((found.low, found.high)), not _inside(t_interval(a.mean(1) - b.mean(1)))


def _clustered_seeds(rng: Rng) -> Answers:
    a, b, family = null_data.clustered(SIZES, rng)
    found = seed_aware(null_data.with_seeds(a, 3, rng), null_data.with_seeds(b, 3, rng), family)
    return found.p <= ALPHA, _inside((found.low, found.high))


def _folds(rng: Rng) -> Answers:
    by_fold, by_item = null_data.cross_validation(rng)
    halves = null_data.cross_validation(rng, folds=2, repeats=5)[0].reshape(5, 2)
    corrected = corrected_resampled_t(by_fold, n_train=180, n_test=20).p
    naive = [not _inside(t_interval(differences)) for differences in (by_item, by_fold)]
    return corrected <= ALPHA, five_by_two_f(halves)[1] <= ALPHA, *naive


def _arms(control: int, treatment: int, rng: Rng) -> Answers:
    c, t, c_before, t_before = null_data.two_arms(control, treatment, rng)
    p = [welch(c, t).p, cuped(c, t, c_before, t_before).p]
    moved = [welch(c, t + 0.5), cuped(c, t + 0.5, c_before, t_before)]
    return *(x <= ALPHA for x in p), *(_inside((m.low, m.high), 0.5) for m in moved)


def _many_claims(n: int, rng: Rng) -> Answers:
    p = [welch(*null_data.two_arms(n, n, rng)[:2]).p for _ in range(4)]
    return tuple(bool((adjust(p) <= ALPHA).any()) for adjust in (holm, benjamini_hochberg))


def _shares(n: int, rng: Rng) -> Answers:
    trials = (n // 3, n - n // 3)
    return (two_proportions(rng.binomial(trials, 0.2).tolist(), trials).p <= ALPHA,)


def _split(n: int, rng: Rng) -> Answers:
    first = int(rng.binomial(n, 0.5))
    try:
        return (sample_ratio([first, n - first]) <= ALPHA,)
    except DataError:  # so far off that it refuses to go on
        return (True,)


def _stream(draw_pair: Draw, n: int, rng: Rng) -> Answers:
    values = np.subtract(*draw_pair(n, rng))
    found = confidence_sequence(values)
    always = bool(((found.low <= 0) & (found.high >= 0)).all())
    return found.stop is not None, always, naive_peeking(values, looks=20).stop is not None


def _two_streams(n: int, rng: Rng) -> Answers:
    return (two_arm_sequence(*null_data.two_arms(n, n, rng)[:2]).stop is not None,)


def _table(draw_pair: Draw, families: int, methods: int, rng: Rng) -> Answers:
    """Methods need not share a difficulty here: ranks within a family forget it."""
    scores = np.stack([draw_pair(families, rng)[0] for _ in range(methods)], axis=1)
    return (friedman(pd.DataFrame(scores)).p <= ALPHA,)


def _queries(visitor: str, noise: tuple[float, float], n: int, rng: Rng) -> Answers:
    pairs, grades = null_data.rankings(n, rng, noise)
    return (preference(interleave_many(pairs, grades, user(visitor), rng)).p <= ALPHA,)


def _power(effect: float, n: int, rng: Rng) -> Answers:
    return (not _inside(t_interval(rng.normal(effect, 1, n))),)


def _power_of_arms(effect: float, n: int, rng: Rng) -> Answers:
    return (welch(rng.normal(0, 1, n), rng.normal(effect, 1, n)).p <= ALPHA,)


def _rejects(check: str, low: float = BAND[0], high: float = BAND[1], note: str = "") -> Claim:
    return Claim(check, "rejects", ALPHA, low, high, note)


def _at_most(check: str, note: str, high: float = BAND[1]) -> Claim:
    """A test that may reject less than it is allowed to; the note says why theory expects that."""
    return _rejects(check, 0, high, note)


def _covers(check: str, low: float = COVERAGE[0], high: float = COVERAGE[1], note: str = "") -> Claim:
    return Claim(check, "covers", 1 - ALPHA, low, high, note)


def _must_fail(check: str, low: float = 0, high: float = 1, quantity: Quantity = "rejects") -> Claim:
    return Claim(check, quantity, ALPHA, low, high, control=True)


def suite() -> tuple[Study, ...]:
    """Every study, in the order of the table; the slowest come first, so that no process is left alone at the end.

    The slow ones flip signs or resample 9,999 times a replicate: from 50 tasks on, the fast version has one shape.
    """
    return (*_paired_studies(), *_clustered_and_seeds(), *_several_tests(), *_streams_and_rankings(), *_powers())


def _paired_studies() -> list[Study]:
    """The interval is Student's for few tasks; as it becomes BCa where sign flips are slow, it is asked alone there."""
    some, many = 50, max(MIN_BOOTSTRAP, 50)
    drawn = {**SHAPES, "lopsided": _lopsided}
    both = (_rejects("sign-flip p"), _covers("paired t interval"))
    studies = [
        Study(shape, some, partial(_paired, pair, some), both, fast=300 if shape == "skewed" else 0)
        for shape, pair in drawn.items()
    ]
    bca = (_covers("paired BCa interval"),)
    studies += [
        Study(shape, many, partial(_interval, pair, many), bca, fast=200 if shape == "skewed" else 0)
        for shape, pair in drawn.items()
    ]
    few = {
        "skewed": both,
        "tied": (_at_most("sign-flip p", FEW), both[1]),
        "zero-inflated": (_at_most("sign-flip p", ZEROS), _covers("paired t interval", high=1, note=ZEROS)),
    }
    studies += [Study(shape, 15, partial(_paired, SHAPES[shape], 15), claims) for shape, claims in few.items()]
    margins = (_rejects("equivalence", note=MARGIN), _rejects("non-inferiority", note=MARGIN))
    studies += [Study(shape, some, partial(_margins, pair, some, 0.3), margins) for shape, pair in SHAPES.items()]
    bootstrap = _must_fail("percentile bootstrap", high=0.93, quantity="covers")
    return [*studies, Study("lopsided", 15, partial(_percentile, 15), (bootstrap,), fast=1_000)]


def _clustered_and_seeds() -> list[Study]:
    by_task = _must_fail("ignoring clusters: t over tasks", low=0.15)
    flips = (_rejects("clustered sign-flip p"), _covers("clustered t interval"), by_task)
    margins = (_rejects("clustered equivalence", note=MARGIN), _rejects("clustered non-inferiority", note=MARGIN))
    seeds = (_rejects("seed-aware t"), _covers("seed-aware interval"), _must_fail("ignoring seeds: t over tasks", 0.15))
    alike = (
        _at_most("seed-aware t, seeds alike", TWICE),
        _covers("seed-aware interval, seeds alike", high=1, note=TWICE),
    )
    both = (_at_most("clustered seed-aware t", TWICE), _covers("clustered seed-aware interval", high=1, note=TWICE))
    return [
        Study("clustered", len(SIZES), _clustered, flips),
        Study("clustered", len(SIZES), partial(_clustered_margins, 0.5), margins),
        Study("clustered", len(SIZES), _clustered_seeds, both, **CHEAP),
        Study("skewed", 40, partial(_seeds, 40, 0.06), seeds, **CHEAP),
        Study("skewed", 40, partial(_seeds, 40, 0.0), (*alike, _rejects("t over tasks, seeds alike")), **CHEAP),
    ]


def _several_tests() -> list[Study]:
    naive = (_rejects("t over out-of-fold items"), _must_fail("t over 10x10 folds", low=0.2))
    folds = (_at_most("Nadeau-Bengio", FOLDS), _at_most("5x2 F", FOLDS), *naive)
    arms = (_rejects("Welch"), _rejects("CUPED"), _covers("Welch interval"), _covers("CUPED interval"))
    adjusted = (_rejects("Holm, any of 4 claims"), _rejects("Benjamini-Hochberg, any of 4 claims"))
    ranks = (_rejects("Friedman, 5 methods"),)
    return [
        *(Study(shape, 10, partial(_table, SHAPES[shape], 10, 5), ranks) for shape in ("skewed", "tied")),
        Study("cross-validation", 200, _folds, folds),
        Study("two arms", 180, partial(_arms, 60, 120), arms, **CHEAP),
        Study("two arms", 200, partial(_many_claims, 100), adjusted, **CHEAP),
        Study("two arms", 600, partial(_shares, 600), (_rejects("two proportions"),), **CHEAP),
        Study("two arms", 10_000, partial(_split, 10_000), (_rejects("sample ratio"),), **CHEAP),
    ]


def _streams_and_rankings() -> list[Study]:
    any_time = _at_most("always-valid, any time", ANY_TIME, ALPHA)
    always = _covers("confidence sequence, at all times", 1 - ALPHA, 1, ANY_TIME)
    claims = (any_time, always, _must_fail("t at 20 looks, any time", low=0.15))
    equal, blind = (_at_most(f"interleaving, {x}", SIGN) for x in ("equal rankers", "random user"))
    return [
        *(Study(shape, 2_000, partial(_stream, pair, 2_000), claims) for shape, pair in SHAPES.items()),
        Study("two arms", 4_000, partial(_two_streams, 2_000), (any_time,)),
        Study("rankings", 40, partial(_queries, "navigational", (1.0, 1.0), 40), (equal,)),
        Study("rankings", 40, partial(_queries, "random", (0.1, 3.0), 40), (blind,)),
    ]


def _powers() -> list[Study]:
    """Theory by statsmodels itself, not by our own call of it."""
    studies = []
    for effect in (0.3, 0.5, 0.7):
        theory = float(TTestPower().power(effect, 30, ALPHA))
        claim = Claim(f"paired t, effect {effect} sd", "power", theory, theory - 0.03, theory + 0.03)
        studies.append(Study("normal", 30, partial(_power, effect, 30), (claim,), **CHEAP))
    for design, arms, once in (("paired", 1, _power), ("two arms", 2, _power_of_arms)):
        n = sample_size(1, 0.4, arms=arms)
        claim = Claim(f"sample_size, {design}, effect 0.4 sd", "power", 0.8, 0.78, 1)
        studies.append(Study("normal", n, partial(once, 0.4, n), (claim,), **CHEAP))
    return studies

"""The honesty suite, fast: right tests stay in their bands, wrong ones do not, and a broken test is noticed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from metastudy import calibrate, null_studies
from metastudy.abtest import claims, null_data
from metastudy.abtest.claims import Claim, Study
from metastudy.errors import DataError, ParameterError

REPLICATES = 60
STUDIES = [replace(s, fast=min(s.fast, 2 * REPLICATES)) for s in null_studies.suite()]


def named(check: str) -> Study:
    return next(s for s in STUDIES if any(c.check == check for c in s.claims))


def test_every_row_is_in_its_band() -> None:
    table = claims.measure_all(STUDIES, fast=True, jobs=1, seed=1)
    wrong = table[~table["ok"]]
    assert wrong.empty, wrong[["check", "shape", "n", "quantity", "found", "low", "high"]].to_string()
    assert set(table["quantity"]) == {"rejects", "covers", "power"}
    controls = table[table["kind"] == "negative control"]
    assert set(controls["check"]) >= {"t over 10x10 folds", "t at 20 looks, any time", "percentile bootstrap"}
    assert set(table["shape"]) >= {"skewed", "tied", "zero-inflated", "clustered"}


def test_a_test_that_lies_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """p-values a third as large, and intervals half as wide, as they should be."""
    real = null_studies.paired_test

    def lying(a, b, cluster=None, seed=0):
        found = real(a, b, cluster, seed)
        middle, half = found.difference, (found.high - found.low) / 4
        return type(found)(middle, middle - half, middle + half, found.p / 3, found.n_tasks, found.n_clusters)

    monkeypatch.setattr(null_studies, "paired_test", lying)
    table = claims.measure_all([replace(named("clustered sign-flip p"), fast=300)], fast=True, jobs=1).set_index(
        "check"
    )
    assert not table.loc["clustered sign-flip p", "ok"] and not table.loc["clustered t interval", "ok"]
    assert table.loc["ignoring clusters: t over tasks", "ok"], "the mistake still fails"


def test_a_control_that_stops_failing_is_noticed() -> None:
    claim = Claim("a cured mistake", "rejects", 0.05, 0.15, 1, control=True)
    study = Study("normal", 20, lambda rng: (bool(stats.ttest_1samp(rng.normal(size=20), 0).pvalue < 0.05),), (claim,))
    assert not claims.measure(study, 300, True, 0)[0]["ok"]


def test_the_table_does_not_depend_on_the_processes_or_on_the_other_studies() -> None:
    few = [replace(named(check), fast=40) for check in ("Welch", "sample ratio")]
    one = claims.measure_all(few, fast=True, jobs=1)
    assert one.equals(claims.measure_all(few, fast=True, jobs=2))
    alone = claims.measure_all(few[1:], fast=True, jobs=1)
    assert one[one["check"] == "sample ratio"].reset_index(drop=True).equals(alone)
    assert not one.equals(claims.measure_all(few, fast=True, jobs=1, seed=1))


def test_the_full_version_has_the_promised_bands_and_the_fast_one_what_its_replicates_need() -> None:
    claim = Claim("a test", "rejects", 0.05, 0.037, 0.063)
    assert claim.band() == (0.037, 0.063)
    low, high = claim.band(300)
    assert low < 0.037 and high > 0.063 and stats.binom.cdf(300 * high, 300, 0.05) > 0.999
    assert Claim("at most", "rejects", 0.05, 0, 0.063).band(300)[0] == 0
    assert all(study.full >= 2000 for study in null_studies.suite())


def test_the_command_writes_table_and_figure_and_tells_what_is_wrong(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("METASTUDY_RESULTS", str(tmp_path))
    row = dict(
        zip(claims.COLUMNS, ("t", "skewed", 9, "rejects", 0.037, 0.063, 0.05, 10, "test", True, ""), strict=True)
    )
    monkeypatch.setattr(calibrate, "measure_all", lambda *_: pd.DataFrame([row]))
    assert calibrate.main([]) == 0
    assert len(pd.read_csv(tmp_path / "calibration" / "calibration.csv")) == 1
    assert (tmp_path / "calibration" / "calibration.png").stat().st_size > 1000
    monkeypatch.setattr(calibrate, "measure_all", lambda *_: pd.DataFrame([row | {"ok": False, "found": 0.2}]))
    assert calibrate.main(["--fast"]) == 1
    out = capsys.readouterr().out
    assert "NOT OK" in out and "1 of 1 rows are not ok" in out and "t, skewed, n = 9: rejects 20.0%" in out


@pytest.mark.parametrize("shape", ["skewed", "tied", "zero_inflated"])
def test_null_data_has_its_shape_and_no_difference(shape: str) -> None:
    rng = np.random.default_rng(0)
    drawn = [getattr(null_data, shape)(50, rng) for _ in range(400)]
    means = [(a - b).mean() for a, b in drawn]
    assert abs(np.mean(means)) < 3.5 * stats.sem(means)
    a, b = (np.concatenate(x) for x in zip(*drawn, strict=True))
    assert min(a) >= 0 and max(a) <= 1 and stats.pearsonr(a, b).statistic > 0.2
    if shape == "tied":
        assert np.allclose(a * 10, np.round(a * 10))
    if shape == "zero_inflated":
        assert 0.6 < np.mean(a == b) < 0.8
    if shape == "skewed":
        assert stats.skew(a) < -0.5


def test_families_lean_together() -> None:
    rng = np.random.default_rng(0)
    lasts = []
    for _ in range(300):
        a, b, family = null_data.clustered(null_studies.SIZES, rng)
        lasts.append((a - b)[family == family[-1]].mean())
        spread = (a - b).std(ddof=1)
    assert np.std(lasts) > 1.5 * spread / np.sqrt(null_studies.SIZES[-1])


def test_bad_input_is_refused() -> None:
    with pytest.raises(ParameterError, match="jobs is 0"):
        claims.measure_all(STUDIES, jobs=0)
    with pytest.raises(ParameterError, match="expected shares"):
        Claim("t", "rejects", 0.05, 0.5, 0.1)
    claim = Claim("t", "rejects", 0.05, 0, 1)
    with pytest.raises(DataError, match="2.* answers of bool to 1 claims"):
        claims.measure(Study("x", 2, lambda _: (True, False), (claim,)), 3, True, 0)

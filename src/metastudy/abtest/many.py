"""Several methods over several families: Friedman's test, critical difference, and Holm against a control.

After Demsar (2006, Journal of Machine Learning Research 7, "Statistical comparisons of classifiers over multiple data
sets") and Garcia and Herrera (2008, the same journal 9). Ranks forget how large differences are, and a mean rank
depends on which other methods are in the table (Benavoli, Corani and Mangili 2016, the same journal 17): report the
intervals of single comparisons beside them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.multitest import multipletests

from metastudy.errors import DataError, ParameterError

MIN_FAMILIES = 6  # the asymptotic tests promise nothing with fewer


@dataclass(frozen=True)
class Friedman:
    """Do any of k methods differ over N families?

    `ranks` mean rank of each method, best (lowest) first; `chi2` Friedman's statistic, corrected for ties, with k - 1
    degrees of freedom; `f` Iman and Davenport's, with k - 1 and (k - 1)(N - 1), whose p is `p`; `cd` the critical
    difference of two mean ranks at level `alpha` (Nemenyi).
    """

    ranks: pd.Series
    n_families: int
    chi2: float
    f: float
    p: float
    cd: float
    alpha: float

    @property
    def error(self) -> float:
        """Standard error of a difference of two mean ranks under the null: sqrt(k (k + 1) / (6 N))."""
        k = len(self.ranks)
        return math.sqrt(k * (k + 1) / (6 * self.n_families))


def friedman(table: pd.DataFrame, lower_is_better: bool = False, alpha: float = 0.05) -> Friedman:
    """Compare methods over families. `table`: one row a family, one column a method, scores in its cells.

    Deviation: Demsar's formulas ignore ties; scipy's statistic corrects for them, and Iman and Davenport's
    F = (N - 1) chi2 / (N (k - 1) - chi2) is built on that one. F is infinite where all families agree, so p is never
    taken below (k!)^(1 - N), the chance of that agreement. Where all methods tie in every family the answer is
    chi2 = 0, p = 1.

    Raises DataError for fewer than 6 families (report the interval of each family instead), fewer than 3 methods (use
    the paired test), names that repeat, or cells that are missing or not finite; ParameterError for
    alpha outside (0, 1).
    """
    if not 0 < alpha < 1:
        raise ParameterError(f"alpha is {alpha}; expected an error rate between 0 and 1, such as 0.05")
    n, k = table.shape
    if n < MIN_FAMILIES:
        raise DataError(
            f"{n} families; {MIN_FAMILIES} or more are needed to rank methods over them. Report the interval of each "
            "family instead"
        )
    if k < 3:
        raise DataError(f"{k} methods; expected 3 or more: compare two with the paired test")
    if table.columns.has_duplicates or table.index.has_duplicates:
        raise DataError("a family or method is named twice; expected one row a family and one column a method")
    scores = table.to_numpy(dtype=float)
    if not np.isfinite(scores).all():
        row, column = np.argwhere(~np.isfinite(scores))[0]
        raise DataError(
            f"{table.columns[column]} has no finite score on {table.index[row]}; expected every method on every "
            "family: drop the family or the method"
        )
    by_rank = stats.rankdata(scores if lower_is_better else -scores, axis=1)
    ranks = pd.Series(by_rank.mean(axis=0), index=table.columns, name="rank").sort_values(kind="stable")
    chi2, f, p = 0.0, 0.0, 1.0
    if (np.ptp(scores, axis=1) > 0).any():  # otherwise scipy divides by zero
        chi2 = float(stats.friedmanchisquare(*by_rank.T).statistic)
        left = n * (k - 1) - chi2
        f = (n - 1) * chi2 / left if left > 1e-9 else math.inf
        p = max(float(stats.f.sf(f, k - 1, (k - 1) * (n - 1))), math.factorial(k) ** (1.0 - n))
    return Friedman(ranks, n, chi2, f, p, critical_difference(k, n, alpha), alpha)


def critical_difference(k: int, n: int, alpha: float = 0.05) -> float:
    """Nemenyi's: mean ranks of k methods over n families that differ by this much differ at level alpha.

    q sqrt(k (k + 1) / (6 n)), with q the upper quantile of the studentized range of k groups divided by sqrt(2)
    (Demsar 2006, section 3.2.2). With tied scores it is a little too large.
    """
    return float(stats.studentized_range.ppf(1 - alpha, k, np.inf) / math.sqrt(2) * math.sqrt(k * (k + 1) / (6 * n)))


def cliques(ranks: pd.Series, cd: float) -> list[tuple[str, ...]]:
    """The largest groups of methods whose mean ranks all lie within less than cd, best first; single ones left out.

    Groups may overlap: then the data cannot say to which of them their common members belong.
    """
    ordered = ranks.sort_values(kind="stable")
    found: list[tuple[str, ...]] = []
    reached = 0  # a group that ends where an earlier one did is a part of it
    for start, lowest in enumerate(ordered):
        end = int((ordered < lowest + cd).sum())
        if end > max(reached, start + 1):
            found.append(tuple(ordered.index[start:end]))
        reached = max(reached, end)
    return found


def against_control(result: Friedman, control: str) -> pd.DataFrame:
    """Every other method against one that was named in advance. Columns: method, difference, z, p, p_adjusted.

    z = (mean rank - that of the control) / sqrt(k (k + 1) / (6 N)), above 0 where the control is better, and its
    two-sided normal p (Garcia and Herrera 2008), adjusted by Holm. Raises DataError for an unknown control.
    """
    if control not in result.ranks.index:
        raise DataError(f"no method {control!r}; expected one of {sorted(map(str, result.ranks.index))}")
    difference = result.ranks.drop(control) - result.ranks[control]
    z = difference.to_numpy() / result.error
    p = 2 * stats.norm.sf(np.abs(z))
    adjusted = multipletests(p, method="holm")[1]
    return pd.DataFrame(
        {"method": difference.index, "difference": difference.to_numpy(), "z": z, "p": p, "p_adjusted": adjusted}
    )

"""Many claims at once: p-values adjusted by statsmodels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from statsmodels.stats.multitest import multipletests


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Holm's step-down adjustment, by statsmodels."""
    return multipletests(list(p_values), method="holm")[1] if len(p_values) else np.array([])


def benjamini_hochberg(p_values: Sequence[float]) -> np.ndarray:
    """Benjamini and Hochberg's adjustment for the rate of false discoveries, by statsmodels: for screens."""
    return multipletests(list(p_values), method="fdr_bh")[1] if len(p_values) else np.array([])

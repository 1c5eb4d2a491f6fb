"""Late interaction: each word of what is looked for is matched with the nearest word of a page.

As ColBERT (Khattab and Zaharia 2020, eq. 3) adds up the best matches of token vectors. Deviations: a word has one
vector, whatever stands around it, from the latent semantic space of the collection itself; words are weighted; matches
below zero count as zero.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix

from metastudy.feedback.index import Values


def best_matches(wanted: Values, weights: Values, vectors: Values, pages: csr_matrix, places: Sequence[int]) -> Values:
    """Weighted mean over wanted words of the cosine of the nearest word of a page: one value per place, in [0, 1].

    Shapes: wanted (m, l) and vectors (V, l) of length one or zero; weights (m,), none negative; pages (N, V), of which
    only the places of non-zeros are looked at. 0 for a page without words, and where no word is wanted.
    """
    rows = pages[list(places)]
    found = np.zeros(rows.shape[0])
    if not len(wanted) or not weights.sum() > 0 or not rows.nnz:
        return found
    own, column = np.unique(rows.indices, return_inverse=True)
    near = np.maximum(vectors[own] @ wanted.T, 0)[column]  # (non-zeros, m)
    filled = np.diff(rows.indptr) > 0
    found[filled] = np.maximum.reduceat(near, rows.indptr[:-1][filled], axis=0) @ weights / weights.sum()
    return found

"""The columns of `learned_columns` for some pages, a few times as fast: what g needs while somebody waits.

A page's neighbours propagate what they score, and how that is spread takes the scores of all pages. So vectors of all
pages are looked at, but as seldom as can be:

- vectors are multiplied with the query, with each relevant page, and with the mean of the others while they are in the
  processor's cache; the mean over relevant pages is the mean of their products. Where dense vectors are the latent
  semantic ones, as without an encoder, both have the same products;
- weighted queries touch the postings of their words alone, all of one matrix together (`word_weights`);
- RM3 is left out where g has no column of it; late interaction is `fast_late`, its sample beside the candidates;
- columns are kept as rows, (c, N), so that means and spreads go through memory in order.

The numbers are those of `learned_columns` up to rounding, in double precision as there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from metastudy.feedback.components import MATCH, Scores
from metastudy.feedback.fast import checked
from metastudy.feedback.fast_late import best_matches_each
from metastudy.feedback.index import Query, Values
from metastudy.feedback.learned_columns import COLUMNS, GROUPS, PLAIN
from metastudy.feedback.rocchio import DIGITS
from metastudy.feedback.surroundings import Surroundings
from metastudy.feedback.word_weights import WordWeights

EQUAL = 1e-9  # as in `components.standardised`: a smaller share of the largest value is no spread
BLOCK = 2**16  # numbers, half a MiB: of vectors that are looked at several times in a row
FEW = 5  # vectors to multiply with, for which single products are faster than a matrix product


@dataclass(frozen=True, eq=False)
class FastColumns:
    """A collection with what need not be made again for each query.

    by_word: {"bm25", "tfidf", "title"} -> (V, N). same_vectors, same_near: dense is latent semantic, twice the same.
    """

    around: Surroundings
    by_word: Mapping[str, csr_matrix]
    same_vectors: bool
    same_near: bool

    @classmethod
    def of(cls, around: Surroundings) -> FastColumns:
        """Takes a moment, and what `around` and its index keep once they are asked; no memory besides."""
        index, near = around.index, (around.near_dense, around.near_lsa)
        index.bm25_rows, around.expected, around.sample, around.weights  # noqa: B018  # made here, not in the first query
        by_word = {"bm25": index.bm25.T, "tfidf": index.tfidf_columns.T, "title": around.title_columns.T}
        same_near = all(np.array_equal(*(getattr(n, part) for n in near)) for part in ("indptr", "indices", "data"))
        return cls(around, by_word, np.array_equal(index.dense, index.lsa), same_near)

    def columns(
        self, query: Query, positives: Sequence[int], negatives: Sequence[int], places: Sequence[int]
    ) -> Scores:
        """`learned_columns(around, query, positives, negatives, places)`: (len(places), len(COLUMNS)).

        Errors as there; ParameterError too for a place that is not a row of the index.
        """
        places, judged = checked(self.around.index, query, positives, negatives, places)
        weights = WordWeights.of(self.around, query, positives, negatives)
        raw = self._of_vectors(query, positives, negatives) | self._of_words(weights)
        names = [*MATCH, *(name for name in raw if name not in MATCH)]
        rows, own = np.stack([raw[name] for name in names]), len(MATCH)
        mean, spread = np.concatenate([moments(rows[:own]), moments(rows[own:], judged)], axis=1)
        found = dict(zip(names, (rows[:, places] - mean[:, None]) / spread[:, None], strict=True))
        if len(positives):
            some = [names.index(name) for name in PLAIN]
            scores = np.array([*PLAIN.values()]) / spread[some] @ (rows[some] - mean[some, None])
            found |= self._propagated(np.maximum(np.round(scores, DIGITS), 0), judged, places)
            found |= self._late(weights, places)
        nothing = np.zeros(len(places))
        return np.stack([found.get(name, nothing) for name in COLUMNS], axis=1)

    def _of_vectors(self, query: Query, positives: Sequence[int], negatives: Sequence[int]) -> dict[str, Values]:
        """Inner products with all pages: (N,) each."""
        found: dict[str, Values] = {}
        spaces = ("dense",) if self.same_vectors and np.array_equal(query.dense, query.lsa) else ("dense", "lsa")
        for space in spaces:
            vectors, k = getattr(self.around.index, space), len(positives)
            wanted = [getattr(query, space), *vectors[list(positives)]]
            wanted += [vectors[list(negatives)].mean(0)] if len(negatives) else []
            near = products(vectors, wanted)  # (1 + k + 1, N)
            found[space] = near[0]
            if k:
                found |= {f"{space}_positive": near[1 : k + 1].mean(0), f"{space}_nearest": near[1 : k + 1].max(0)}
            if len(negatives):
                found[f"{space}_negative"] = near[-1]
        if len(spaces) == 1:
            found |= {name.replace("dense", "lsa"): values for name, values in found.items()}
        return found

    def _of_words(self, weights: WordWeights) -> dict[str, Values]:
        """Weighted queries, by all pages: (N,) each."""
        found: dict[str, Values] = {}
        for space, wanted in (("bm25", weights.bm25), ("tfidf", weights.tfidf), ("title", weights.title)):
            nearest = weights.nearest if space == "tfidf" else weights.nearest[:0]
            if wanted:
                scores = np.stack([*wanted.values(), *nearest]) @ self.by_word[space][weights.words]  # (c, N)
                found |= dict(zip(wanted, scores, strict=False))
                if len(nearest):
                    found["tfidf_nearest"] = scores[len(wanted) :].max(0)
        return found

    def _propagated(self, plain: Values, judged: list[int], places: NDArray[np.int64]) -> dict[str, Values]:
        """What the neighbours score, standardised over pages that nobody judged: (len(places),) each."""
        graphs = [self.around.near_dense] if self.same_near else [self.around.near_dense, self.around.near_lsa]
        rows = np.stack([near @ plain for near in graphs])
        mean, spread = moments(rows, judged)
        found = (rows[:, places] - mean[:, None]) / spread[:, None]
        return dict(zip(GROUPS["propagated"], found[[0, -1]], strict=True))

    def _late(self, weights: WordWeights, places: NDArray[np.int64]) -> dict[str, Values]:
        """Late interaction, standardised over the sample: (len(places),) each."""
        sample, index = self.around.sample, self.around.index
        pages = np.concatenate([sample, places])
        rows = best_matches_each(weights.words, weights.late, self.around.words, index.counts, pages)
        mean, spread = moments(rows[:, : len(sample)])
        found = (rows[:, len(sample) :] - mean[:, None]) / spread[:, None]
        return dict(zip(GROUPS["late"], found, strict=True))


def products(vectors: Values, wanted: Sequence[Values]) -> Values:
    """Inner products of c wanted vectors with all of vectors (N, d): (c, N).

    A few are faster one after the other than in a matrix product, if a block of vectors stays in the processor's cache
    from one to the next.
    """
    if len(wanted) > FEW:
        return np.stack(wanted) @ vectors.T
    found, size = np.empty((len(wanted), len(vectors))), max(1, BLOCK // vectors.shape[1])
    for start in range(0, len(vectors), size):
        block = slice(start, start + size)
        for own, one in zip(found, wanted, strict=True):
            np.matmul(vectors[block], one, out=own[block])
    return found


def moments(rows: Values, left_out: Sequence[int] = ()) -> tuple[Values, Values]:
    """Mean and standard deviation (c,) of rows (c, N) over all but some columns; the deviation is infinite where all
    are equal up to rounding, so that what is divided by it is 0."""
    n, left_out = rows.shape[1] - len(left_out), list(left_out)
    rest = rows.copy()
    rest[:, left_out] = 0  # not subtracted from sums: of what is left, rounding could be all
    mean = rest.sum(1) / n
    rest -= mean[:, None]
    rest[:, left_out] = 0
    spread = np.sqrt(np.einsum("ij,ij->i", rest, rest) / n)
    doubtful = np.flatnonzero(spread <= EQUAL * (np.abs(mean) + np.sqrt(n) * spread))  # no value can be larger
    if len(doubtful):
        largest = np.abs(np.delete(rows[doubtful], left_out, axis=1)).max(1)
        spread[doubtful] = np.where(spread[doubtful] <= EQUAL * largest, np.inf, spread[doubtful])
    return mean, spread

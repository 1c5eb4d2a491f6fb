"""Search in people's own pages that learns from a few judgements, by a g that was trained on public collections.

    searcher = Searcher.of(pages)                                  # {id: text}, {id: (title, text)}, a DataFrame, ...
    first = searcher.search("how does a wing stall")
    searcher.search("how does a wing stall", feedback={first[0].id: True, first[1].id: False})

Nothing is trained here: the pages' own text gives words and vectors, g's weights say what to make of judged pages.
Pages, queries and judgements never leave this machine. g must not be evaluated on a collection it learned from: the
project's own learned from the six of `families.search_feedback.NAMES`; the study, which holds each out once, says what
it does on a new one. `ranker_file.train_g` makes one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import CountVectorizer
from threadpoolctl import threadpool_limits

from metastudy import ranker_file
from metastudy.encoders import Encoder, TfidfSvd, terms
from metastudy.errors import DataError, ParameterError
from metastudy.families.collection import LSA_DIM
from metastudy.feedback import surroundings
from metastudy.feedback.components import NAMES, Scores, components
from metastudy.feedback.fast_columns import FastColumns
from metastudy.feedback.index import PageIndex, Query, Values
from metastudy.feedback.learned_columns import COLUMNS, PLAIN
from metastudy.feedback.rocchio import NONE, combined, matrix
from metastudy.feedback.surroundings import Surroundings
from metastudy.minilm import MiniLM
from metastudy.own_pages import Id, OwnPages, read_feedback
from metastudy.project import Project
from metastudy.ranker_file import OWN_PAGES, TrainedRanker, fingerprint
from metastudy.search_results import Result, Results

MODEL = "results/full/models/search_g.safetensors"
MODEL_MINILM = "results/full/models/search_g_minilm.safetensors"
HOW_TO_MAKE = "`make reproduce PROFILE=full` makes it (notebook 06_semantic_search)"
CANDIDATES = 1_000  # pages that g ranks; of more, those that F+L with ordinary weights puts first
NAME = "own pages"  # of the collection, in messages


@dataclass(frozen=True, eq=False, repr=False)
class Searcher:
    """Pages to search, made by `of`; `search` may then be called as often as one likes. Picklable, as its encoder is.

    `words` counts the V known words of a text, `latent` makes its latent semantic vector (None where the pages are too
    few for any). `model` None stands for the project's own g, which is read when a page is first judged relevant.

    Seconds on one core of a server, without encoder, for pages of 20 words: 20,000 are read in 4, 100,000 in 15, and a
    query takes 0.02 and 0.15. The first relevant page takes 5 and 53 more, since the nearest pages of each page are
    found: that grows with the square of their number, so a million would take an hour and a half. Feedback after that
    takes 0.04 and 0.2. Memory besides Python's own is 0.3 and 0.7 GiB. An encoder's time, mostly far more, is on top.
    """

    pages: OwnPages
    index: PageIndex
    words: CountVectorizer
    latent: TfidfSvd | None
    encoder: Encoder | None = None
    model: TrainedRanker | None = None

    @classmethod
    def of(
        cls, pages: object, encoder: Encoder | None = None, model: TrainedRanker | Path | str | None = None
    ) -> Searcher:
        """From pages in one of the forms of `OwnPages.of`: a mapping, a DataFrame, a folder in BEIR's layout.

        `encoder` makes dense vectors (`minilm.MiniLM()`, which downloads nothing when the extra `search` is installed);
        without one they are latent semantic vectors fitted on the pages. `model` is what `ranker_file` trained or
        wrote; it must have been trained with the same encoder.

        Pages without text are kept, since feedback may name them, but are never found and teach nothing. Where pages
        have no word in common, words alone rank them. Raises ParameterError and DataError as `OwnPages.of`; DataError
        where no page has a word of the letters a to z, and for a model's file that is missing or damaged;
        ParameterError for a model of another encoder, and for what is no encoder or model.
        """
        if encoder is not None and not (callable(encoder) and hasattr(encoder, "fingerprint")):
            raise ParameterError(f"encoder is a {type(encoder).__name__}; expected None, or one such as MiniLM()")
        if isinstance(model, str | Path):
            model = ranker_file.read(Path(model))
        if model is not None and not isinstance(model, TrainedRanker):
            raise ParameterError(f"model is a {type(model).__name__}; expected a path, a TrainedRanker, or None")
        if model is not None and model.encoder != fingerprint(encoder):
            raise ParameterError(
                f"the model was trained with {_told(model.encoder)}, and the pages are read with "
                f"{_told(fingerprint(encoder))}: its weights mean nothing there; give that encoder, or another model"
            )
        own = OwnPages.of(pages)
        words = CountVectorizer(analyzer=terms, dtype=np.float64)
        try:
            counts = csr_matrix(words.fit_transform(own.pages))
        except ValueError as error:
            raise DataError(
                f"none of the {len(own)} pages has a word of the letters a to z (very common ones do not count), and "
                "others are not seen; expected some text to search"
            ) from error
        counts.sort_indices()
        dense = _encoded(encoder, own.pages) if encoder else None
        with _quietly():
            try:
                latent = TfidfSvd(own.pages, LSA_DIM)
            except DataError:  # too few pages, or no word in two of them: all are alike
                latent = None
            lsa = latent(own.pages).astype(np.float64) if latent else np.zeros((len(own), 1))
        dense = lsa if dense is None else dense
        ids, none = np.array([str(i) for i in own.ids]), np.array([], dtype=str)
        asked = csr_matrix((0, counts.shape[1]))
        index = PageIndex(NAME, ids, none, counts, asked, dense, dense[:0], lsa, lsa[:0])
        return cls(own, index, words, latent, encoder, model)

    def search(self, query: str, feedback: Mapping[Id, float] | None = None, n: int = 10) -> Results:
        """The n best pages for a query, or all where there are fewer.

        `feedback` says of some pages whether they are relevant: True or False, or a grade, of which any above 0 is
        relevant. Judged pages are no results. The rest are ranked by

        - g, where at least one judged page is relevant; all of them may be. Of more than `CANDIDATES` pages, g ranks
          those that a plain formula (F+L with ordinary weights) puts first: on cranfield and cystic_fibrosis, nDCG@10
          with 200 of them was that with all;
        - BM25 and dense vectors, standardised and added up, untuned (`rocchio.NONE`), where none is: without feedback,
          and where all judged pages are irrelevant, since pages that are not wanted do not say what is.

        Every page with text is ranked, whether or not it matches. Of equal scores, the one that was ahead without
        feedback is first, then the one that was given first. Query words that no page has are as if not there. There
        are no results, and `Results.note` says why, where every page with text is judged; and where no page has a word
        of the query, unless a page is judged relevant (then the results are like that page) or an encoder reads it.

        Raises ParameterError for a query that is no string, or blank without a relevant page; for n below 1; for
        `feedback` as `own_pages.read_feedback`. DataError as `load_g` where the project's own g is needed and missing.
        """
        if not isinstance(query, str):
            raise ParameterError(f"query is a {type(query).__name__}; expected a string")
        if isinstance(n, bool) or not isinstance(n, Integral) or n < 1:
            raise ParameterError(f"n = {n!r}; expected a number of results, 1 or more")
        judged = read_feedback(feedback, self.pages)
        written = self.pages.written
        positives, negatives = (
            [row for row, r in judged.items() if written[row] and r == side] for side in (True, False)
        )
        if not positives and not query.strip():
            raise ParameterError(
                "query is blank; expected words, or a relevant page in feedback: more like it are found"
            )
        left = np.setdiff1d(np.flatnonzero(written), list(judged))
        with _quietly():
            asked = self._asked(query)
            found, note = (), ""
            if not len(left):
                note = "no page with text is left that nobody judged"
            elif not positives and not asked.words.any() and not asked.dense.any():
                note = "no page has a word of the query (very common ones do not count): try others"
            else:
                found = self._found(asked, positives, negatives, left, int(n))
        told = {self.pages.ids[row]: relevant for row, relevant in judged.items()}
        return Results(query, found, told, len(left), note)

    @cached_property
    def ranker(self) -> TrainedRanker:
        """What ranks after feedback: `model`, or the project's own g. Raises what `load_g` raises."""
        return self.model or load_g(self.encoder)

    @cached_property
    def _around(self) -> Surroundings:
        """What g's columns need besides words and vectors; made when a page is first judged relevant."""
        return surroundings.of_arrays(self.index, surroundings.build(self.index, self.pages))

    @cached_property
    def _fast(self) -> FastColumns:
        """What makes g's columns; made with them."""
        return FastColumns.of(self._around)

    def _asked(self, query: str) -> Query:
        """A query as counts and vectors; zeros where nothing is known of it, and for a blank one."""
        counts = np.asarray(self.words.transform([query]).toarray())[0]
        lsa = self.latent([query])[0] if self.latent else np.zeros(1)
        dense = lsa
        if self.encoder:
            read = query.strip()
            dense = _encoded(self.encoder, [query])[0] if read else np.zeros(self.index.dense.shape[1])
        return Query(counts, dense.astype(np.float64), lsa.astype(np.float64))

    def _found(
        self, asked: Query, positives: Sequence[int], negatives: Sequence[int], left: np.ndarray, n: int
    ) -> tuple[Result, ...]:
        """The n best of the rows `left`."""
        own = components(self.index, asked, positives, negatives)
        untuned = combined(own[left], matrix([NONE]))[0]
        first = _order(left, untuned)
        if positives:
            shots, weights = len(positives) + len(negatives), self.ranker.weights  # first: it may be missing
            rows = self._candidates(first, own, n)
            x = self._fast.columns(asked, positives, negatives, rows)
            scores = weights.scores(x, shots, True)
            names, parts = COLUMNS, dict(zip(weights.columns, weights.at(shots).tolist(), strict=True))
        else:
            rows, x, scores, names, parts = left, own[left], untuned, NAMES, NONE
        place = {row: i for i, row in enumerate(rows.tolist())}
        rank_before = {row: rank for rank, row in enumerate(first.tolist(), start=1)}
        found = []
        for rank, row in enumerate(_order(rows, scores)[:n].tolist(), start=1):
            i = place[row]
            why = {name: float(x[i, names.index(name)]) * weight for name, weight in parts.items()}
            why = dict(sorted(why.items(), key=lambda item: -abs(item[1])))
            page = self.pages.ids[row], self.pages.summaries[row]
            found.append(Result(*page, float(scores[i]), rank, rank_before[row], why))
        return tuple(found)

    @staticmethod
    def _candidates(first: np.ndarray, own: Scores, n: int) -> np.ndarray:
        """The rows that g ranks, of those that are left, in their order."""
        limit = max(CANDIDATES, n)
        if len(first) <= limit:
            return first
        plain = combined(own[first], matrix([PLAIN]))[0]
        return first[np.sort(np.argsort(-plain, kind="stable")[:limit])]

    def __repr__(self) -> str:
        known, read = len(self.words.vocabulary_), _told(fingerprint(self.encoder))
        return f"Searcher({len(self.pages):,} pages, {known:,} words, {read})"


def search(
    query: str,
    pages: object,
    feedback: Mapping[Id, float] | None = None,
    encoder: Encoder | None = None,
    model: TrainedRanker | Path | str | None = None,
    n: int = 10,
) -> Results:
    """`Searcher.of(pages, encoder, model).search(query, feedback, n)`: for more than one query, keep the searcher, as
    most of the time goes into reading the pages."""
    return Searcher.of(pages, encoder, model).search(query, feedback, n)


def load_g(encoder: Encoder | None = None) -> TrainedRanker:
    """The g that the study trained at profile full, without encoder or with MiniLM.

    Raises DataError where it is missing, and says how to make it; ParameterError for another encoder.
    """
    names = {OWN_PAGES: MODEL, MiniLM().fingerprint: MODEL_MINILM}
    if (found := fingerprint(encoder)) not in names:
        raise ParameterError(
            f"the project has no g for {_told(found)}; train one on public collections with "
            "`ranker_file.train_g(encoder)` and give it as `model`, or leave the encoder out"
        )
    path = Project.at().path(names[found])
    if not path.is_file():
        raise DataError(f"{names[found]} is missing; {HOW_TO_MAKE}, or restore it from git, or name another as `model`")
    return ranker_file.read(path)


@contextmanager
def _quietly() -> Iterator[None]:
    """Sums that repeat, whatever the number of cores, and no warning where all pages are the same: the share of the
    variance that a dimension explains, which nothing here looks at, is then 0, or what rounding left, by 0."""
    with threadpool_limits(1), np.errstate(invalid="ignore", divide="ignore"):
        yield


def _order(rows: np.ndarray, scores: Scores) -> np.ndarray:
    """Rows by score, best first; of equal scores, in their order."""
    return rows[np.argsort(-scores, kind="stable")]


def _encoded(encoder: Encoder, texts: Sequence[str]) -> Values:
    """Vectors of texts (N, d). Raises DataError where an encoder gives something else."""
    vectors = np.asarray(encoder(texts), dtype=np.float64)
    if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
        raise DataError(
            f"the encoder made {vectors.shape} of {len(texts)} texts; expected finite numbers, a row a text"
        )
    return vectors


def _told(encoder: str) -> str:
    """A fingerprint for people."""
    return "no encoder" if encoder == OWN_PAGES else f"encoder {encoder[:12]}"

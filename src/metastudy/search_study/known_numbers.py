"""Whether first stages are what others know them to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from threadpoolctl import threadpool_limits

from metastudy import loaders
from metastudy.abtest import interval
from metastudy.encoders import Encoder
from metastudy.errors import DataError
from metastudy.families.candidates import NAMES, PARTS, SET_ASIDE, to_search
from metastudy.families.collection import RRF_K, ranks, standardise
from metastudy.feedback import index as page_index
from metastudy.feedback.grid import ndcg
from metastudy.feedback.index import PageIndex, Values
from metastudy.feedback.rocchio import DIGITS

LISTED, GRADES = "every listed pair", "grades"
"""What counts as relevant. The first is a rule for Cranfield alone, that earlier probes went by: whatever is judged at
all, each page the same, even the code -1 (`candidates.SET_ASIDE`). All else here goes by the second."""
OWN_PAGES = "own pages"


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class _Source(_Strict):
    cite: str
    full: str


class _Known(_Strict):
    benchmark: Literal[NAMES]
    setting: Literal[LISTED, GRADES]
    method: str
    value: Annotated[float, Field(ge=0, le=1)]
    plus_minus: Annotated[float, Field(ge=0)] | None = None
    source: str
    checked: Literal["read in the source", "read elsewhere", "from memory", "measured by a probe"]
    note: Annotated[str, Field(max_length=50)] = ""


class _File(_Strict):
    sources: dict[str, _Source]
    results: list[_Known]


def known(path: Path) -> pd.DataFrame:
    """Known nDCG@10 of first stages (data/published_search.yaml): benchmark, setting, method, value, plus_minus, cite,
    source (in full), checked, note. Raises DataError where the file is not as its head says, or says a thing twice."""
    try:
        held = _File.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        rows = [r.model_dump() | held.sources[r.source].model_dump() for r in held.results]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
        raise DataError(f"{path.name}: {error}. Mend the file; its head says what a result holds") from None
    except KeyError as error:
        raise DataError(f"{path.name}: source {error} is not among its sources. Mend the file") from None
    table = pd.DataFrame(rows)
    if (twice := table.duplicated(["benchmark", "setting", "method", "source"])).any():
        raise DataError(f"{path.name}: {' '.join(table[twice].iloc[0, :3])} of one source stands there twice; drop one")
    columns = ["benchmark", "setting", "method", "value", "plus_minus", "cite", "full", "checked", "note"]
    return table[columns].rename(columns={"full": "source"}).astype({"plus_minus": float})


def first_stages(index: PageIndex, allowed: np.ndarray) -> dict[str, Values]:
    """Scores (Q, N) of all pages for all queries: BM25, cosine ("dense"), their reciprocal rank fusion (Cormack et al.
    2009) and the sum of both, each standardised over the pages that may be results, `allowed` (Q, N)."""
    with threadpool_limits(1):  # sums that repeat, whatever the number of cores
        found = [(index.asked @ index.bm25.T).toarray(), index.dense_asked @ index.dense.T]
    bm25, dense = (np.where(allowed, np.round(scores, DIGITS), -np.inf) for scores in found)
    both = sum(standardise(scores, allowed) for scores in found)
    rrf = 1 / (RRF_K + ranks(bm25)) + 1 / (RRF_K + ranks(dense))
    fused = {"RRF": rrf, "sum": np.round(both, DIGITS)}
    return {"BM25": bm25, "dense": dense} | {k: np.where(allowed, v, -np.inf) for k, v in fused.items()}


def _quality(index: PageIndex, scores: Values, grades: Mapping[str, int]) -> float:
    """nDCG@10 of one ranking of all pages, by scores (N,)."""
    gains = np.zeros(len(index.pages))
    gains[[index.place[page] for page in grades]] = list(grades.values())
    return float(ndcg(scores[None], gains, sorted(grades.values(), reverse=True))[0])


def anchors(names: Sequence[str], encoder: Encoder | None = None, others: pd.DataFrame | None = None) -> pd.DataFrame:
    """nDCG@10 of first stages over all pages and all queries with a relevant page, beside what is `known` of them.

    Columns: collection, judgements (`GRADES`; of Cranfield `LISTED` too), method, queries, ndcg, low, high (95%, over
    queries), known, difference, cite, checked, note. A number of ours that several know stands there once for each;
    where nobody knows it, known is NaN. Vectors are the encoder's, or latent semantic ones of the collection's own
    pages. Errors as in `feedback.index.load`.
    """
    rows = []
    for name in names:
        index, found = page_index.load(name, encoder), loaders.load(name)
        collection = to_search(found, PARTS.get(name))
        for rule in (LISTED, GRADES) if name in SET_ASIDE else (GRADES,):
            allowed = collection.allowed if rule == GRADES else np.ones_like(collection.allowed)
            judged = [
                collection.relevant[query] if rule == GRADES else dict.fromkeys(found.qrels[query], 1)
                for query in index.queries
            ]
            for stage, scores in first_stages(index, allowed).items():
                own = np.array([_quality(index, s, grades) for s, grades in zip(scores, judged, strict=True)])
                vectors = "" if stage == "BM25" else f" ({encoder.name if encoder else OWN_PAGES})"
                rows.append((name, rule, f"{stage}{vectors}", len(own), own.mean(), *interval(own)))
    key = ["collection", "judgements", "method"]
    table = pd.DataFrame(rows, columns=[*key, "queries", "ndcg", "low", "high"])
    said = ["known", "cite", "checked", "note"]
    renamed = {"benchmark": "collection", "setting": "judgements", "value": "known"}
    others = pd.DataFrame(columns=[*key, *said]) if others is None else others.rename(columns=renamed)
    table = table.merge(others[[*key, *said]], on=key, how="left").astype({"known": float})
    table.insert(table.columns.get_loc("known") + 1, "difference", table["ndcg"] - table["known"])
    return table.fillna({"cite": "", "checked": "", "note": ""})

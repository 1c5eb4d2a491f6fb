"""What `search_speed` searches, a file of made-up vectors, and the index library that it measures beside the scan."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

DIM = 384  # as MiniLM's vectors
CLUSTERS = 200
COMMON = 0.4  # of all vectors, beside centre and noise of about length 0.7 each
AT_ONCE = 10_000  # rows drawn at once
QUERIES = 2**32 - 1  # the part that queries are drawn as
RESET_PEAK = "5"  # what proc(5) wants written to clear_refs


@dataclass(frozen=True)
class Mixture:
    """Gaussians around random centres, scaled to length one; all share a direction.

    With equal variance in all dimensions, the members of a cluster would be equally far from each other, and nearest
    ones would mean nothing. So standard deviations fall with the dimension j, as j^-0.5 within a cluster and as j^-0.3
    between clusters. These numbers were chosen to come near to MiniLM's vectors of the collection npl, in the cosines
    of nearest vectors and of others, and in the recall of an index. There is no rotation: inner products stay the same.
    """

    seed: int = 0

    @cached_property
    def centres(self) -> NDArray[np.float32]:
        rng = np.random.default_rng([self.seed, 0])
        return rng.standard_normal((CLUSTERS, DIM), dtype=np.float32) * _falling(0.3)

    def rows(self, n: int, part: int) -> NDArray[np.float16]:
        """n vectors; each `part` is another draw."""
        rng = np.random.default_rng([self.seed, 1, part])
        found = rng.standard_normal((n, DIM), dtype=np.float32) * _falling(0.5)
        found += self.centres[rng.integers(CLUSTERS, size=n)]
        found[:, 0] += COMMON
        found /= np.linalg.norm(found, axis=1, keepdims=True)
        return torch.from_numpy(found).half().numpy()

    def queries(self, n: int) -> NDArray[np.float32]:
        """More of the same, which no file holds."""
        return self.rows(n, QUERIES).astype(np.float32)

    def write(self, path: Path, n: int) -> None:
        """n vectors as a .npy file, (n, DIM) float16."""
        found = np.lib.format.open_memmap(path, "w+", np.float16, (n, DIM))
        for part, start in enumerate(range(0, n, AT_ONCE)):
            found[start : start + AT_ONCE] = self.rows(min(AT_ONCE, n - start), part)
        found.flush()


def _falling(power: float) -> NDArray[np.float32]:
    """Standard deviations j^-power of dimensions j = 1, 2, ..., with variances that add up to a half."""
    found = np.arange(1, DIM + 1) ** -power
    return (found / np.linalg.norm(found) * 0.5**0.5).astype(np.float32)


def plain_read(vectors: NDArray[np.float16]) -> int:
    """Every byte once, with as little to do as possible: what the memory gives."""
    return int(np.bitwise_xor.reduce(vectors.reshape(-1).view(np.uint64)))


def by_definition(vectors: NDArray[np.float16], queries: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """The k largest inner products of each query in double precision, all of them computed and sorted: (Q, k)."""
    parts = [vectors[i : i + AT_ONCE].astype(np.float64) @ queries.T for i in range(0, len(vectors), AT_ONCE)]
    return np.argsort(-np.concatenate(parts), axis=0, kind="stable")[:k].T


def _status_mb(field: str) -> float | None:
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:")), None)


def own_mb() -> float | None:
    """Memory of this process that is no file, in MiB; None where the system does not say."""
    return _status_mb("RssAnon")


def rise_mb(step: Callable[[], object]) -> float | None:
    """How much more memory a step holds at its peak than was held before, in MiB; None where unknown.

    What earlier steps left behind to be used again is given back first where the C library can do so.
    """
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)
    try:
        Path("/proc/self/clear_refs").write_text(RESET_PEAK)
    except OSError:
        return None
    before = _status_mb("VmRSS")
    step()
    return round(max(0.0, _status_mb("VmHWM") - before), 1)


class Usearch:
    """An index of usearch: a graph of neighbours (HNSW, Malkov and Yashunin 2020) over its own copy of the vectors.

    Inner product, half precision as in the file, and otherwise the library's own settings.
    """

    def __init__(self, vectors: NDArray[np.float16], threads: int) -> None:
        from usearch.index import Index

        before, start = own_mb(), time.perf_counter()
        self.index = Index(ndim=vectors.shape[1], metric="ip", dtype="f16")
        self.index.add(np.arange(len(vectors), dtype=np.uint64), vectors, threads=threads)
        self.seconds = time.perf_counter() - start
        self.mb = None if before is None else own_mb() - before
        self.threads = threads

    def nearest(self, queries: np.ndarray, k: int, expansion: int | None = None) -> NDArray[np.int64]:
        """Ids (Q, k). `expansion`: how many candidates a search keeps; None looks at all vectors."""
        if expansion is not None:
            self.index.expansion_search = expansion
        found = self.index.search(queries, k, exact=expansion is None, threads=self.threads)
        return np.asarray(found.keys).reshape(len(queries), k).astype(np.int64)

"""Earlier tasks that come with the pinned packages, in the form of somebody's own rows: as many columns, about as many
classes. Nothing is downloaded.

For texts: which module of its library does a docstring belong to? For numbers: scikit-learn's digits, iris, breast
cancer and wine.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine

from metastudy import corpus
from metastudy.encoders import Vectors

TEXT_TRAIN = ("numpy", "scipy", "pandas", "matplotlib", "torch", "networkx")
TEXT_VALIDATION = ("sklearn", "statsmodels", "sympy")
N_QUERY = 5  # query rows of each class, in training and validation
MOST_SHOTS = 20  # that earlier tasks have: larger numbers of shots learn from so many


@dataclass(frozen=True, eq=False)
class Domain:
    """Rows that may meet in one task: x (N, D), and the rows of each class by its name."""

    x: np.ndarray
    classes: Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class EarlierTasks:
    """Domains to train and to validate on, whose tasks have `ways` classes (all of a domain that has fewer).

    `mixed`: each task sees `dim` columns of its domain, chosen or mixed at random (`as_columns`), since what a column
    stands for is another thing in each table. Directions of texts are not turned: they stand for other words in each
    domain, but they come by strength, and as to that φ learns something. Turned at random in training, ANIL was right
    in .541 instead of .559 with 1 example of a class (two domains of CLINC150, Banking77), and .759 and .762 with 5.
    """

    train: Mapping[str, Domain]
    validation: Mapping[str, Domain]
    dim: int
    ways: int
    mixed: bool

    def draw(
        self, part: Literal["train", "validation"], shots: int, rng: np.random.Generator
    ) -> tuple[str, tuple[str, ...], np.ndarray, np.ndarray]:
        """A domain, its classes in the order of their numbers, and support (C, k, D) and query (C, N_QUERY, D) rows.

        k is `shots`, or fewer where a class has not as many.
        """
        domains = getattr(self, part)
        names = list(domains)
        name = names[rng.integers(len(names))]
        domain = domains[name]
        listed = list(domain.classes)
        chosen = [listed[i] for i in rng.permutation(len(listed))[: self.ways]]
        k = min(shots, MOST_SHOTS, min(len(domain.classes[c]) for c in chosen) - N_QUERY)
        rows = np.stack([rng.choice(domain.classes[c], k + N_QUERY, replace=False) for c in chosen])
        x = domain.x[rows]
        if self.mixed:
            x = as_columns(x, domain.x, self.dim, rng)
        return name, tuple(f"{name}/{c}" for c in chosen), x[:, :k], x[:, k:]


def as_columns(x: np.ndarray, domain: np.ndarray, dim: int, rng: np.random.Generator) -> np.ndarray:
    """(..., D) rows of a domain (N, D) -> (..., dim) standardised columns: some of them, or random mixtures."""
    here = domain.shape[1]
    if dim <= here and rng.random() < 0.5:
        chosen = rng.permutation(here)[:dim]
        seen, rows = domain[:, chosen], x[..., chosen]
    else:
        mixture = rng.normal(size=(here, dim)) / here**0.5
        seen, rows = domain @ mixture, x @ mixture
    return ((rows - seen.mean(0)) / np.maximum(seen.std(0), 1e-6)).astype(np.float32)


def text_tasks(
    encode: Callable[[Sequence[str]], Vectors], dim: int, ways: int, shots: int, n_words: int
) -> EarlierTasks:
    """Tasks of docstrings, each cut to its first `n_words` words.

    `encode` turns the texts of one domain into (N, dim) vectors. A domain is one library, or as many as it takes to
    have `ways` classes of `shots` examples.
    """
    size = min(shots, MOST_SHOTS) + N_QUERY
    parts = []
    for packages in (TEXT_TRAIN, TEXT_VALIDATION):
        modules = {p: _modules(p, size) for p in packages}
        domains = {}
        for i, package in enumerate(packages):
            together, n = [], 0
            for p in (*packages[i:], *packages[:i]):
                if n < ways and modules[p]:
                    together.append(p)
                    n += len(modules[p])
            texts, classes = [], {}
            for p in together:
                for module, own in modules[p].items():
                    classes[module] = np.arange(len(texts), len(texts) + len(own))
                    texts += [" ".join(text.split()[:n_words]) for text in own]
            domains[package] = Domain(encode(texts), classes)
        parts.append(domains)
    return EarlierTasks(*parts, dim, ways, mixed=False)


@lru_cache
def _modules(package: str, size: int) -> dict[str, list[str]]:
    """Docstrings of a library by module; modules with `size` of them. Where a part of a module is large enough, it is
    a class of its own."""
    entries = corpus.load().by_package()[package]
    deep = Counter(_prefix(e.id, 3) for e in entries)
    found = defaultdict(list)
    for e in entries:
        name = _prefix(e.id, 3) if deep[_prefix(e.id, 3)] >= size else _prefix(e.id, 2)
        found[name].append(" ".join((e.summary, *e.body)))
    return {name: texts for name, texts in sorted(found.items()) if len(texts) >= size}


def _prefix(id_: str, depth: int) -> str:
    """The module, or the part of it, that an object is in: at most `depth` names, never the object's own."""
    return ".".join(id_.split(".")[:-1][:depth])


def table_tasks(dim: int, ways: int) -> EarlierTasks:
    """Tasks of four tables: six digits, iris and breast cancer train, the other four digits and wine validate."""
    digits, iris, cancer, wine = load_digits(), load_iris(), load_breast_cancer(), load_wine()
    train = {"digits": _table(digits, range(6)), "iris": _table(iris), "breast cancer": _table(cancer)}
    validation = {"digits": _table(digits, range(6, 10)), "wine": _table(wine)}
    enough = [{n: d for n, d in part.items() if len(d.classes) >= min(ways, 3)} for part in (train, validation)]
    return EarlierTasks(*enough, dim, ways, mixed=True)


def _table(bunch, only: Sequence[int] | None = None) -> Domain:
    """Standardised columns that vary."""
    kept = np.isin(bunch.target, sorted(set(bunch.target)) if only is None else list(only))
    x, y = bunch.data[kept], bunch.target[kept]
    x = x[:, x.std(0) > 0]
    x = (x - x.mean(0)) / x.std(0)
    return Domain(x.astype(np.float32), {str(bunch.target_names[c]): np.flatnonzero(y == c) for c in np.unique(y)})

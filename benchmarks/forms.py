"""Who is measured: every implementation, the packages it needs, and the works it can do."""

from __future__ import annotations

import importlib
import os
import shutil
from dataclasses import dataclass
from importlib import metadata
from typing import Literal, Protocol

import numpy as np

from benchmarks.works import Work

DType = Literal["float32", "float64"]
MAML = ("sinusoid", "head", "conv4")
HOW_TO_GET = "pip install --no-deps -r requirements/bench.txt (`make bench` does it)"
LEARN2LEARN = "BENCH_LEARN2LEARN"
"""Folders to put on the path of learn2learn's own process: its release does not build on Python 3.11, so a copy that
was made importable by hand lies outside the environment, with stand-ins for the packages that it imports unused."""


class Form(Protocol):
    """One implementation of one work, its tensors ready."""

    def gradient(self) -> tuple[float, dict[str, np.ndarray]]:
        """The loss and the meta-gradient, under the names of `Work.parameters`."""

    def step(self) -> float:
        """Loss, meta-gradient, and an Adam update of all parameters; returns the loss."""


@dataclass(frozen=True)
class Implementation:
    """Where to find `build(work, dtype) -> Form`, as "module:attribute", and what must be importable for it."""

    label: str
    builder: str
    works: tuple[str, ...]
    packages: tuple[str, ...] = ("torch",)
    how_to_get: str = HOW_TO_GET
    compiler: bool = False  # whether it needs one for C++

    def missing(self) -> str | None:
        """Why it cannot run here, or None."""
        for package in self.packages:
            try:
                importlib.import_module(package)
            except ImportError as error:
                return f"{self.label}: {package} cannot be imported ({error}); {self.how_to_get}"
        if self.compiler and not any(map(shutil.which, ("c++", "g++", "clang++"))):
            return f"{self.label}: no C++ compiler is installed here; torch.compile needs one"
        return None

    def version(self) -> str:
        """Name and version of the package that does the work, without a local label such as "+cpu"."""
        name = self.packages[0]
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:  # a copy on the path
            version = getattr(importlib.import_module(name), "__version__", "of unknown version")
        return f"{name} {version.split('+')[0]}"

    def build(self, work: Work, dtype: DType) -> Form:
        module, _, attribute = self.builder.partition(":")
        return getattr(importlib.import_module(f"benchmarks.{module}"), attribute)(work, dtype)


IMPLEMENTATIONS: dict[str, Implementation] = {
    "metastudy": Implementation("metastudy", "ours:Ours", (*MAML, "protonet"), ("metastudy", "torch")),
    "compiled": Implementation(
        "metastudy, compiled", "ours:Compiled", ("sinusoid", "head"), ("metastudy", "torch"), compiler=True
    ),
    "loop": Implementation("plain loop over tasks", "libraries:Loop", MAML),
    "module": Implementation("plain module", "libraries:Prototypes", ("protonet",)),
    "vmap": Implementation("plain torch.func vmap", "libraries:Vmap", MAML),
    "higher": Implementation("higher", "libraries:Higher", MAML, ("higher", "torch")),
    "torchopt": Implementation("TorchOpt", "libraries:TorchOpt", MAML, ("torchopt", "torch")),
    "learn2learn": Implementation(
        "learn2learn", "libraries:Learn2Learn", MAML, ("learn2learn", "torch"),
        "its release does not build on Python 3.11; name the folders of an importable copy in " + LEARN2LEARN,
    ),
    "jax": Implementation("JAX jit", "jax_form:Jax", (*MAML, "protonet"), ("jax", "optax")),
    "jax_gram": Implementation("JAX jit, Gram form", "jax_form:gram", ("head",), ("jax", "optax")),
}  # fmt: skip


def environment(name: str, threads: int) -> dict[str, str]:
    """The variables of the process that measures implementation `name`."""
    found = dict(os.environ) | {"OMP_NUM_THREADS": str(threads), "JAX_PLATFORMS": "cpu"}
    if name == "learn2learn" and (folders := os.environ.get(LEARN2LEARN)):
        found["PYTHONPATH"] = os.pathsep.join(filter(None, (folders, os.environ.get("PYTHONPATH"))))
    return found

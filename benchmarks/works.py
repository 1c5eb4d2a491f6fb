"""What is timed: four pieces of meta-training work, with identical parameters and tensors for every implementation.

numpy only. All numbers are exact in float32, so float64 checks look at the same function. Parameters have PyTorch's
usual names and layouts: layer<i>.weight (out, in), conv<i>.weight (out, in, 3, 3), norm<i>.weight (channels,).

Letters: T tasks, S support rows, Q query rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from math import sqrt
from typing import Literal, NamedTuple

import numpy as np

N_BLOCKS, SIDE = 4, 28  # of the convolutional network and its images
LEARNING_RATE = 1e-5  # of the outer Adam: so small that thousands of timed steps stay where they started


class Tensors(NamedTuple):
    """support_x (T, S, *D), support_y (T, S), query_x (T, Q, *D), query_y (T, Q); labels are int64, targets real."""

    support_x: np.ndarray
    support_y: np.ndarray
    query_x: np.ndarray
    query_y: np.ndarray


@dataclass(frozen=True)
class Work:
    """One kind of step: the network, the way of adapting, and how much of everything.

    `support` and `query` count rows of a task. `sizes` are the widths of the fully connected network up to its
    features, `channels` those of each of the four blocks of the convolutional one. `target` is how many times faster
    than `baseline` the study means to be.
    """

    name: str
    title: str
    network: Literal["mlp", "conv4"]
    adapting: Literal["maml", "prototypes"]
    tasks: int
    support: int
    query: int
    target: float
    baseline: str = "learn2learn"
    classes: int = 1  # 1: regression
    steps: int = 0
    step_size: float = 0.0
    sizes: tuple[int, ...] = ()
    channels: int = 64

    @property
    def features(self) -> int:
        return self.sizes[-1] if self.network == "mlp" else self.channels

    @property
    def reference(self) -> str:
        """The implementation whose meta-gradient the others are held against: the plainest."""
        return "loop" if self.adapting == "maml" else "module"

    def small(self) -> Work:
        """Two tasks with few query rows: enough to compare gradients, in float64."""
        return replace(self, tasks=2, query=2 * self.classes if self.classes > 1 else 3)

    def _shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        if self.network == "mlp":
            for i, (n_in, n_out) in enumerate(pairwise(self.sizes)):
                yield f"layer{i}", (n_out, n_in)
        else:
            for i in range(N_BLOCKS):
                yield f"conv{i}", (self.channels, self.channels if i else 1, 3, 3)
        if self.adapting == "maml":
            yield "head", (1, self.features)

    def parameters(self) -> dict[str, np.ndarray]:
        """Fresh parameters. The head is one row, which classifiers repeat for each class: the study's learner shares
        it, so that all start from equal ones, and the gradients of a library's rows add up to that of ours (zero).

        Equal rows have no inner gradient into the features at the first step. A form that skips it must say so.
        """
        rng = np.random.default_rng(0)
        found: dict[str, np.ndarray] = {}
        for name, shape in self._shapes():
            bound = 1 / sqrt(np.prod(shape[1:]))
            found[f"{name}.weight"] = rng.uniform(-bound, bound, shape)
            found[f"{name}.bias"] = rng.uniform(-bound, bound, shape[:1])
            if name.startswith("conv"):
                norm = name.replace("conv", "norm")
                found[f"{norm}.weight"] = rng.uniform(0.5, 1.5, shape[:1])
                found[f"{norm}.bias"] = rng.uniform(-0.2, 0.2, shape[:1])
        return {name: _exact(value) for name, value in found.items()}

    def tensors(self) -> Tensors:
        """Sine waves (Finn et al. 2017, sec. 5.1), or classes that are noise around a random centre."""
        rng = np.random.default_rng(1)
        if self.classes == 1:
            amplitude, phase = rng.uniform(0.1, 5, (self.tasks, 1)), rng.uniform(0, np.pi, (self.tasks, 1))
            rows = [_exact(rng.uniform(-5, 5, (self.tasks, n))) for n in (self.support, self.query)]
            xs, xq = (x[..., None] for x in rows)
            ys, yq = (_exact(amplitude * np.sin(x - phase)) for x in rows)
            return Tensors(xs, ys, xq, yq)
        shape = self.sizes[:1] if self.network == "mlp" else (1, SIDE, SIDE)
        centres = rng.standard_normal((self.tasks, self.classes, *shape))
        parts = []
        for n in (self.support, self.query):
            y = np.tile(np.arange(self.classes), n // self.classes)
            parts += [_exact(centres[:, y] + rng.standard_normal((self.tasks, n, *shape))), np.tile(y, (self.tasks, 1))]
        return Tensors(*parts)


def _exact(values: np.ndarray) -> np.ndarray:
    """Rounded to what float32 can hold, in float64."""
    return values.astype(np.float32).astype(np.float64)


WORKS = {
    work.name: work
    for work in (
        Work(
            "sinusoid", "sinusoid: MLP 1-40-40-1, 5 inner steps, second order, 25 tasks",
            "mlp", "maml", tasks=25, support=10, query=10, target=37, steps=5, step_size=0.01, sizes=(1, 40, 40),
        ),
        Work(
            "head", "head 384-64-5 on frozen features, 5 inner steps, second order, 32 tasks",
            "mlp", "maml", tasks=32, support=25, query=75, target=18, classes=5, steps=5, step_size=0.1,
            sizes=(384, 64),
        ),
        Work(
            "conv4", "Conv4-64, 5-way 1-shot, 1 inner step, second order, 16 tasks",
            "conv4", "maml", tasks=16, support=5, query=75, target=1.5, classes=5, steps=1, step_size=0.4,
        ),
        Work(
            "protonet", "prototypes on Conv4-64, 20-way 5-shot, 300 queries, 1 task",
            "conv4", "prototypes", tasks=1, support=100, query=300, target=1.6, baseline="module", classes=20,
        ),
    )
}  # fmt: skip

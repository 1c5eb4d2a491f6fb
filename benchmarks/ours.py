"""The same steps with this study's learner: tasks at once, in whatever form its engine chooses.

Inner step sizes are fixed, as in the other forms. Prototypes have a temperature that is a parameter too: its gradient
is computed and Adam moves it, but it is left out of the comparison of gradients.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from benchmarks.forms import DType
from benchmarks.works import LEARNING_RATE, N_BLOCKS, SIDE, Work
from metastudy.adapt import MAML, Prototypes
from metastudy.meta_gradient import loss_and_gradient
from metastudy.mixture import MetaLearner
from metastudy.model import MLP, BaseModel, Conv4, Params
from metastudy.tasks import Task, TaskBatch, collate
from metastudy.train import rng_for, torch_generator


def task_batch(work: Work, dtype: torch.dtype) -> TaskBatch:
    """The work's tensors as tasks, padded and masked as in every study."""
    kind = "regression" if work.classes == 1 else "classification"
    tasks = []
    for i, arrays in enumerate(zip(*work.tensors(), strict=True)):
        rows = [torch.as_tensor(a, dtype=torch.int64 if a.dtype.kind == "i" else torch.float32) for a in arrays]
        tasks.append(Task(f"task {i}", "bench", kind, *rows, n_classes=work.classes))
    batch = collate(tasks)
    cast = {k: v.to(dtype) for k, v in vars(batch).items() if isinstance(v, Tensor) and v.is_floating_point()}
    return replace(batch, **cast)


def base_model(work: Work) -> BaseModel:
    if work.network == "mlp":
        return MLP(work.sizes[0], work.sizes[1:])
    return Conv4(side=SIDE, channels=work.channels, n_blocks=N_BLOCKS)


def our_layout(value: Tensor) -> Tensor:
    """From PyTorch's layout to that of `metastudy.model`: matrices (in, out), kernels (out, 3, 3, in), rows else."""
    if value.dim() == 4:
        return value.permute(0, 2, 3, 1)
    return value.T if value.dim() == 2 else value[None]


def their_layout(name: str, value: Tensor) -> Tensor:
    """Back again."""
    if value.dim() == 4:
        return value.permute(0, 3, 1, 2)
    return value[0] if name.endswith("bias") or name.startswith("norm") else value.T


class Ours:
    """MetaLearner with the one mapping."""

    compiled = False

    def __init__(self, work: Work, dtype: DType) -> None:
        kind = getattr(torch, dtype)
        if work.adapting == "maml":
            mapping = MAML(n_steps=work.steps, initial_step_size=work.step_size, learned=False)
        else:
            mapping = Prototypes()
        self.learner = MetaLearner(base_model(work), (mapping,))
        self.batch = task_batch(work, kind)
        fresh: Params = {k: v.to(kind) for k, v in self.learner.init(torch_generator(rng_for(0))).items()}
        for name in fresh:
            if name.endswith("log_temperature"):
                fresh[name] = torch.zeros((), dtype=kind)  # as in the paper: distances are not scaled
        self.given = work.parameters()
        values = {n: our_layout(torch.as_tensor(v, dtype=kind)) for n, v in self.given.items()}
        for name, value in values.items():
            if fresh[f"theta.{name}"].shape != value.shape:
                raise ValueError(
                    f"{name}: the model has {tuple(fresh[f'theta.{name}'].shape)}, the work {tuple(value.shape)}; "
                    "bring our_layout up to date with metastudy.model"
                )
        fresh |= {f"theta.{name}": value.contiguous() for name, value in values.items()}
        self.params = {name: value.requires_grad_() for name, value in fresh.items()}
        self.optimizer = torch.optim.Adam(self.params.values(), lr=LEARNING_RATE, fused=True)

    def loss_and_gradient(self) -> tuple[Tensor, Params]:
        return loss_and_gradient(self.learner, self.params, self.batch, "query", self.compiled)

    def step(self) -> float:
        loss, gradients = self.loss_and_gradient()
        for name, parameter in self.params.items():
            parameter.grad = gradients.get(name)
        self.optimizer.step()
        return float(loss)

    def gradient(self) -> tuple[float, dict[str, np.ndarray]]:
        loss, found = self.loss_and_gradient()
        return float(loss), {n: their_layout(n, found[f"theta.{n}"]).double().numpy() for n in self.given}


class Compiled(Ours):
    """The same through torch.compile, as long runs may choose; it needs a C++ compiler."""

    compiled = True

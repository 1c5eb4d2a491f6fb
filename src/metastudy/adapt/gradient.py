"""ψ by gradient steps on the support loss: MAML and its relatives, batched over tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Generator, Tensor

from metastudy.adapt.base import Mapping
from metastudy.errors import TaskError
from metastudy.losses import loss, predict
from metastudy.model import HEAD_BIAS, HEAD_WEIGHT, BaseModel, Params, is_head, per_task
from metastudy.tasks import TaskBatch


def widen_head(theta: Params, n_classes: int) -> Params:
    """The shared head column w (d, 1) repeated for each class, so that renaming classes changes nothing.

    Deviation from MAML (Finn et al. 2017), which learns one column per class position; a shared column is as
    good or better (Ye & Chao 2022, UNICORN-MAML) and is invariant to label renaming.
    """
    if n_classes == 1:
        return theta
    return theta | {name: theta[name].expand(-1, n_classes) for name in (HEAD_WEIGHT, HEAD_BIAS)}


def support_loss(model: BaseModel, theta: Params, batch: TaskBatch) -> Tensor:
    """L_support(θ) of each task, (T,)."""
    prediction = predict(batch.kind, model(theta, batch.support_x), batch.class_mask)
    return loss(batch.kind, prediction, batch.support_y, batch.support_mask, batch.support_group)


def gradient_steps(
    model: BaseModel, theta: Params, batch: TaskBatch, step_sizes: Params, n_steps: int, create_graph: bool
) -> Params:
    """θ' = θ - a ∇L_support(θ), n_steps times, for every task at once; parameters without a step size stay.

    The losses of different tasks touch different copies of θ, so the gradient of their sum is each task's own.
    `create_graph` keeps the graph, for second-order meta-gradients (Finn et al. 2017, eq. 1).
    """
    theta = per_task(theta, batch.n_tasks)
    for _ in range(n_steps):
        names = list(step_sizes)
        # without a graph to keep (evaluation), each step starts from fresh leaves
        keep = torch.is_grad_enabled()
        leaves = [theta[n] if keep and theta[n].requires_grad else theta[n].detach().requires_grad_() for n in names]
        with torch.enable_grad():
            total = support_loss(model, theta | dict(zip(names, leaves, strict=True)), batch).sum()
        gradients = torch.autograd.grad(total, leaves, create_graph=create_graph)
        steps = zip(names, leaves, gradients, strict=True)
        theta = theta | {name: leaf - step_sizes[name] * g for name, leaf, g in steps}
    return theta


@dataclass(frozen=True)
class GradientSteps(Mapping):
    """MAML (`adapts="all"`), ANIL (`"head"`), BOIL (`"body"`), with one learned step size α per parameter tensor.

    With classes, the first step can move the head alone: all columns of the head are equal before it, and what the
    features would learn cancels out. So `n_steps=1` is ANIL there.

    Sources: Finn et al. 2017 (MAML, first-order MAML), Raghu et al. 2020 (ANIL), Oh et al. 2021 (BOIL); a learned
    step size per tensor follows Antoniou et al. 2019, sec. 4 (LSLR), but is shared by all steps.
    """

    name: ClassVar[str] = "gradient"
    n_steps: int = 3
    adapts: Literal["all", "head", "body"] = "all"
    first_order: bool = False
    initial_step_size: float = 0.1

    def _adapted(self, name: str) -> bool:
        return self.adapts == "all" or (self.adapts == "head") == is_head(name)

    def init(self, model: BaseModel, generator: Generator) -> Params:
        names = [n for n in model.init(torch.Generator().manual_seed(0)) if self._adapted(n)]
        return {f"log_step.{n}": torch.tensor(self.initial_step_size).log() for n in names}

    def adapt(self, model: BaseModel, theta: Params, alpha: Params, batch: TaskBatch) -> Tensor:
        if self.adapts == "body" and batch.kind == "classification":
            # equal columns score all classes alike, whatever the features: no gradient would ever reach the body
            raise TaskError(
                "adapting the body alone cannot tell classes apart, because all classes share one head column; "
                'choose adapts="all" or "head" for classification'
            )
        step_sizes = {n.removeprefix("log_step."): v.exp() for n, v in alpha.items()}
        second_order = torch.is_grad_enabled() and not self.first_order
        theta = widen_head(theta, batch.n_classes)
        adapted = gradient_steps(model, theta, batch, step_sizes, self.n_steps, create_graph=second_order)
        return model(adapted, batch.query_x)

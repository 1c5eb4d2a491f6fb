"""ψ by gradient steps on the support loss: MAML and its relatives, batched over tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Generator, Tensor

from metastudy.adapt.base import Mapping
from metastudy.adapt.unrolled import unrolled_scores
from metastudy.errors import TaskError
from metastudy.losses import loss, predict
from metastudy.model import HEAD_BIAS, HEAD_WEIGHT, MLP, BaseModel, Params, is_head, per_task
from metastudy.score_gradients import score_gradient
from metastudy.tasks import Kind, TaskBatch


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
    `create_graph` keeps the graph, for second-order meta-gradients (Finn et al. 2017, eq. 1): memory then grows
    linearly with `n_steps`. Without it, each step's graph is dropped as soon as its gradient is known.
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


def linear_chain(model: BaseModel, step_sizes: Params) -> tuple[str, ...] | None:
    """The linear layers, first to last, whose steps `unrolled` can write out; None where autograd must do it.

    Those of an MLP; of any model the head alone, where nothing else moves; always with one step size per tensor.
    """
    if any(a.dim() for a in step_sizes.values()):
        return None
    if all(is_head(name) for name in step_sizes):
        return ("head",)
    return (*(f"layer{i}" for i in range(len(model.hidden))), "head") if type(model) is MLP else None


def adapted_scores(
    model: BaseModel, theta: Params, batch: TaskBatch, step_sizes: Params, n_steps: int, second_order: bool
) -> Tensor:
    """f(query; θ') after `gradient_steps`, (T, Q, C), by the fast path where there is one. θ has its head widened."""
    chain = linear_chain(model, step_sizes)
    if chain is None:
        create_graph = torch.is_grad_enabled() and second_order
        adapted = gradient_steps(model, theta, batch, step_sizes, n_steps, create_graph)
        return model(adapted, batch.query_x)
    x = (batch.support_x, batch.query_x)
    x = tuple(model.features(theta, v) for v in x) if chain == ("head",) else tuple(v.flatten(2) for v in x)
    names = [(f"{name}.weight", f"{name}.bias") for name in chain]
    layers = [(theta[w], theta[b]) for w, b in names]
    sizes = [tuple(step_sizes[n] if n in step_sizes else x[0].new_zeros(()) for n in pair) for pair in names]
    return unrolled_scores(layers, sizes, *x, score_gradient(batch), n_steps, second_order)


@dataclass(frozen=True)
class GradientSteps(Mapping):
    """`n_steps` gradient steps on the support loss; its subclasses are the named methods.

    With classes, the first step can move the head alone: all columns of the head are equal before it, and what the
    features would learn cancels out. So `n_steps=1` is ANIL there.

    α are step sizes: one per parameter tensor, shared by all steps (Antoniou et al. 2019, sec. 4, learn one per step
    too), or one per parameter. Learned as logarithms, so that steps never go uphill; `learned=False` keeps the initial
    one for all, as Finn et al. (2017) do.
    """

    name: ClassVar[str] = "gradient"
    n_steps: int = 3
    adapts: Literal["all", "head", "body"] = "all"
    first_order: bool = False
    per_parameter: bool = False
    initial_step_size: float = 0.1
    learned: bool = True

    def _adapted(self, name: str) -> bool:
        return self.adapts == "all" or (self.adapts == "head") == is_head(name)

    def init(self, model: BaseModel, generator: Generator) -> Params:
        if not self.learned:
            return {}
        theta = model.untied(model.init(torch.Generator().manual_seed(0)))
        start = torch.tensor(self.initial_step_size).log()
        adapted = {n: v for n, v in theta.items() if self._adapted(n)}
        return {
            f"log_step.{n}": start.expand(v.shape if self.per_parameter else ()).clone() for n, v in adapted.items()
        }

    def step_sizes(self, theta: Params, alpha: Params) -> Params:
        """Step sizes by the name of the parameter that they move."""
        if not self.learned:
            return {n: v.new_full((), self.initial_step_size) for n, v in theta.items() if self._adapted(n)}
        return {n.removeprefix("log_step."): v.exp() for n, v in alpha.items()}

    def adapt(self, model: BaseModel, theta: Params, alpha: Params, batch: TaskBatch) -> Tensor:
        if self.adapts == "body" and batch.kind == "classification":
            raise TaskError(
                "adapting the body alone cannot tell classes apart, because all classes share one head column; "
                'choose adapts="all" or "head" for classification'
            )
        theta = widen_head(theta, batch.n_classes)
        return adapted_scores(model, theta, batch, self.step_sizes(theta, alpha), self.n_steps, not self.first_order)


@dataclass(frozen=True)
class MAML(GradientSteps):
    """All of θ adapts; the meta-gradient goes through the steps (Finn et al. 2017)."""

    name: ClassVar[str] = "maml"


@dataclass(frozen=True)
class FirstOrderMAML(GradientSteps):
    """MAML without second derivatives: the meta-gradient is that at the adapted θ' (Finn et al. 2017, sec. 5.2)."""

    name: ClassVar[str] = "fomaml"
    first_order: bool = True


@dataclass(frozen=True)
class ANIL(GradientSteps):
    """Only the head adapts (Raghu et al. 2020, almost no inner loop)."""

    name: ClassVar[str] = "anil"
    on_features: ClassVar[bool] = True
    adapts: Literal["all", "head", "body"] = "head"


@dataclass(frozen=True)
class BOIL(GradientSteps):
    """Only the body adapts (Oh et al. 2021, body only update in inner loop).

    Not for classes that are renamed between tasks: they share one head column here (see `widen_head`), and equal
    columns that never move score all classes alike, whatever the features.
    """

    name: ClassVar[str] = "boil"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"binary", "regression", "ranking"})
    adapts: Literal["all", "head", "body"] = "body"


@dataclass(frozen=True)
class MetaSGD(GradientSteps):
    """A learned step size for every single parameter (Li et al. 2017). Deviation: they stay positive."""

    name: ClassVar[str] = "meta_sgd"
    per_parameter: bool = True

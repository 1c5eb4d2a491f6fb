"""The meta-learner g(f; α) = Σ_j β_j ψ(f; α_j): a learned, non-negative mixture of ways of adapting."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from metastudy.adapt import Mapping
from metastudy.errors import TaskError
from metastudy.losses import PROBABILISTIC, loss, predict
from metastudy.model import MLP, BaseModel, Params
from metastudy.resplit import resplit
from metastudy.tasks import TaskBatch


def without_prefix(params: Params, prefix: str) -> Params:
    """The parameters whose names start with `prefix`, under the rest of their names."""
    return {k.removeprefix(prefix): v for k, v in params.items() if k.startswith(prefix)}


def task_embedding(model: BaseModel, theta: Params, batch: TaskBatch) -> Tensor:
    """e(T): log support size, log classes, mean and spread of the support's features; (T, 2 + 2d).

    Order-free in the support, and a function of the support alone.
    """
    phi = model.features(theta, batch.support_x)
    mask = batch.support_mask[..., None]
    count = mask.sum(1).clamp(min=1)
    mean = (phi * mask).sum(1) / count
    spread = (((phi - mean[:, None]) ** 2 * mask).sum(1) / count + 1e-6).sqrt()
    sizes = torch.stack([batch.support_mask.sum(1).log(), batch.class_mask.sum(1).log()], -1)
    contents = torch.cat([F.layer_norm(mean, mean.shape[1:]), F.layer_norm(spread, spread.shape[1:])], -1)
    # divided by d: otherwise 2d inputs move the logits of β so fast that one member takes all before the rest learn
    return torch.cat([sizes, contents / model.feature_dim], -1)


def is_memory(name: str) -> bool:
    """Whether an entry of the parameters holds earlier tasks (data that a mapping keeps), which are never trained."""
    return ".memory." in name


def _query_losses(batch: TaskBatch, prediction: Tensor) -> Tensor:
    return loss(batch.kind, prediction, batch.query_y, batch.query_mask, batch.query_group)  # (T,)


@dataclass(frozen=True)
class MetaLearner:
    """f and the mappings ψ_1..ψ_m that adapt it; m = 1 is the classical method of that name.

    Parameters are one flat dict: `theta.*` (f), `alpha.<mapping>.*`, and for m > 1 `beta.bias` (m,) with, when
    `beta="task"`, `beta.weight` (m, e) on the task embedding, started at zero so that β begins uniform.
    `resplit`: in training, every labelled row of a task is in the support once (`metastudy.resplit`).
    Raises TaskError when empty, when two mappings share a name, or when a mapping cannot be trained with `resplit`.
    """

    model: BaseModel
    mappings: tuple[Mapping, ...]
    beta: Literal["global", "task"] = "task"
    member_share: float = 1.0
    floor: float = 0.2
    resplit: bool = False

    def __post_init__(self) -> None:
        if self.resplit and (others := [m.name for m in self.mappings if not m.on_features]):
            raise TaskError(f"{others} adapt more than a head on φ, so tasks cannot share φ: choose resplit=False")
        names = [m.name for m in self.mappings]
        if not names or len(set(names)) < len(names):
            raise TaskError(f"a mixture needs at least one mapping, each name once; found {names}")

    @property
    def memory_size(self) -> int:
        """How many earlier tasks `init` needs: the most that one of the mappings keeps."""
        return max(m.memory_size for m in self.mappings)

    def init(self, generator: Generator, earlier: TaskBatch | None = None) -> Params:
        """Fresh (θ, α, β); mappings with a memory keep what they need of `earlier` under `alpha.<name>.memory.*`.

        Raises TaskError where a mapping has a memory and `earlier` holds fewer tasks than that.
        """
        if (found := earlier.n_tasks if earlier else 0) < self.memory_size:
            raise TaskError(
                f"the mixture remembers {self.memory_size} earlier tasks, but was given {found}: pass a batch of "
                "training tasks as `earlier`"
            )
        params = {f"theta.{k}": v for k, v in self.model.init(generator).items()}
        for mapping in self.mappings:
            alpha = mapping.init(self.model, generator)
            params |= {f"alpha.{mapping.name}.{k}": v for k, v in alpha.items()}
            if mapping.memory_size:
                params |= {f"alpha.{mapping.name}.memory.{k}": v for k, v in mapping.remember(earlier).items()}
        if len(self.mappings) > 1:
            params["beta.bias"] = torch.zeros(len(self.mappings))
            if self.beta == "task":
                params["beta.weight"] = torch.zeros(len(self.mappings), 2 + 2 * self.model.feature_dim)
        return params

    def on_features(self, params: Params, batch: TaskBatch) -> tuple[MetaLearner, Params, TaskBatch]:
        """The same learner with φ(x) for x: the mappings that see φ alone; parameters and batch as they see them.

        Raises TaskError where no mapping does.
        """
        theta = without_prefix(params, "theta.")
        phi = {f"{part}_x": self.model.features(theta, getattr(batch, f"{part}_x")) for part in ("support", "query")}
        mappings = tuple(m for m in self.mappings if m.on_features)
        learner = replace(self, model=MLP(self.model.feature_dim, ()), mappings=mappings)
        written_out = {f"theta.{name}": v for name, v in self.model.untied(theta).items()}  # a head for every feature
        return learner, params | written_out, replace(batch, **phi)

    def weights(self, params: Params, batch: TaskBatch) -> Tensor:
        """β(T), non-negative and summing to one: (T, m)."""
        if len(self.mappings) == 1:
            return batch.support_mask.new_ones(batch.n_tasks, 1)
        logits = params["beta.bias"].expand(batch.n_tasks, -1)
        if self.beta == "task":
            embedding = task_embedding(self.model, without_prefix(params, "theta."), batch)
            logits = logits + embedding @ params["beta.weight"].T
        return F.softmax(logits, dim=-1)

    def members(self, params: Params, batch: TaskBatch) -> list[Tensor]:
        """Each ψ_j's own prediction: log-probabilities, or values (T, Q, 1)."""
        theta = self.model.untied(without_prefix(params, "theta."))
        seen = {m.name: (self.model, batch) for m in self.mappings}
        if sum(m.on_features for m in self.mappings) > 1:  # one pass through φ for all of them
            shared, _, embedded = self.on_features(params, batch)
            seen |= {m.name: (shared.model, embedded) for m in shared.mappings}
        found = []
        for m in self.mappings:
            model, own = seen[m.name]
            scores = m(model, theta, without_prefix(params, f"alpha.{m.name}."), own)
            found.append(predict(batch.kind, scores, batch.class_mask))
        return found

    def predict(self, params: Params, batch: TaskBatch) -> Tensor:
        """g: Σ_j β_j ψ_j over predictions. Probabilities are summed, and returned as logarithms; values as values."""
        if len(self.mappings) > 1 and all(m.on_features for m in self.mappings):
            learner, own, batch = self.on_features(params, batch)  # one pass for the members and for β(T)
            return mix(batch, learner.weights(own, batch), learner.members(own, batch))
        return mix(batch, self.weights(params, batch), self.members(params, batch))

    def query_loss(self, params: Params, batch: TaskBatch) -> Tensor:
        """Mean over tasks of g's loss on the query rows."""
        return _query_losses(batch, self.predict(params, batch)).mean()

    def training_loss(self, params: Params, batch: TaskBatch) -> Tensor:
        """What meta-training minimises: g's query loss, plus the members' own, plus the rules that members bring for θ
        themselves (`Mapping.outer_loss`).

        Deviation from the bare query loss of g: `member_share` times each member's own loss is added, in the measure
        in which g relies on it for the task at hand, β_j(T), and never less than `floor` / m. So what carries g is
        trained as if it were alone, and a slow starter is not lost before it has learned anything. Both numbers, and
        the faster rate of β, were chosen on validation tasks (sinusoid, digits, tables).
        """
        if self.resplit:
            learner, own, embedded = self.on_features(params, batch)
            return replace(learner, resplit=False).training_loss(own, resplit(embedded))
        members, weights = self.members(params, batch), self.weights(params, batch)
        total = _query_losses(batch, mix(batch, weights, members)).mean()
        if len(members) > 1:
            trust = (1 - self.floor) * weights.detach() + self.floor / len(members)  # (T, m)
            own = torch.stack([_query_losses(batch, m) for m in members], -1)  # (T, m)
            total = total + self.member_share * (trust * own).sum(-1).mean()
        for rule in self.own_rules(params, batch):
            total = total + rule
        return total

    def own_rules(self, params: Params, batch: TaskBatch) -> Iterator[Tensor]:
        """The rules that members bring for θ themselves (`Mapping.outer_loss`)."""
        theta = self.model.untied(without_prefix(params, "theta."))
        for mapping in self.mappings:
            rule = mapping.outer_loss(self.model, theta, without_prefix(params, f"alpha.{mapping.name}."), batch)
            if rule is not None:
                yield rule


def mix(batch: TaskBatch, weights: Tensor, members: list[Tensor]) -> Tensor:
    """Σ_j β_j ψ_j: weights (T, m) and m predictions (T, Q, C) as the losses want them."""
    if len(members) == 1:
        return members[0]
    stacked, shares = torch.stack(members), weights.T[:, :, None, None]  # (m, T, Q, C), (m, T, 1, 1)
    if batch.kind in PROBABILISTIC:
        # log Σ β_j p_j, in logarithms so that a confident wrong member cannot underflow
        return torch.logsumexp(shares.clamp(min=1e-12).log() + stacked, dim=0)
    return (shares * stacked).sum(0)

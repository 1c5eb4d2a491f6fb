"""A task is a few labelled support rows and the query rows to predict; a batch is tasks, padded and masked.

Letters used in all shapes: T tasks, S support rows, Q query rows, N either, *D one row's input shape,
C outputs per row (classes, or 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from metastudy.errors import TaskError

Kind = Literal["classification", "binary", "regression", "ranking"]
"""classification: exchangeable classes 0..C-1, renamed freely between tasks. binary: class 1 means the same
in all tasks (sick). regression: one real target. ranking: a gain >= 0 per row, compared within a group."""

KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, eq=False)
class Task:
    """One few-example problem.

    Shapes: support_x (S, *D), support_y (S,), query_x (Q, *D), query_y (Q,), groups (S,) and (Q,).
    `y` is int64 for classification and float32 otherwise. `family` names what is held out together (domain,
    disease, collection, class group). `query_ids` and `support_ids` name rows for the family's own metric (the latter
    where it may be asked about the support too), `class_names` say which classes of the source 0..C-1 stand for.
    Raises TaskError where sizes, types or labels do not fit.
    """

    id: str
    family: str
    kind: Kind
    support_x: Tensor
    support_y: Tensor
    query_x: Tensor
    query_y: Tensor
    n_classes: int = 1
    support_group: Tensor | None = None
    query_group: Tensor | None = None
    query_ids: tuple[str, ...] = field(default=())
    support_ids: tuple[str, ...] = field(default=())
    class_names: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise TaskError(f"task {self.id}: kind {self.kind!r} is unknown; expected one of {', '.join(KINDS)}")
        for part in ("support", "query"):
            x, y, group = (getattr(self, f"{part}_{name}") for name in ("x", "y", "group"))
            if not len(x):
                raise TaskError(f"task {self.id}: no {part} row; expected at least one")
            if not torch.isfinite(x).all():
                raise TaskError(f"task {self.id}: {part} inputs hold NaN or infinity; mend them where they are loaded")
            if len(x) != len(y):
                raise TaskError(f"task {self.id}: {len(x)} {part} rows but {len(y)} labels; give one label a row")
            expected = torch.int64 if self.kind == "classification" else torch.float32
            if y.dtype != expected:
                raise TaskError(f"task {self.id}: {part} labels are {y.dtype}; {self.kind} needs {expected}")
            if self.kind == "ranking" and (group is None or len(group) != len(x)):
                raise TaskError(f"task {self.id}: ranking needs one {part} group per row (its document or query)")
            if self.kind == "ranking" and (y.min() < 0 or group.min() < 0):
                raise TaskError(f"task {self.id}: a negative {part} gain or group; gains and groups count from 0")
        if self.support_x.shape[1:] != self.query_x.shape[1:]:
            raise TaskError(
                f"task {self.id}: support rows have shape {tuple(self.support_x.shape[1:])}, "
                f"query rows {tuple(self.query_x.shape[1:])}; they must be equal"
            )
        if self.kind == "classification":
            if self.n_classes < 2:
                raise TaskError(f"task {self.id}: {self.n_classes} class; classification needs at least 2")
            present = set(self.support_y.tolist())
            if present != set(range(self.n_classes)):
                raise TaskError(
                    f"task {self.id}: support has classes {sorted(present)}, expected each of 0..{self.n_classes - 1}"
                )
            if not set(self.query_y.tolist()) <= present:
                raise TaskError(f"task {self.id}: a query row has a class that the support lacks")


@dataclass(frozen=True, eq=False)
class TaskBatch:
    """Tasks of one kind, stacked along T and padded to the longest; masks are 1.0 on real rows.

    Shapes: support_x (T, S, *D), support_y (T, S), support_mask (T, S), support_group (T, S), likewise for
    query with Q; class_mask (T, C) is 1.0 on classes a task has. Groups are 0 where a kind has none; in padded
    rows they are the batch's largest group + 1, so that padding never shares a group with a real row.
    """

    kind: Kind
    support_x: Tensor
    support_y: Tensor
    support_mask: Tensor
    support_group: Tensor
    query_x: Tensor
    query_y: Tensor
    query_mask: Tensor
    query_group: Tensor
    class_mask: Tensor
    tasks: tuple[Task, ...] = ()

    @property
    def n_tasks(self) -> int:
        return self.support_x.shape[0]

    @property
    def n_classes(self) -> int:
        return self.class_mask.shape[1]

    def part(self, tasks: slice) -> TaskBatch:
        """Some of its tasks, padded and masked as before: views, and every task keeps its group numbers.

        Raises TaskError where no task is left.
        """
        if not len(range(self.n_tasks)[tasks]):
            raise TaskError(f"{tasks} holds none of the batch's {self.n_tasks} tasks; expected at least one")
        sliced = {f.name: getattr(self, f.name)[tasks] for f in fields(self) if f.name != "kind"}
        return replace(self, **sliced)

    def to(self, device: torch.device | str) -> TaskBatch:
        """The same numbers in the memory of a device; `tasks` stay where they are."""
        tensors = {f.name: value for f in fields(self) if isinstance(value := getattr(self, f.name), Tensor)}
        return replace(self, **{name: value.to(device) for name, value in tensors.items()})


def _pad(rows: Sequence[Tensor], value: float = 0) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=value)


def _groups(groups: Sequence[Tensor | None], lengths: Sequence[int]) -> Tensor:
    filled = [
        torch.zeros(n, dtype=torch.int64) if g is None else g.to(torch.int64)
        for g, n in zip(groups, lengths, strict=True)
    ]
    return _pad(filled, value=max((int(g.max()) for g in filled if len(g)), default=0) + 1)


def collate(tasks: Sequence[Task]) -> TaskBatch:
    """Stack tasks of one kind and one input shape. Raises TaskError for none, mixed kinds or mixed shapes."""
    if not tasks:
        raise TaskError("no task to batch; expected at least one")
    kinds, shapes = {t.kind for t in tasks}, {tuple(t.support_x.shape[1:]) for t in tasks}
    if len(kinds) > 1 or len(shapes) > 1:
        raise TaskError(f"one batch holds one kind and one input shape; found {sorted(kinds)} and {sorted(shapes)}")
    n_classes = max(t.n_classes for t in tasks)
    parts: dict[str, Tensor] = {}
    for part in ("support", "query"):
        x = [getattr(t, f"{part}_x") for t in tasks]
        lengths = [len(rows) for rows in x]
        parts[f"{part}_x"] = _pad(x)
        parts[f"{part}_y"] = _pad([getattr(t, f"{part}_y") for t in tasks])
        parts[f"{part}_mask"] = _pad([torch.ones(n) for n in lengths])
        parts[f"{part}_group"] = _groups([getattr(t, f"{part}_group") for t in tasks], lengths)
    class_mask = (torch.arange(n_classes) < torch.tensor([[t.n_classes] for t in tasks])).float()
    return TaskBatch(kind=tasks[0].kind, class_mask=class_mask, tasks=tuple(tasks), **parts)

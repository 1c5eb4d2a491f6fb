"""Dividing a task anew: every row is in the support once, and the tasks are those that a plain loop would build."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from helpers import DIM, batch_of, make_task
from metastudy.errors import TaskError
from metastudy.resplit import resplit
from metastudy.tasks import Task, TaskBatch, collate


def labelled(shots: int, rows: int, ways: int, seed: int = 0) -> Task:
    """`rows` rows of each class in all, `shots` of them support, in a random order; x numbers rows uniquely."""
    generator = torch.Generator().manual_seed(seed)
    support_y = torch.arange(ways).repeat(shots)[torch.randperm(ways * shots, generator=generator)]
    query_y = torch.arange(ways).repeat(rows - shots)[torch.randperm(ways * (rows - shots), generator=generator)]
    x = torch.randn(ways * rows, DIM, generator=generator)
    x[:, 0] = torch.arange(ways * rows) + 100 * seed
    n = len(support_y)
    return Task(f"t{seed}", "toy", "classification", x[:n], support_y, x[n:], query_y, n_classes=ways)


def divided(task: Task) -> list[Task]:
    """The same by loops over rows and classes, one task after another."""
    x = [*task.support_x, *task.query_x]
    y = [*task.support_y.tolist(), *task.query_y.tolist()]
    shots = task.support_y.tolist().count(0)
    of_class = [[row for row in range(len(x)) if y[row] == c] for c in range(task.n_classes)]
    found = []
    for r in range(min(map(len, of_class)) // shots):
        support, query = [], []
        for rows in of_class:
            for place, row in enumerate(rows):
                (support if r * shots <= place < (r + 1) * shots else query).append(row)
        parts: dict[str, Tensor] = {}
        for name, rows in (("support", support), ("query", query)):
            parts[f"{name}_x"] = torch.stack([x[row] for row in rows])
            parts[f"{name}_y"] = torch.tensor([y[row] for row in rows])
        found.append(dataclasses.replace(task, **parts))
    return found


def rows_of(batch: TaskBatch, t: int, part: str) -> list[tuple[float, ...]]:
    """Real rows of one task as numbers with the label at the end, in an order that does not depend on theirs."""
    real = getattr(batch, f"{part}_mask")[t] > 0
    x, y = getattr(batch, f"{part}_x")[t][real], getattr(batch, f"{part}_y")[t][real]
    return sorted((*row.tolist(), float(label)) for row, label in zip(x, y, strict=True))


@pytest.mark.parametrize(("shots", "rows"), [(1, 4), (2, 6), (2, 7), (3, 5)])
def test_every_row_is_support_once_and_keeps_its_label(shots: int, rows: int) -> None:
    task = labelled(shots, rows, ways=3)
    found = resplit(collate([task]))
    assert found.n_tasks == rows // shots
    labels = torch.cat([task.support_y, task.query_y]).tolist()
    label = dict(zip(torch.cat([task.support_x, task.query_x])[:, 0].tolist(), labels, strict=True))
    seen: list[float] = []
    for t in range(found.n_tasks):
        support, query = (rows_of(found, t, part) for part in ("support", "query"))
        assert len(support) == 3 * shots and len(query) == 3 * (rows - shots)
        assert sorted(row[0] for row in support + query) == sorted(label), "nothing is lost, nothing is in both"
        assert all(row[-1] == label[row[0]] for row in support + query)
        assert sorted(row[-1] for row in support) == [c for c in range(3) for _ in range(shots)]
        seen += [row[0] for row in support]
    assert len(set(seen)) == len(seen) == 3 * shots * (rows // shots)
    assert set(seen) == set(label) or rows % shots, "all rows, where they can be divided without a rest"
    assert rows_of(found, 0, "support") == rows_of(collate([task]), 0, "support"), "the first division is as given"


def test_it_equals_a_loop_for_tasks_of_other_sizes_padded() -> None:
    tasks = [labelled(2, 6, ways=2, seed=1), labelled(2, 5, ways=4, seed=2), labelled(1, 3, ways=3, seed=3)]
    found, expected = resplit(collate(tasks)), [one for task in tasks for one in divided(task)]
    plain = collate(expected)
    assert found.n_tasks == len(expected) == 3 + 2 + 3
    assert torch.equal(found.class_mask, plain.class_mask) and found.kind == plain.kind
    for t in range(len(expected)):
        for part in ("support", "query"):
            assert rows_of(found, t, part) == rows_of(plain, t, part)
            assert getattr(found, f"{part}_mask").shape == getattr(plain, f"{part}_mask").shape
    assert found.support_y.dtype == torch.int64 and found.support_mask.dtype == torch.float32


def test_classes_of_unequal_size_divide_as_often_as_the_smallest_can() -> None:
    task = labelled(1, 4, ways=2)
    fewer = dataclasses.replace(task, query_x=task.query_x[1:], query_y=task.query_y[1:])
    found = resplit(collate([fewer]))
    assert found.n_tasks == 3
    assert [int(mask.sum()) for mask in found.query_mask] == [5, 5, 5]


def test_a_gradient_reaches_every_row() -> None:
    batch = collate([labelled(1, 3, ways=2)])
    leaf = batch.support_x.clone().requires_grad_()
    found = resplit(dataclasses.replace(batch, support_x=leaf))
    (gradient,) = torch.autograd.grad(found.support_x.sum() + 10 * found.query_x.sum(), leaf)
    torch.testing.assert_close(gradient, torch.full_like(leaf, 1 + 2 * 10))  # once in a support, twice in a query


@pytest.mark.parametrize("kind", ["binary", "regression", "ranking"])
def test_another_kind_is_refused(kind) -> None:
    with pytest.raises(TaskError, match=f"kind '{kind}' cannot be divided anew; expected exchangeable classes"):
        resplit(batch_of(kind))


def test_classes_with_other_numbers_of_support_rows_are_refused() -> None:
    uneven = make_task("classification", n_support=7, ways=3)
    with pytest.raises(TaskError, match=r"a task has \[3, 2, 2\] support rows of its classes; dividing anew needs as"):
        resplit(collate([labelled(1, 3, ways=3), uneven]))

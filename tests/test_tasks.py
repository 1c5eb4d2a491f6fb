"""Tasks are checked when they are built; batches pad without changing anything real."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import make_task
from metastudy.errors import TaskError
from metastudy.tasks import KINDS, collate


@pytest.mark.parametrize("kind", KINDS)
def test_good_tasks_are_accepted(kind) -> None:
    assert make_task(kind).kind == kind


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("regression", {"kind": "clustering"}, "kind 'clustering' is unknown"),
        ("regression", {"support_y": torch.zeros(5)}, "6 support rows but 5 labels"),
        ("regression", {"query_y": torch.zeros(9)}, "5 query rows but 9 labels"),
        ("regression", {"support_y": torch.zeros(6, dtype=torch.int64)}, "support labels are torch.int64"),
        ("classification", {"query_y": torch.zeros(5)}, "query labels are torch.float32"),
        ("classification", {"n_classes": 1}, "needs at least 2"),
        ("classification", {"n_classes": 4}, r"support has classes \[0, 1, 2\], expected each of 0..3"),
        ("classification", {"query_y": torch.full((5,), 3)}, "a class that the support lacks"),
        ("ranking", {"support_group": None}, "one support group per row"),
        ("ranking", {"query_group": torch.zeros(4, dtype=torch.int64)}, "one query group per row"),
        ("binary", {"query_x": torch.zeros(5, 2)}, r"rows have shape \(3,\), query rows \(2,\)"),
    ],
)
def test_bad_tasks_are_refused(kind, change, message) -> None:
    with pytest.raises(TaskError, match=message):
        dataclasses.replace(make_task(kind), **change)


def test_rows_are_named_where_a_metric_needs_it_and_batches_keep_the_names() -> None:
    plain = make_task("ranking")
    assert plain.support_ids == plain.query_ids == ()
    named = dataclasses.replace(plain, support_ids=tuple("aabbcc"), query_ids=tuple("ddeef"))
    batch = collate([named, plain])
    assert [t.support_ids for t in batch.tasks] == [tuple("aabbcc"), ()] and batch.tasks[0].query_ids == tuple("ddeef")


def test_batches_of_nothing_or_of_unlike_tasks_are_refused() -> None:
    with pytest.raises(TaskError, match="at least one"):
        collate([])
    with pytest.raises(TaskError, match="one kind"):
        collate([make_task("binary"), make_task("regression")])
    wide = dataclasses.replace(make_task("binary"), support_x=torch.zeros(6, 2), query_x=torch.zeros(5, 2))
    with pytest.raises(TaskError, match="one input shape"):
        collate([make_task("binary"), wide])


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from(KINDS),
    st.lists(st.tuples(st.integers(3, 7), st.integers(1, 6), st.integers(2, 3)), min_size=1, max_size=3),
)
def test_each_task_is_found_again_in_its_batch(kind, sizes) -> None:
    tasks = [make_task(kind, i, s, q, ways, n_groups=ways) for i, (s, q, ways) in enumerate(sizes)]
    batch = collate(tasks)
    assert batch.n_tasks == len(tasks) and batch.tasks == tuple(tasks)
    assert batch.n_classes == max(t.n_classes for t in tasks)
    for i, task in enumerate(tasks):
        assert batch.class_mask[i].tolist() == [1.0] * task.n_classes + [0.0] * (batch.n_classes - task.n_classes)
        for part in ("support", "query"):
            x, n = getattr(task, f"{part}_x"), len(getattr(task, f"{part}_x"))
            mask, group = getattr(batch, f"{part}_mask")[i], getattr(batch, f"{part}_group")[i]
            assert torch.equal(getattr(batch, f"{part}_x")[i, :n], x)
            assert torch.equal(getattr(batch, f"{part}_y")[i, :n], getattr(task, f"{part}_y"))
            assert mask.tolist() == [1.0] * n + [0.0] * (len(mask) - n)
            assert not set(group[:n].tolist()) & set(group[n:].tolist())
            if kind == "ranking":
                assert torch.equal(group[:n], getattr(task, f"{part}_group"))


def test_padding_shares_a_group_with_no_task_of_the_batch() -> None:
    batch = collate([make_task("ranking", 0, 4, 3, n_groups=1), make_task("ranking", 1, 9, 8, n_groups=3)])
    real = batch.support_group[batch.support_mask == 1]
    assert set(batch.support_group[batch.support_mask == 0].tolist()) == {int(real.max()) + 1}


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_of_a_batch_holds_its_tasks_as_they_were(kind) -> None:
    tasks = [make_task(kind, seed, n_support=6 + seed, n_query=5 + seed, name=f"t{seed}") for seed in range(4)]
    batch = collate(tasks)
    part = batch.part(slice(1, 3))
    assert part.n_tasks == 2 and part.kind == kind and [t.id for t in part.tasks] == ["t1", "t2"]
    for field in dataclasses.fields(batch):
        whole, piece = getattr(batch, field.name), getattr(part, field.name)
        if isinstance(whole, torch.Tensor):
            assert torch.equal(piece, whole[1:3]) and piece.data_ptr() == whole[1:3].data_ptr()  # no copy
    with pytest.raises(TaskError, match="none of the batch's 4 tasks"):
        batch.part(slice(4, 6))


def test_a_batch_moves_as_a_whole() -> None:
    batch = collate([make_task("ranking", 0, 3, 4), make_task("ranking", 1, 5, 2)])
    moved = batch.to("meta")
    tensors = {name: value for name, value in vars(moved).items() if isinstance(value, torch.Tensor)}
    assert len(tensors) == 9 and {value.device.type for value in tensors.values()} == {"meta"}
    assert moved.tasks == batch.tasks and moved.kind == batch.kind
    assert all(value.shape == getattr(batch, name).shape for name, value in tensors.items())

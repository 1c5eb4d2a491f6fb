"""People's own texts make the task that the study would make of them, and summaries of examples are judged alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from metastudy import own_task
from metastudy.own_task import Examples
from metastudy.text import rouge1
from toy_summaries import TinyFamily

FAMILY = TinyFamily()
FOLD = FAMILY.folds()[0]
SPEC = FAMILY.freeze(np.random.default_rng(0))[0]


def examples(shots: int) -> Examples:
    support = SPEC.support[0][:shots]
    return Examples([FAMILY.documents[i] for i in support], FAMILY.fitted_rows(FOLD), FAMILY.n_words(support))


@pytest.mark.parametrize("shots", [1, 3])
def test_the_task_is_that_of_the_study(shots) -> None:
    expected = FAMILY.build(SPEC, shots, FOLD)
    task = examples(shots).task([FAMILY.documents[i].sentences for i in SPEC.query])
    for name in ("support_x", "support_y", "support_group", "query_x", "query_group"):
        torch.testing.assert_close(getattr(task, name), getattr(expected, name), rtol=0, atol=0)
    assert task.kind == expected.kind and task.support_ids == tuple(str(i) for i in range(shots) for _ in range(5))
    assert float(task.query_y.abs().max()) == 0, "nobody knows what of the texts is worth saying"


def test_summaries_of_examples_are_judged_as_in_the_study(monkeypatch) -> None:
    own, theirs = examples(3), FAMILY.build(SPEC, 3, FOLD)
    task = own.task([["One."]])
    asked = [
        type(t)(
            t.id, t.family, t.kind, t.support_x, t.support_y, t.support_x, t.support_y,
            support_group=t.support_group, query_group=t.support_group, query_ids=t.support_ids,
        )
        for t in (task, theirs)
    ]  # fmt: skip
    judged = []
    monkeypatch.setattr(own_task, "rouge1", lambda *texts: judged.append(texts) or rouge1(*texts))
    for seed in (0, 1, 2, 0):
        scores = torch.randn(15, generator=torch.Generator().manual_seed(seed))
        assert own.quality(asked[0], scores) == pytest.approx(FAMILY.quality(asked[1], scores))
    assert 3 < len(judged) == len(set(judged)) <= 9, "none is judged twice"


def test_numbers_of_documents_by_hand() -> None:
    assert own_task.numbered([["a", "b"], [], ["c"]]).tolist() == [0, 0, 2]
    assert own_task.numbered([]).tolist() == []

"""Members of any scale count alike in a mixture of rankings, and each learns from its own loss."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from helpers import batch_of, in_double, make_task, small_mlp
from metastudy.adapt import Estimator, InputScore, Prototypes, Reptile, RidgeHead, Unadapted
from metastudy.errors import TaskError
from metastudy.losses import loss
from metastudy.mixture import MetaLearner
from metastudy.model import Params
from metastudy.standard_scores import StandardScores, standardised
from metastudy.tasks import collate

MODEL = small_mlp()
TOOLS = (InputScore(0, "lead"), InputScore(1, "lexrank"), Unadapted(), Prototypes())
HEADS = (Prototypes(), RidgeHead())


def params_of(g: MetaLearner, seed: int = 0) -> Params:
    """All of (θ, α) away from their start, in float64."""
    generator = torch.Generator().manual_seed(seed)
    start = g.init(generator)
    return {k: v.double() + 0.5 * torch.randn(v.shape, generator=generator).double() for k, v in start.items()}


def standard(values: list[float]) -> list[float]:
    mean = sum(values) / len(values)
    spread = (sum((v - mean) ** 2 for v in values) / len(values)) ** 0.5
    return [(v - mean) / max(spread, 1e-12) for v in values]


@pytest.mark.parametrize("mappings", [TOOLS, HEADS], ids=["members of all sorts", "members that share φ"])
def test_standard_scores_of_each_group_are_averaged(mappings) -> None:
    g, batch = StandardScores(MODEL, mappings), batch_of("ranking", n_query=7)
    params, m = params_of(g), len(mappings)
    members, found = g.members(params, batch), g.predict(params, batch)
    assert torch.equal(g.weights(params, batch), torch.full((2, m), 1 / m, dtype=torch.float64))
    for t in range(2):
        for group in (0, 1):
            rows = [q for q in range(7) if int(batch.query_group[t, q]) == group]
            own = [standard([float(scores[t, q, 0]) for q in rows]) for scores in members]
            for place, q in enumerate(rows):
                expected = sum(values[place] for values in own) / m
                assert float(found[t, q, 0]) == pytest.approx(expected, abs=1e-5)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.floats(-100, 100), st.integers(0, 3)), min_size=1, max_size=9))
def test_standard_scores_have_no_mean_and_the_same_spread_in_every_group(rows) -> None:
    scores, groups = (torch.tensor(column) for column in zip(*rows, strict=True))
    batch = in_double(collate([make_task("ranking", 0, n_query=len(rows))]))
    batch = dataclasses.replace(batch, query_group=groups[None])
    found = standardised(batch, scores[None, :, None].double())[0, :, 0]
    for group in set(groups.tolist()):
        own, before = found[groups == group], scores[groups == group].double()
        assert float(own.mean()) == pytest.approx(0, abs=1e-6)
        spread = float(before.std(correction=0))
        if spread > 0.1:
            assert float(own.std(correction=0)) == pytest.approx(1, abs=1e-5)
            assert own.tolist() == pytest.approx(standard(before.tolist()), abs=1e-5)
        else:
            assert float(own.std(correction=0)) < 1 + 1e-9, "noise is not made larger than that"


def test_a_tool_with_small_scores_counts_as_much_as_one_with_large_scores() -> None:
    g, batch = StandardScores(MODEL, TOOLS), batch_of("ranking")
    params = params_of(g)
    louder = params | {"alpha.lead.log_scale": params["alpha.lead.log_scale"] + 5}
    torch.testing.assert_close(g.predict(louder, batch), g.predict(params, batch), rtol=0, atol=1e-5)
    plain = MetaLearner(MODEL, TOOLS, beta="global")
    equal = {"beta.bias": torch.zeros(4).double()}
    assert not torch.allclose(plain.predict(louder | equal, batch), plain.predict(params | equal, batch), atol=0.1)


def test_what_is_added_to_all_scores_of_a_group_changes_nothing() -> None:
    g, batch = StandardScores(MODEL, TOOLS[:2]), batch_of("ranking")
    params, x = params_of(g), batch.query_x.clone()
    x[..., 0] += 100 * batch.query_group
    found = g.predict(params, dataclasses.replace(batch, query_x=x))
    torch.testing.assert_close(found, g.predict(params, batch), rtol=0, atol=1e-6)


def test_standard_scores_are_those_of_real_rows_alone() -> None:
    g, small, large = StandardScores(MODEL, TOOLS), make_task("ranking", 0, 4, 3), make_task("ranking", 1, 9, 8)
    params = params_of(g)
    alone, together = in_double(collate([small])), in_double(collate([large, small]))
    noise = 1e3 * (1 - together.query_mask)[..., None]
    for batch in (together, dataclasses.replace(together, query_x=together.query_x + noise)):
        torch.testing.assert_close(g.predict(params, batch)[1:, :3], g.predict(params, alone), rtol=0, atol=1e-9)


def test_a_group_of_one_row_or_of_equal_scores_is_zero_and_can_be_learned_from() -> None:
    batch = in_double(collate([make_task("ranking", 0, n_query=3, n_groups=2)]))  # groups of two rows and of one
    for scores in (batch.query_x[..., :1], torch.full((1, 3, 1), 5.0).double()):
        scores = scores.clone().requires_grad_()
        found = standardised(batch, scores)
        single = torch.bincount(batch.query_group[0])[batch.query_group[0]] == 1
        assert float(found[0, single].detach().abs().max()) == 0 and torch.isfinite(found).all()
        (gradient,) = torch.autograd.grad(found.square().sum(), scores)
        assert torch.isfinite(gradient).all()
    assert float(found.detach().abs().max()) == 0, "of equal scores"


def test_every_member_is_trained_by_its_own_loss_and_nothing_of_the_mixture_is_learned() -> None:
    g, batch = StandardScores(MODEL, TOOLS), batch_of("ranking")
    params = {k: v.requires_grad_() for k, v in params_of(g).items()}
    assert not [k for k in params if k.startswith("beta.")]
    expected = 0.0
    for mapping in TOOLS:
        alone = MetaLearner(MODEL, (mapping,))
        expected = expected + alone.query_loss(params, batch) / len(TOOLS)
    found = g.training_loss(params, batch)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    scales = [params["alpha.lead.log_scale"], params["alpha.lexrank.log_scale"]]
    for total in (g.query_loss(params, batch), found):  # what stops training is what is trained
        gradients = torch.autograd.grad(total, scales, allow_unused=True)
        assert all(d is not None and abs(float(d)) > 1e-6 for d in gradients)


def test_the_rules_that_members_bring_are_added() -> None:
    g, batch = StandardScores(MODEL, (Unadapted(), Reptile())), batch_of("ranking")
    params = params_of(g)
    own = [loss("ranking", p, batch.query_y, batch.query_mask, batch.query_group) for p in g.members(params, batch)]
    rules = list(g.own_rules(params, batch))
    assert len(rules) == 1 and float(rules[0].detach().abs()) > 0
    torch.testing.assert_close(g.training_loss(params, batch), torch.stack(own).mean() + rules[0], rtol=0, atol=1e-12)


def test_one_mapping_alone_keeps_its_order_and_its_loss() -> None:
    g, plain, batch = StandardScores(MODEL, TOOLS[2:3]), MetaLearner(MODEL, TOOLS[2:3]), batch_of("ranking")
    params = params_of(g)
    expected = standardised(batch, plain.predict(params, batch))
    torch.testing.assert_close(g.predict(params, batch), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(g.training_loss(params, batch), plain.training_loss(params, batch), rtol=0, atol=1e-12)


def test_members_of_other_kinds_are_refused() -> None:
    logistic = Estimator(LogisticRegression(), "logistic")
    with pytest.raises(TaskError, match=r"\['logistic'\] are not for rankings, .*: leave them out"):
        StandardScores(MODEL, (Unadapted(), logistic))
    with pytest.raises(TaskError, match="each name once"):
        StandardScores(MODEL, (Unadapted(), Unadapted()))


def test_training_is_stopped_by_the_members_and_not_by_the_mixture() -> None:
    """The mixture cannot see how sure a member is, so that its loss would keep parameters that learned nothing."""
    g, batch = StandardScores(MODEL, (InputScore(0, "first"), Unadapted())), batch_of("ranking")
    params = params_of(g)
    sure = params | {"theta.head.weight": 100 * params["theta.head.weight"]}
    torch.testing.assert_close(g.predict(sure, batch), g.predict(params, batch), rtol=0, atol=1e-3)
    assert float(g.query_loss(sure, batch)) > float(g.query_loss(params, batch)) + 0.1

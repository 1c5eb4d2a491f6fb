"""scikit-learn on learned features: the same as calling scikit-learn, and θ learns by a ridge head."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Lasso, LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC

from helpers import batch_of, in_double, make_task, moved, random_params, small_mlp
from metastudy.adapt import Estimator, RidgeHead
from metastudy.errors import TaskError
from metastudy.losses import loss, predict
from metastudy.mixture import MetaLearner
from metastudy.tasks import KINDS, Task, collate

MODEL = small_mlp()
TEMPLATES = {
    "classification": [None, GaussianNB(), KNeighborsClassifier(2)],
    "binary": [None, LogisticRegression(C=0.1), KNeighborsClassifier(2)],
    "regression": [None, Lasso(0.01), RandomForestRegressor(5, random_state=0)],
    "ranking": [None, Ridge(0.3)],
}
CASES = [(kind, template) for kind, templates in TEMPLATES.items() for template in templates]


def alpha_of(mapping, log_scale: float = 0.0):
    found = {k: v.double() for k, v in mapping.init(MODEL, torch.Generator()).items()}
    return found | {"log_scale": torch.tensor(log_scale).double()}


def features(task: Task, theta):
    return [MODEL.features(theta, x.double()[None])[0].numpy() for x in (task.support_x, task.query_x)]


@pytest.mark.parametrize(("kind", "template"), CASES)
def test_equals_scikit_learn_on_the_real_rows_of_each_task(kind, template) -> None:
    tasks = [make_task(kind, 0, 5, 4, ways=2), make_task(kind, 1, 9, 6, ways=3, n_groups=3)]
    theta, mapping, batch = random_params(MODEL), Estimator(template), in_double(collate(tasks))
    found = predict(kind, mapping(MODEL, theta, alpha_of(mapping), batch), batch.class_mask)
    if template is None:
        template = (
            LogisticRegression(solver="newton-cg", max_iter=1000) if kind in ("classification", "binary") else Ridge()
        )
    for t, task in enumerate(tasks):
        (x, query), y = features(task, theta), task.support_y.numpy()
        ours = found[t, : len(query)].numpy()
        if kind in ("classification", "binary"):
            expected = clone(template).fit(x, y).predict_proba(query).clip(1e-6, 1 - 1e-6)
            expected /= expected.sum(1, keepdims=True)
            np.testing.assert_allclose(np.exp(ours[:, : expected.shape[1]]), expected, rtol=0, atol=1e-9)
        elif kind == "regression":
            y = y.astype(float)
            np.testing.assert_allclose(ours[:, 0], clone(template).fit(x, y).predict(query), rtol=0, atol=1e-9)
        else:
            query, x, share = query - x.mean(0), x.copy(), y.astype(float)
            for g in set(task.support_group.tolist()):
                rows = task.support_group.numpy() == g
                x[rows] -= x[rows].mean(0)
                share[rows] = share[rows] / max(share[rows].sum(), 1e-12)
                share[rows] -= share[rows].mean()
            np.testing.assert_allclose(ours[:, 0], clone(template).fit(x, share).predict(query), rtol=0, atol=1e-9)


def test_a_scale_is_a_temperature_or_shrinks_towards_the_mean_of_the_support() -> None:
    theta, mapping = random_params(MODEL), Estimator()
    for kind in KINDS:
        batch = in_double(collate([make_task(kind, 0, 5), make_task(kind, 1, 8)]))
        plain, scaled = (mapping(MODEL, theta, alpha_of(mapping, s), batch) for s in (0.0, -0.5))
        mean = [float(t.support_y.mean()) for t in batch.tasks] if kind == "regression" else [0.0, 0.0]
        for t in range(2):
            torch.testing.assert_close(scaled[t] - mean[t], np.exp(-0.5) * (plain[t] - mean[t]), rtol=0, atol=1e-7)


def test_a_support_of_one_class_has_a_constant_answer() -> None:
    """By the rule of succession: three sick of three are 4 to 1 for the next one."""
    mapping, batch = Estimator(), batch_of("binary", n_support=3)
    batch = dataclasses.replace(batch, support_y=torch.ones_like(batch.support_y))
    found = predict("binary", mapping(MODEL, random_params(MODEL), alpha_of(mapping), batch), batch.class_mask)
    expected = torch.tensor([0.2, 0.8]).double().expand(2, 5, 2)
    torch.testing.assert_close(found.exp(), expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_theta_learns_from_the_query_loss_of_a_ridge_head_alone(kind) -> None:
    mapping, batch = Estimator(), batch_of(kind)
    theta = {k: v.requires_grad_() for k, v in random_params(MODEL).items()}
    alpha = moved(mapping.init(MODEL, torch.Generator()))
    assert not mapping(MODEL, theta, alpha, batch).requires_grad
    ridge = {k.removeprefix("ridge."): v for k, v in alpha.items() if k.startswith("ridge.")}
    prediction = predict(kind, RidgeHead()(MODEL, theta, ridge, batch), batch.class_mask)
    expected = loss(kind, prediction, batch.query_y, batch.query_mask, batch.query_group).mean()
    found = mapping.outer_loss(MODEL, theta, alpha, batch)
    assert found.item() == pytest.approx(expected.item(), abs=1e-12)
    body = [v for k, v in theta.items() if k.startswith("layer")]
    assert all(float(g.abs().max()) > 0 for g in torch.autograd.grad(found, body))


def test_several_stand_in_one_mixture_by_name() -> None:
    g = MetaLearner(MODEL, (Estimator(), Estimator(KNeighborsClassifier(1), "nearest")))
    params, batch = g.init(torch.Generator().manual_seed(0)), collate([make_task("binary")])
    assert {"alpha.estimator.log_scale", "alpha.nearest.log_scale"} <= set(params)
    params = {k: v.requires_grad_() for k, v in params.items()}
    g.training_loss(params, batch).backward()
    assert all(v.grad is not None for v in params.values())
    assert Estimator.name == "estimator" and g.mappings[1].name == "nearest"


def test_what_a_template_cannot_do_is_refused() -> None:
    with pytest.raises(
        TaskError, match="'nearest' cannot adapt to regression tasks; it works for binary, classification"
    ):
        Estimator(KNeighborsClassifier(1), "nearest")(MODEL, {}, {}, batch_of("regression"))
    with pytest.raises(TaskError, match="'estimator' cannot adapt to binary tasks; it works for ranking, regression"):
        Estimator(Ridge())(MODEL, {}, {}, batch_of("binary"))
    with pytest.raises(TaskError, match=r"LinearSVC\(\) is neither a regressor nor a classifier with predict_proba"):
        Estimator(LinearSVC())
    mapping = Estimator(KNeighborsClassifier(9))
    with pytest.raises(TaskError, match=r"KNeighborsClassifier\(n_neighbors=9\) failed on 6 support rows"):
        mapping(MODEL, random_params(MODEL), alpha_of(mapping), batch_of("classification"))


def test_the_template_itself_is_never_fitted() -> None:
    template = GaussianNB()
    mapping = Estimator(template)
    mapping(MODEL, random_params(MODEL), alpha_of(mapping), batch_of("binary"))
    assert not hasattr(template, "classes_")

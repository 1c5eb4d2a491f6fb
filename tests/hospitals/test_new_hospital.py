"""Methods for a new hospital look at source hospitals only, make each of them the new one, and then use all."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from helpers import NoTestFold
from metastudy.adapt import Unadapted
from metastudy.families.base import Fold
from metastudy.families.encoded import Encoded
from metastudy.families.hospitals import Hospitals
from metastudy.hospitals import NewHospital, PriorCentred, Recalibration
from metastudy.hospitals.local import LocalOnly, log_loss, probabilities
from metastudy.hospitals.new_hospital import best_penalty, rotations, sources, without_support
from metastudy.hospitals.source import source_head
from metastudy.model import HEAD_BIAS, HEAD_WEIGHT
from metastudy.tasks import collate
from metastudy.train import TrainConfig

CONFIG = TrainConfig(steps=3)
SICK = {"cleveland": 0.5, "hungarian": 0.35, "switzerland": 0.85, "va": 0.7}


def made(seed: int = 0, n: int = 90, **settings: object) -> Hospitals:
    """Hospitals that differ in prevalence and in one column that says which hospital it is, and nothing else."""
    rng = np.random.default_rng(seed)
    family = Hospitals(**{"shots": (1, 5), "n_train_query": 30, "draws": 4, "support": "random", **settings})
    data = {}
    for i, (name, share) in enumerate(SICK.items()):
        y = (rng.random(n) < share).astype(int)
        x = rng.normal(size=(n, 3)) + 1.2 * y[:, None] * np.array([1.0, 0.5, 0.0])
        x[:, 2] = 5 * share + rng.normal(size=n)
        data[name] = Encoded(name, ("a", "b", "where"), x, y, np.arange(n) + 1000 * i)
    family.__dict__["data"] = data
    return family


def diagnoses(family: Hospitals) -> dict[str, np.ndarray]:
    return {name: table.diagnosis for name, table in family.data.items()}


FAMILY = made()
FOLD = FAMILY.folds()[0]
SPECS = [spec for spec in FAMILY.freeze(np.random.default_rng(0)) if spec.fold == FOLD.name]
TASKS = [FAMILY.build(spec, 5, FOLD) for spec in SPECS]
G = NewHospital("g", (Recalibration(), PriorCentred()))


def test_each_source_is_the_new_one_once_and_the_tested_one_never() -> None:
    turns = rotations(NoTestFold(FOLD))
    assert sources(NoTestFold(FOLD)) == ("hungarian", "switzerland", "va")
    assert [turn.validation for turn in turns] == [("hungarian",), ("switzerland",), ("va",)]
    for turn in turns:
        assert not turn.test and set(turn.train) == set(sources(FOLD)) - set(turn.validation)


@pytest.mark.parametrize("method", [G, NewHospital("s", (Unadapted(),), intercepts=False, penalty=0.3)], ids=str)
def test_the_tested_hospital_changes_nothing_that_is_learned(method: NewHospital) -> None:
    changed = made()
    old = changed.data["cleveland"]
    changed.data["cleveland"] = Encoded(old.name, old.columns, old.x * 100, 1 - old.diagnosis, old.patients)
    one, other = (method.fit(f, NoTestFold(FOLD), CONFIG, 0) for f in (FAMILY, changed))
    for a, b in zip(one.predict(TASKS, 5), other.predict(TASKS, 5), strict=True):
        assert torch.equal(a, b)


def test_the_validating_hospital_trains_once_all_is_chosen() -> None:
    method = NewHospital("s", (Unadapted(),), intercepts=False, penalty=0.3)
    rows, names = FAMILY.rows(FOLD), sources(FOLD)
    x, y = (np.concatenate([v[name] for name in names]) for v in (rows, diagnoses(FAMILY)))
    expected = LogisticRegression(C=0.3, max_iter=5000).fit(x, y).predict_proba(TASKS[0].query_x.numpy())
    (found,) = method.fit(FAMILY, FOLD, CONFIG, 0).predict(TASKS[:1], 5)
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-5)


def test_own_intercepts_are_what_a_general_minimiser_finds() -> None:
    names, rows, C = sources(FOLD), FAMILY.rows(FOLD), 0.1
    x = np.concatenate([rows[name] for name in names])
    y = np.concatenate([FAMILY.data[name].diagnosis for name in names])
    of = np.repeat(np.arange(3), [len(FAMILY.data[name].diagnosis) for name in names])

    def objective(w: np.ndarray) -> float:  # intercepts hardly penalised, coefficients by 1 / C
        logits = x @ w[:3] + w[3:][of]
        return C * np.logaddexp(0, -(2 * y - 1) * logits).sum() + (w[:3] ** 2).sum() / 2 + (w[3:] ** 2).sum() / 200

    w = minimize(objective, np.zeros(6), method="BFGS", options={"gtol": 1e-8}).x[:3]

    def line(v: np.ndarray) -> float:
        return np.logaddexp(0, -(2 * y - 1) * (v[0] * (x @ w) + v[1])).sum()

    slope, intercept = minimize(line, np.zeros(2), method="BFGS", options={"gtol": 1e-8}).x
    head = source_head(FAMILY, FOLD, names, C, intercepts=True)
    np.testing.assert_allclose(head[HEAD_WEIGHT][:, 0].numpy(), slope * w, rtol=0, atol=2e-3)
    assert float(head[HEAD_BIAS]) == pytest.approx(intercept, abs=2e-3)


def test_own_intercepts_do_not_mistake_a_hospital_for_a_finding() -> None:
    plain, own = (source_head(FAMILY, FOLD, sources(FOLD), 0.1, k)[HEAD_WEIGHT][:, 0].abs() for k in (False, True))
    assert own[2] / own[0] < 0.5 * plain[2] / plain[0], "the third column only says where a patient is"


def test_the_penalty_is_the_best_at_left_out_hospitals() -> None:
    family, grid = made(2), (1e-6, 0.003, 3.0)
    found = {C: [] for C in grid}
    for new in sources(FOLD):
        turn = Fold("t", tuple(name for name in sources(FOLD) if name != new), (new,), ())
        rows = family.rows(turn)
        x, y = (np.concatenate([v[name] for name in turn.train]) for v in (rows, diagnoses(family)))
        for C in grid:
            regression = LogisticRegression(C=C, max_iter=5000).fit(x, y)
            found[C].append(roc_auc_score(family.data[new].diagnosis, regression.decision_function(rows[new])))
    means = {C: np.mean(values) for C, values in found.items()}
    assert len(set(means.values())) == 3
    assert best_penalty(family, NoTestFold(FOLD), False, grid) == max(means, key=means.get)
    assert best_penalty(family, FOLD, False, (0.03,)) == 0.03


def test_g_is_the_mixture_of_its_members_with_weights_that_sum_to_one() -> None:
    fitted = G.fit(FAMILY, FOLD, CONFIG, 0)
    beta = fitted.weights(TASKS)
    assert beta.shape == (len(TASKS), 2) and torch.allclose(beta.sum(1), torch.ones(len(TASKS)))
    assert torch.equal(beta[0], beta[1]), "one vector for all tasks"
    batch = collate(TASKS)
    members = fitted.learner.members(fitted.trained.params, batch)
    mixed = sum(b * m.exp() for b, m in zip(beta[0], members, strict=True))
    for own, task, found in zip(mixed, TASKS, fitted.predict(TASKS, 5), strict=True):
        torch.testing.assert_close(found, own[: len(task.query_y)])
    assert fitted.trained.history and not torch.equal(beta[0], torch.full((2,), 0.5)), "β was learned"


def test_a_seed_repeats_and_another_differs() -> None:
    one, again, other = (G.fit(FAMILY, FOLD, CONFIG, seed).predict(TASKS[:1], 5)[0] for seed in (0, 0, 1))
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_only_what_learns_nothing_is_deterministic() -> None:
    assert NewHospital("s", (Unadapted(),)).deterministic and not G.deterministic
    assert NewHospital("s", (Unadapted(),)).fit(FAMILY, FOLD, CONFIG, 0).trained is None


def test_blind_methods_look_at_no_patient() -> None:
    blind = NewHospital("g, no patients", G.mappings, blind=True).fit(FAMILY, FOLD, CONFIG, 0)
    seeing = G.fit(FAMILY, FOLD, CONFIG, 0)
    few = [FAMILY.build(SPECS[0], k, FOLD) for k in (1, 5)]
    one, five = blind.predict(few, 1)
    torch.testing.assert_close(one, five)
    assert not torch.allclose(seeing.predict(few, 1)[1], five)
    empty = without_support(collate(few))
    expected = seeing.learner.predict(seeing.trained.params, empty).exp()[0, : len(one)]
    torch.testing.assert_close(one, expected)


def test_a_hospital_with_another_prevalence_is_met() -> None:
    family, fold = made(n=200), Fold("switzerland", ("cleveland", "hungarian"), ("va",), ("switzerland",))
    tasks = [family.build(s, 5, fold) for s in family.freeze(np.random.default_rng(1)) if s.fold == "switzerland"]
    source = NewHospital("s", (Unadapted(),), intercepts=False, penalty=0.3).fit(family, fold, CONFIG, 0)
    found = {"source": source, "g": G.fit(family, fold, CONFIG, 0)}
    losses = {
        name: np.mean([
            -p.gather(1, task.query_y.long()[:, None]).log().mean()
            for p, task in zip(fitted.predict(tasks, 5), tasks, strict=True)
        ])
        for name, fitted in found.items()
    }  # fmt: skip
    assert losses["g"] < losses["source"] - 0.02


def test_local_only_fits_the_support_alone_and_answers_one_class_by_laplace() -> None:
    task = next(t for t in TASKS if 0 < t.support_y.mean() < 1)
    fitted = LocalOnly((0.01, 1.0)).fit(FAMILY, FOLD, CONFIG, 0)
    regressions = [
        LogisticRegression(C=C).fit(task.support_x.numpy(), task.support_y.numpy()).predict_proba(task.query_x.numpy())
        for C in (0.01, 1.0)
    ]
    (found,) = fitted.predict([task], 5)
    assert min(np.abs(found.numpy() - p).max() for p in regressions) < 1e-3, "one of the grid"
    assert log_loss(task, 1.0) == pytest.approx(
        -np.log(regressions[1][np.arange(len(task.query_y)), task.query_y.int()]).mean(), abs=1e-3
    )
    one_class = next(
        t for spec in FAMILY.freeze(np.random.default_rng(3))
        for t in [FAMILY.build(spec, 1, Fold(spec.fold, sources(FOLD), (), ()))] if t.support_y.mean() == 1
    )  # fmt: skip
    torch.testing.assert_close(probabilities(one_class, 1.0)[:, 1], torch.full((len(one_class.query_y),), 0.75))

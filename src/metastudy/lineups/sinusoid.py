"""The sinusoid: every way of adapting that makes sense for one real target, and one task as curves."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import torch

from metastudy.adapt import (
    ANIL,
    BOIL,
    MAML,
    Attention,
    Estimator,
    FiLM,
    FirstOrderMAML,
    Mapping,
    MetaSGD,
    Reptile,
    RidgeHead,
    TaskMemory,
)
from metastudy.families.sinusoid import Sinusoid, X
from metastudy.methods import FineTuned, Method, Scratch, alone, mixture_and_members, pooled
from metastudy.recipes import frozen, refit
from metastudy.study import Run
from metastudy.train import TrainConfig


def sinusoid_mappings() -> tuple[Mapping, ...]:
    """The members of g on the sinusoid; one gradient step, as in the tables of Finn et al. (2017), Li et al. (2017)."""
    return MAML(n_steps=1, initial_step_size=0.01), RidgeHead(), Attention(), FiLM(), TaskMemory()


def sinusoid_methods() -> list[Method]:
    """Every way of adapting that makes sense for one real target, alone, and g."""
    step = {"n_steps": 1, "initial_step_size": 0.01}
    others = FirstOrderMAML(**step), ANIL(**step), BOIL(**step), MetaSGD(**step), Reptile(initial_step_size=0.01)
    mappings = sinusoid_mappings()
    return [Scratch(), FineTuned(), pooled(), *alone(*others, Estimator()), *mixture_and_members(*mappings)]


def sinusoid_example(run: Run, family: Sinusoid, config: TrainConfig) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One frozen task as curves (method, x, y) of truth and predictions over all of [-5, 5], and its support points."""
    x = torch.linspace(*X, 200)
    curves, shots = [], family.shots[0]
    for method in mixture_and_members(*sinusoid_mappings()):
        if method.name in ("maml", "ridge", "g"):
            _, tasks, fitted = refit(run, family, method, config, shots)
            whole = replace(tasks[0], query_x=x[:, None], query_y=family.truth(tasks[0].id, frozen(run, family), x))
            y = fitted.predict([whole], shots)[0]
            curves.append(pd.DataFrame({"method": method.name, "x": x, "y": y}))
    curves.append(pd.DataFrame({"method": "truth", "x": x, "y": whole.query_y}))
    support = pd.DataFrame({"x": whole.support_x[:, 0], "y": whole.support_y})
    return pd.concat(curves, ignore_index=True), support

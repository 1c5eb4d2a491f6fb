"""ψ by any scikit-learn estimator, fitted on the support's features (Tian et al. 2020, Rethinking few-shot)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.base import BaseEstimator, clone, is_classifier, is_regressor
from sklearn.linear_model import LogisticRegression, Ridge
from threadpoolctl import threadpool_limits
from torch import Generator, Tensor

from metastudy.adapt.base import Mapping
from metastudy.adapt.detached import calibrated, mean_query_loss
from metastudy.adapt.ridge import RidgeHead, targets
from metastudy.errors import TaskError
from metastudy.losses import PROBABILISTIC, group_mean
from metastudy.model import BaseModel, Params
from metastudy.tasks import KINDS, TaskBatch

SMALLEST = 1e-6  # probabilities are kept this far from 0 and 1
_TEACHER = RidgeHead()


def log_probabilities(estimator: BaseEstimator, x: np.ndarray, y: np.ndarray, query: np.ndarray, n: int) -> np.ndarray:
    """Rows x (S, d) with labels y (S,) among 0..n-1, query (Q, d) -> log p, (Q, n).

    A class that y lacks has the smallest probability. Where y holds a single class there is nothing to fit, and the
    answer is Laplace's rule of succession, whatever the query. The estimator sees rows sorted by x and classes numbered
    as they then appear: where an iterative solver stops would otherwise depend on the order of rows and on names.
    """
    if len(np.unique(y)) == 1:
        counts = np.bincount(y, minlength=n) + 1
        return np.tile(np.log(counts / counts.sum()), (len(query), 1))
    order = np.lexsort(x.T)
    x, y = x[order], y[order]
    names = y[np.sort(np.unique(y, return_index=True)[1])]
    estimator.fit(x, np.argsort(names)[np.searchsorted(np.sort(names), y)])
    p = np.zeros((len(query), n))
    p[:, names[estimator.classes_]] = estimator.predict_proba(query)
    return np.log(p.clip(SMALLEST, 1 - SMALLEST))


@dataclass(frozen=True)
class Estimator(Mapping):
    """A clone of `template` fitted on φ of each task's support rows; θ is trained by another mapping's loss.

    classification, binary: log (odds) of `predict_proba`. regression: `predict`. ranking: `predict` of the centred
    share of gain from φ centred by group, as in `RidgeHead`; queries are centred by the mean of the whole support,
    since their own group must not matter. Without a template: logistic regression, or ridge. α: a scale of the
    scores (`calibrated`), and the penalty and scale of the ridge head below.

    An estimator has no gradient, so nothing flows into θ from its scores. Its `outer_loss` is the query loss of a
    differentiable ridge head (`RidgeHead`) on the same φ: features in which a linear head does well, and then a
    classical tool on them (Tian et al. 2020, who train φ as one large classifier instead).

    Several may stand in one mixture under different names: `Estimator(KNeighborsClassifier(1), "nearest")`. A
    template that draws at random must be given its `random_state`, or no result repeats.
    Raises TaskError for a template that is neither regressor nor classifier, or that has no `predict_proba`.
    """

    template: BaseEstimator | None = None
    name: str = "estimator"
    initial_scale: float = 1.0

    def __post_init__(self) -> None:
        if self.template is None:
            return
        if is_regressor(self.template):
            kinds = frozenset(KINDS) - PROBABILISTIC
        elif is_classifier(self.template) and hasattr(self.template, "predict_proba"):
            kinds = PROBABILISTIC
        else:
            raise TaskError(
                f"mapping {self.name!r}: {self.template!r} is neither a regressor nor a classifier with "
                "predict_proba; wrap it (CalibratedClassifierCV) or choose another"
            )
        object.__setattr__(self, "kinds", kinds)  # of this instance: what its template can do

    def init(self, model: BaseModel, generator: Generator) -> Params:
        teacher = {f"ridge.{k}": v for k, v in _TEACHER.init(model, generator).items()}
        return {"log_scale": torch.tensor(self.initial_scale).log(), **teacher}

    def _fitted(self, batch: TaskBatch) -> BaseEstimator:
        if self.template is not None:
            return clone(self.template)
        return LogisticRegression(solver="newton-cg", max_iter=1000) if batch.kind in PROBABILISTIC else Ridge()

    def adapt(self, model: BaseModel, theta: Params, alpha: Params, batch: TaskBatch) -> Tensor:
        with torch.no_grad():
            phi_s, phi_q = model.features(theta, batch.support_x), model.features(theta, batch.query_x)
            if batch.kind == "ranking":
                mask = batch.support_mask[..., None]
                phi_q = phi_q - (phi_s * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True)
                phi_s = phi_s - group_mean(phi_s, batch.support_group, batch.support_mask)
        labels = batch.support_y if batch.kind in PROBABILISTIC else targets(batch)[..., 0]
        # in double whatever θ is: solvers stop by a tolerance, which single precision may never reach
        x, y, query = (v.detach().cpu().double().numpy() for v in (phi_s, labels, phi_q))
        real = batch.support_mask.cpu().numpy() > 0
        with threadpool_limits(1):  # sums that repeat, and supports too small to share
            rows = [self._one(batch, x[t][real[t]], y[t][real[t]], query[t]) for t in range(batch.n_tasks)]
        return calibrated(torch.from_numpy(np.stack(rows)).to(phi_q), alpha["log_scale"], batch)

    def _one(self, batch: TaskBatch, x: np.ndarray, y: np.ndarray, query: np.ndarray) -> np.ndarray:
        """Scores of one task's query, (Q, C)."""
        estimator = self._fitted(batch)
        try:
            if batch.kind not in PROBABILISTIC:
                return estimator.fit(x, y).predict(query).reshape(-1, 1)
            log_p = log_probabilities(estimator, x, y.astype(int), query, max(2, batch.n_classes))
        except ValueError as error:
            raise TaskError(
                f"mapping {self.name!r}: {estimator!r} failed on {len(x)} support rows ({error}); "
                "choose a template that works with as few"
            ) from error
        return log_p if batch.kind == "classification" else log_p[:, 1:] - log_p[:, :1]

    def outer_loss(self, model: BaseModel, theta: Params, alpha: Params, batch: TaskBatch) -> Tensor:
        """The query loss of a ridge head on φ: the rule for θ (and for the head's own penalty and scale)."""
        own = {k.removeprefix("ridge."): v for k, v in alpha.items() if k.startswith("ridge.")}
        return mean_query_loss(_TEACHER(model, theta, own, batch), batch)

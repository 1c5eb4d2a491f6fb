"""The claim's tables by slow routes on small frames, and that what cannot be compared is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from metastudy import hospitals_study
from metastudy.abtest import compare, summarise
from metastudy.adapt import Unadapted
from metastudy.clinical.predictions import check_predictions
from metastudy.errors import DataError
from metastudy.families.encoded import Encoded
from metastudy.families.hospitals import VALIDATED_ON, Hospitals
from metastudy.hospitals import NewHospital
from metastudy.hospitals.bootstrap import equal_weights, log_loss_of
from metastudy.hospitals_study import both_supports, claim, predictions, support_effect, with_zero
from metastudy.train import TrainConfig

HOSPITALS = ("cleveland", "va")


def scores_of(shift: float = 0.0, methods: tuple[str, ...] = ("source only", "g, no patients", "g")) -> pd.DataFrame:
    """Two hospitals, six draws, k = 1 and 5; methods that look at no patient have one value for both."""
    rng = np.random.default_rng(0)
    rows = []
    for hospital in HOSPITALS:
        for draw in range(6):
            for method in methods:
                fixed = rng.random(2)
                for k in (1, 5):
                    values = rng.random(2) if method == "g" else fixed
                    for metric, value in zip(("auroc", "log_loss"), values + shift, strict=True):
                        rows.append(("s", hospital, f"{hospital}/{draw}", method, k, 0, metric, value))
    return pd.DataFrame(rows, columns=["study", "family", "task", "method", "shots", "seed", "metric", "value"])


def made_up(better: float = 0.0, n: int = 40, draws: int = 5, seed: int = 0) -> pd.DataFrame:
    """Predictions of g and source only; g is nearer to the truth by `better` logits."""
    rng, rows = np.random.default_rng(seed), []
    for hospital in HOSPITALS:
        truth = (rng.random(n) < 0.6).astype(int)
        truth[:4] = [0, 0, 1, 1]
        logits = rng.normal(size=n) + truth
        for draw in range(draws):
            support = rng.choice(np.arange(4, n), 6, replace=False)
            for method, gain in (("g", better), ("source only", 0.0)):
                p = 1 / (1 + np.exp(-(logits + 0.1 * draw + gain * (2 * truth - 1))))
                for i in np.setdiff1d(np.arange(n), support):
                    rows.append((method, hospital, hospital, f"{hospital}/{draw}", 5, i, truth[i], p[i]))
    return pd.DataFrame(rows, columns=["method", "family", "table", "task", "shots", "row", "truth", "probability"])


def test_k_0_is_what_a_method_says_that_looks_at_no_patient() -> None:
    scores = scores_of()
    found = with_zero(scores)
    assert set(found["method"]) == {"source only", "g"}
    assert sorted(found["shots"].unique()) == [0, 1, 5]
    keys = ["family", "task", "metric"]

    def of(frame: pd.DataFrame, method: str, k: int) -> pd.Series:
        return frame[(frame["method"] == method) & (frame["shots"] == k)].set_index(keys)["value"].sort_index()

    for method, blind in (("source only", "source only"), ("g", "g, no patients")):
        pd.testing.assert_series_equal(of(found, method, 0), of(scores, blind, 5))
        pd.testing.assert_series_equal(of(found, method, 5), of(scores, method, 5))


def test_both_supports_stand_in_one_table() -> None:
    table = both_supports({"random": scores_of(), "balanced": scores_of(0.5)})
    assert table["support"].unique().tolist() == ["random", "balanced"]
    for support, shift in (("random", 0.0), ("balanced", 0.5)):
        own = table[table["support"] == support].drop(columns="support").reset_index(drop=True)
        pd.testing.assert_frame_equal(own, summarise(with_zero(scores_of(shift)), False))


def test_the_effect_of_the_support_is_paired_by_task() -> None:
    random, balanced = scores_of(methods=("g",)), scores_of(methods=("g",))
    worse = balanced["metric"] == "log_loss"
    balanced.loc[worse, "value"] += 0.2
    table = support_effect(random, balanced, ("g",))
    assert table[["method", "hospital"]].to_numpy().tolist() == [["g", "cleveland"], ["g", "va"]]
    assert table["difference"].tolist() == pytest.approx([0.2, 0.2]), "a lower log loss is better"
    assert (table["balanced"] - table["random"]).tolist() == pytest.approx([0.2, 0.2])
    assert (support_effect(random, balanced, ("g",), "auroc")["difference"] == 0).all()
    renamed = pd.concat([random.assign(method="a"), balanced.assign(method="b")])
    c = compare(renamed[renamed["family"] == "va"], "a", "b", "log_loss", 5, True, clustered=False)
    assert table.loc[1, ["low", "high", "p"]].tolist() == pytest.approx([c.low, c.high, c.p])


def test_the_claims_means_are_means_over_draws_of_scikit_learns_measures() -> None:
    predicted = made_up(0.3)
    table = claim(predicted, n=20).set_index(["metric", "hospital"])
    measures = {"log_loss": lambda y, p: log_loss(y, p, labels=[0, 1]), "auroc": roc_auc_score}
    for metric, measure in measures.items():
        means = (
            predicted.groupby(["method", "family", "task"])
            .apply(lambda own, m=measure: m(own["truth"], own["probability"]), include_groups=False)
            .groupby(["method", "family"]).mean()
        )  # fmt: skip
        for hospital in HOSPITALS:
            found = table.loc[(metric, hospital)]
            assert [found["a"], found["b"]] == pytest.approx([means["g", hospital], means["source only", hospital]])
        everywhere = table.loc[(metric, "all")]
        assert [everywhere["a"], everywhere["b"]] == pytest.approx(means.groupby("method").mean().tolist())
    signs = {"log_loss": -1, "auroc": 1}
    for (metric, _), r in table.iterrows():
        assert r["difference"] == pytest.approx(signs[metric] * (r["a"] - r["b"])) and r["difference"] > 0


def test_the_interval_is_a_bootstrap_of_patients_and_draws() -> None:
    predicted = made_up(0.3)
    found = claim(predicted, n=400).set_index(["metric", "hospital"]).loc[("log_loss", "va")]
    own = predicted[predicted["family"] == "va"]
    loss = -np.log(np.where(own["truth"] == 1, own["probability"], 1 - own["probability"]))
    wide = own.assign(loss=loss).pivot(index=["task", "row"], columns="method", values="loss")
    gain = (wide["source only"] - wide["g"]).unstack().to_numpy()  # (draws, patients)
    rng, samples = np.random.default_rng(1), []
    for _ in range(400):
        rows, columns = rng.integers(0, gain.shape[0], gain.shape[0]), rng.integers(0, gain.shape[1], gain.shape[1])
        samples.append(np.nanmean(gain[np.ix_(rows, columns)], axis=1).mean())
    low, high = np.quantile(samples, [0.025, 0.975])
    assert [found["low"], found["high"]] == pytest.approx([low, high], abs=0.25 * (high - low))
    assert found["low"] < found["difference"] < found["high"]


def test_words_and_the_margin() -> None:
    better = claim(made_up(1.0), n=200).set_index(["metric", "hospital"])
    assert better.loc[("log_loss", "all"), "verdict"] == "better" and better["not_harmed"].all()
    same = claim(made_up(0.0), n=200)
    assert (same["verdict"] == "equivalent").all() and (same["p"] == 1).all() and (same["difference"] == 0).all()
    worse = claim(made_up(-1.0), n=200).set_index(["metric", "hospital"])
    assert worse.loc[("auroc", "all"), "verdict"] == "worse" and not worse.loc[("auroc", "all"), "not_harmed"]


def test_a_draw_without_a_healthy_patient_in_the_sample_is_left_out() -> None:
    y, p = np.array([0, 1, 1]), np.array([[0.2, 0.5, 0.9], [0.1, np.nan, 0.8]])

    def measure(y: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return np.where(weights[:, 1:].sum(1) > 1, log_loss_of(y, p, weights), np.nan)

    patients, draws = np.array([[1.0, 1, 1], [1, 2, 0]]), np.array([[1.0, 1], [0, 2]])
    found = hospitals_study._resampled(p, y, measure, patients, draws)
    assert found[0] == pytest.approx(log_loss(y, p[0])) and np.isnan(found[1])


def test_other_patients_are_refused() -> None:
    predicted = made_up()
    lost = predicted.drop(index=predicted[predicted["method"] == "g"].index[0])
    with pytest.raises(DataError, match="g and source only were not asked about the same patients of cleveland"):
        claim(lost, n=2)


def test_predictions_name_patients_as_the_family_does() -> None:
    rng = np.random.default_rng(0)
    family = Hospitals(draws=2, support="random")
    family.__dict__["data"] = {
        name: Encoded(name, ("a", "b"), rng.normal(size=(80, 2)), rng.permutation(np.arange(80) % 2), np.arange(80))
        for name in VALIDATED_ON
    }
    specs = family.freeze(np.random.default_rng(1))
    methods = [NewHospital(name, (Unadapted(),), intercepts=name == "s", penalty=1.0) for name in ("s", "t")]
    found = check_predictions(predictions(family, specs, methods, TrainConfig(steps=1)))
    assert found["family"].unique().tolist() == list(VALIDATED_ON) and found["task"].nunique() == 8
    for task, own in found[found["method"] == "s"].groupby("task"):
        (spec,) = [spec for spec in specs if spec.id == task]
        fold = next(f for f in family.folds() if f.name == spec.fold)
        built = family.build(spec, 5, fold)
        assert own["row"].astype(str).tolist() == list(built.query_ids)
        assert own["truth"].tolist() == built.query_y.int().tolist()
        (expected,) = methods[0].fit(family, fold, TrainConfig(steps=1), 0).predict([built], 5)
        np.testing.assert_allclose(own["probability"], expected[:, 1].numpy(), rtol=0, atol=1e-6)


def test_samples_repeat() -> None:
    pd.testing.assert_frame_equal(claim(made_up(0.2), n=50), claim(made_up(0.2), n=50))
    assert equal_weights(3, 2, np.random.default_rng(0)).shape == (2, 3)

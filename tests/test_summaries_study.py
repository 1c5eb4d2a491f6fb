"""Tables about public domains by hand on small frames, and which documents an ablation may use."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from at_hand import needs
from metastudy import cache, loaders, summaries_study
from metastudy.abtest import benjamini_hochberg, paired_test
from metastudy.classic import published
from metastudy.errors import DataError
from metastudy.families.public_summaries import DOMAINS, PublicSummaries
from metastudy.families.sentence_rows import ENCODERS
from metastudy.loaders.summaries import SourceDocument, Summaries
from metastudy.plan import StudyPlan
from metastudy.summaries_study import (
    against_plain,
    by_metric,
    ceilings,
    choices,
    encoder_differences,
    encoders,
    free_tasks,
    gap_closed,
    named,
)
from metastudy.task_lists import rng
from metastudy.text import rouge1
from metastudy.train import TrainConfig
from toy_summaries import WORDS, TinyFamily

PLAN = StudyPlan(
    metric="rouge1", shots=10, test="paired by family", seeds="fixed", alpha=0.05, margin=0.5, minimum_effect=1.0,
    primary="lexrank", exploratory=("lead", "pooled"),
)  # fmt: skip


def scores_of(values: dict[str, dict[str, list[float]]], shots: int = 10, metric: str = "rouge1") -> pd.DataFrame:
    """family -> method -> values of its tasks."""
    rows = [
        ("summaries", family, f"{family}/0:{i}", method, shots, 0, metric, value)
        for family, methods in values.items()
        for method, found in methods.items()
        for i, value in enumerate(found)
    ]
    return pd.DataFrame(rows, columns=["study", "family", "task", "method", "shots", "seed", "metric", "value"])


BBC = {"lead": [10.0, 20, 30, 40], "lexrank": [9.0, 20, 30, 40], "centroid": [0.0, 0, 0, 0], "g": [11.0, 22, 33, 44]}
QMSUM = {"lead": [1.0, 1, 1, 1], "lexrank": [5.0, 6, 7, 8], "centroid": [2.0, 2, 2, 2], "g": [5.1, 6.1, 6.9, 7.9]}
NOISE = {method: [90.0 + i for i in range(4)] for method in BBC}


def test_g_against_the_best_plain_method_of_each_domain() -> None:
    other = [scores_of({"bbc": NOISE}, shots=5), scores_of({"bbc": NOISE}, metric="rouge2")]
    table = against_plain(pd.concat([scores_of({"bbc": BBC, "qmsum": QMSUM}), *other]), PLAN)
    assert table[["family", "b"]].to_numpy().tolist() == [["bbc", "lead"], ["qmsum", "lexrank"]]
    assert table[["g", "rival", "difference"]].to_numpy().tolist() == [
        pytest.approx([27.5, 25.0, 2.5]), pytest.approx([6.5, 6.5, 0.0], abs=1e-9),
    ]  # fmt: skip
    found = [paired_test(np.array(own["g"]), np.array(own[b])) for own, b in ((BBC, "lead"), (QMSUM, "lexrank"))]
    assert table[["low", "high", "p"]].to_numpy().tolist() == [pytest.approx([c.low, c.high, c.p]) for c in found]
    assert table["p_adjusted"].tolist() == pytest.approx(benjamini_hochberg([c.p for c in found]))
    assert table["verdict"].tolist() == ["undecided", "equivalent"], "four documents cannot reach 5% by sign flips"


def test_a_clear_domain_is_better_and_only_methods_asked_for_are_rivals() -> None:
    steps = np.linspace(0, 9, 12)
    many = {"lead": steps, "lexrank": steps + 5, "centroid": steps + 20, "g": steps + 7 + 0.1 * np.arange(12) % 0.3}
    found = scores_of({"bbc": {m: v.tolist() for m, v in many.items()}})
    assert against_plain(found, PLAN).loc[0, ["b", "verdict"]].tolist() == ["centroid", "worse"]
    assert against_plain(found, PLAN, ("lead", "lexrank")).loc[0, ["b", "verdict"]].tolist() == ["lexrank", "better"]


def test_random_seeds_widen_the_interval() -> None:
    """As `abtest.compare` does; the tool without seeds counts once."""
    found = scores_of({"bbc": BBC})
    g = found[found["method"] == "g"]
    found = pd.concat([found, g.assign(seed=1, value=g["value"] - 3)])
    fixed, random = (against_plain(found, PLAN.model_copy(update={"seeds": s})).loc[0] for s in ("fixed", "random"))
    assert fixed["difference"] == random["difference"] == pytest.approx(1.0)
    assert random["high"] - random["low"] > fixed["high"] - fixed["low"]


def test_the_gap_closed_in_each_domain_and_on_average() -> None:
    values = {"bbc": {"lead": [10.0, 30], "g": [25.0, 25]}, "qmsum": {"lead": [10.0, 10], "g": [9.0, 9]}}
    found = pd.concat([scores_of(values), scores_of({"bbc": {"lead": [99.0]}}, shots=1)])
    table = gap_closed(found, pd.Series({"qmsum": 20.0, "bbc": 40.0}))
    assert table.columns.tolist() == ["family", "lead", "g", "oracle", "closed"]
    assert table.to_numpy().tolist() == [
        ["bbc", 20, 25, 40, 0.25], ["qmsum", 10, 9, 20, pytest.approx(-0.1)],
        ["all", 15, 17, 30, pytest.approx(0.075)],
    ]  # fmt: skip
    assert gap_closed(found.replace("g", "pooled"), pd.Series({"bbc": 40.0, "qmsum": 20.0}), "pooled").columns[2] == (
        "pooled"
    )


def test_rows_of_papers_are_read_by_metric() -> None:
    papers = pd.DataFrame(
        {"method": ["lead", "g, 10 papers"], "rouge1": [31.0, 37], "rouge1_low": [30.0, 36], "rouge1_high": [32.0, 38]}
        | {f"{m}{end}": [v, v + 1] for m, v in (("rouge2", 11.0), ("rougeL", 24.0)) for end in ("", "_low", "_high")}
    )
    table = by_metric(papers)
    assert table.to_numpy().tolist()[:3] == [
        ["ROUGE-1", "lead", 31, 30, 32], ["ROUGE-1", "g, 10 papers", 37, 36, 38], ["ROUGE-2", "lead", 11, 11, 11],
    ]  # fmt: skip
    assert len(table) == 6 and table["mean"].iloc[-1] == 25
    published.check_ours(table, published.SETTINGS["scitldr"])


def test_encoders_are_compared_by_domain() -> None:
    values = {"none": [10.0, 20, 30], "lsa": [11.0, 22, 33]}
    table = pd.DataFrame(
        [(e, "g", f"domain{i}", v) for e, found in values.items() for i, v in enumerate(found)],
        columns=["encoder", "method", "family", "rouge1"],
    )
    found = encoder_differences(table).set_index("encoder")
    assert found.loc["none"].tolist() == ["g", 20, 0, 0, 0]
    half = 4.302653 / 3**0.5  # t of two degrees of freedom; differences 1, 2, 3 have spread 1
    assert found.loc["lsa"].tolist() == ["g", 22, 2, pytest.approx(2 - half), pytest.approx(2 + half)]


def test_three_methods_are_compared_with_each_encoder() -> None:
    assert [m.name for m in summaries_study._ablated(PublicSummaries(encoder="lsa"))] == ["pooled", "prototypes", "g"]


def test_named_is_g_and_all_its_rivals() -> None:
    assert named(PLAN) == {"g", "lexrank", "lead", "pooled"}


def test_choices_are_those_of_the_family_with_their_rouge() -> None:
    family = TinyFamily()
    fold = family.folds()[0]
    task = family.build(family.freeze(np.random.default_rng(0))[0], 3, fold)
    position = torch.from_numpy(np.concatenate([np.arange(5.0)] * 4))
    chosen, scores = choices(family, task, {"first": -position, "last": position})
    assert set(chosen) == set(scores) == {"first", "last"}
    asked = [name.split("|")[0] for name in task.query_ids[::5]]
    for name, end in (("first", 0), ("last", 4)):
        assert list(chosen[name]) == list(scores[name]) == asked
        for i, picks in chosen[name].items():
            document = family.documents[i]
            assert end in picks
            assert scores[name][i] == rouge1(" ".join(document.sentences[s] for s in picks), document.summaries)


def test_the_ceiling_is_the_mean_of_the_oracle_by_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    family = TinyFamily()
    specs = family.freeze(np.random.default_rng(0))
    monkeypatch.setattr(summaries_study, "frozen", lambda run, family: specs)
    found = ceilings(None, family, 3)
    folds = {fold.name: fold for fold in family.folds()}
    for spec in specs:  # one draw a domain
        own = [s.value for s in family.oracle(family.build(spec, 3, folds[spec.fold])) if s.metric == "rouge1"]
        assert found[spec.family] == pytest.approx(np.mean(own)) and len(own) == 4
    assert len(found) == 3


LARGE = ("opinosis", "cnn_dailymail", "qmsum")


def a_source(domain: str) -> Summaries:
    """48 documents in `LARGE` domains, of qmsum in eight groups; 28 in others."""
    random = np.random.default_rng(DOMAINS.index(domain))
    found = []
    for i in range(48 if domain in LARGE else 28):
        units = tuple(" ".join(random.choice(WORDS, 5)) + f" {domain[:3]}." for _ in range(4))
        group = f"group{i % 8}" if domain == "qmsum" else ""
        found.append(
            SourceDocument(f"{domain}/{i}", domain, units, "sentences", (f"{units[1]} {units[3]}",), group=group)
        )
    return Summaries(tuple(found), {}, {})


@pytest.fixture
def toys(tmp_path, monkeypatch: pytest.MonkeyPatch) -> PublicSummaries:
    """Small sources in place of the real ones; few documents are needed, and few asked about."""
    monkeypatch.setattr(loaders, "load", a_source)
    monkeypatch.setattr(cache, "folder", lambda: tmp_path)
    monkeypatch.setattr(PublicSummaries.__init__, "__defaults__", (48, 6, 1, 6, (1, 5), "domain", "none"))
    monkeypatch.setattr(summaries_study, "MIN_FREE", 36)
    monkeypatch.setattr(summaries_study, "N_DRAWS", 2)
    monkeypatch.setattr(summaries_study, "N_QUERY", 5)
    return PublicSummaries()


def check_free(family: PublicSummaries, specs, shots: int) -> dict[str, int]:
    """How many free tasks each domain has; none holds what it must not."""
    asked = {i for spec in specs for i in spec.query}
    asked_groups = {family.documents[i].group for i in asked}
    found = {}
    for fold in family.folds():
        tasks = free_tasks(family, fold, specs, shots)
        queries = []
        for task in tasks:
            assert {task.family} == set(fold.test) and task.family not in fold.train + fold.validation
            support, query = (
                list(dict.fromkeys(name.split("|")[0] for name in ids)) for ids in (task.support_ids, task.query_ids)
            )
            groups = [{family.documents[i].group for i in ids} for ids in (support, query)]
            assert not asked & {*support, *query} and not asked_groups & (groups[0] | groups[1])
            assert not groups[0] & groups[1] and len(support) == shots
            queries += query
        assert len(set(queries)) == len(queries), "draws ask about different documents"
        found[fold.test[0]] = len(tasks)
    return found


def test_free_tasks_hold_no_document_that_a_frozen_task_asks_about(toys: PublicSummaries) -> None:
    specs = toys.freeze(np.random.default_rng(0))
    found = check_free(toys, specs, 10)
    assert found == dict.fromkeys(DOMAINS, 0) | dict.fromkeys(LARGE, 2), "others have too few"
    groups = {toys.documents[i].group for spec in specs for i in spec.query if spec.family == "qmsum"}
    assert len(groups) == 1, "of which no other document is used"
    first = toys.folds()[0]
    again = free_tasks(toys, first, specs, 10)
    assert [t.query_ids for t in again] == [t.query_ids for t in free_tasks(toys, first, specs, 10)]


@needs(*DOMAINS)
def test_free_tasks_of_the_real_domains(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which documents they hold; their input rows would take long, and are left empty."""
    family = PublicSummaries()
    empty = {i: torch.zeros(len(d.sentences), 1) for i, d in family.documents.items()}
    monkeypatch.setattr(PublicSummaries, "rows", lambda self, fold: empty)
    found = check_free(family, family.freeze(rng()), 10)
    assert [domain for domain, n in found.items() if n] == [
        "cnn_dailymail", "dialogsum", "scitldr", "bbc", "qmsum", "convosumm_email", "meqsum",
    ]  # fmt: skip


def test_encoders_are_measured_on_free_tasks(toys: PublicSummaries, monkeypatch: pytest.MonkeyPatch) -> None:
    specs = [s for s in toys.freeze(np.random.default_rng(0)) if s.family in DOMAINS[:2]]
    monkeypatch.setattr(summaries_study, "frozen", lambda run, family: specs)
    monkeypatch.setattr(summaries_study, "ABLATED", ("pooled",))
    monkeypatch.setattr(summaries_study, "N_DRAWS", 1)
    monkeypatch.setattr(summaries_study, "ENCODERS", {"none": 0, "lsa": ENCODERS["lsa"]})
    folds, domains = toys.folds()[:2], toys.domains
    monkeypatch.setattr(PublicSummaries, "folds", lambda self: folds)
    monkeypatch.setattr(PublicSummaries, "domains", domains)
    run = SimpleNamespace(parameters=SimpleNamespace(seed=0, jobs=1))
    table = encoders(run, TrainConfig(steps=1, tasks_per_step=1), shots=5)
    assert table.groupby("encoder", sort=False).size().to_dict() == {"none": 2, "lsa": 2}
    assert set(table["method"]) == {"pooled"} and set(table["family"]) == set(DOMAINS[:2])
    assert table["rouge1"].between(0, 100).all()
    assert (encoder_differences(table).query("encoder == 'none'")["difference"] == 0).all()
    monkeypatch.setattr(summaries_study, "MIN_FREE", 1000)
    with pytest.raises(DataError, match="no domain has 1000 documents outside the frozen tasks; expected one"):
        encoders(run, TrainConfig(steps=2))

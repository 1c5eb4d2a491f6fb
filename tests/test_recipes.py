"""The methods of every study are those its plan names, and an evaluation leaves its traces in the run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from pandas.testing import assert_frame_equal

from helpers import ToyFamily
from metastudy import evaluate, parameters, plan, recipes, study, task_lists
from metastudy.abtest import summarise
from metastudy.adapt import MAML, FromScratch, InputScore, RidgeHead
from metastudy.errors import DataError
from metastudy.evidence import EvidenceMixture
from metastudy.families.base import Family, Score
from metastudy.families.digits import Digits
from metastudy.families.public_summaries import PublicSummaries
from metastudy.families.search import DocumentationSearch
from metastudy.families.sinusoid import Sinusoid
from metastudy.families.summarization import DocumentationSummaries
from metastudy.families.summary_family import SummaryFamily
from metastudy.families.tables import MedicalTables
from metastudy.methods import InputColumn, Method, Scratch, mixture_and_members, pooled
from metastudy.project import Project, find_root, sha256
from metastudy.tasks import Task, collate
from metastudy.train import TrainConfig

FAMILIES: dict[str, Family] = {
    f.study: f for f in (Sinusoid(), Digits(), DocumentationSummaries(), MedicalTables(), DocumentationSearch())
}
SHOTS_OF = {  # where a study's notebook says its numbers of shots
    "sinusoid": ("03_meta_training", "sinusoid_shots"),
    "digits": ("03_meta_training", "digits_shots"),
    "summarization": ("04_text_summarization", "shots"),
    "diagnosis_diseases": ("05_medical_diagnosis", "shots"),
    "search_collections": ("06_semantic_search", "shots"),
}
FOLDER = find_root() / "notebooks" / "parameters"
PLANS = plan.load(FOLDER / "plan.yaml")
ONE = torch.zeros(2, dtype=torch.int64)  # two rows of one group
CONFIG = TrainConfig(steps=2, tasks_per_step=2, validate_every=1)


def methods(name: str) -> list[Method]:
    made = {
        "summarization": lambda: recipes.summarization_methods(FAMILIES["summarization"]),
        "search_collections": lambda: recipes.ranking_methods(FAMILIES["search_collections"]),
        "sinusoid": recipes.sinusoid_methods,
        "digits": recipes.digits_methods,
        "diagnosis_diseases": recipes.diagnosis_methods,
    }
    return made[name]()


def test_the_plan_covers_every_study() -> None:
    assert set(PLANS) == set(FAMILIES) == set(SHOTS_OF)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_plan_names_every_method_once_and_no_other(name: str) -> None:
    names = [m.name for m in methods(name)]
    assert len(set(names)) == len(names) and names[-1] == "g"
    planned = [PLANS[name].primary, *PLANS[name].exploratory]
    assert len(set(planned)) == len(planned), "no method is compared twice"
    assert {*planned, plan.A} == set(names)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_plan_asks_for_what_its_study_measures(name: str) -> None:
    assert PLANS[name].metric in FAMILIES[name].metrics
    assert PLANS[name].clustered == FAMILIES[name].clustered
    assert PLANS[name].lower_is_better == (PLANS[name].metric in ("mse", "log_loss"))
    for profile in FOLDER.glob("*.yaml"):
        if profile.stem != "plan":
            step, parameter = SHOTS_OF[name]
            values = yaml.safe_load(profile.read_text()).get(step)
            if values is None and profile.stem != "quick":
                continue  # a profile may have some of the notebooks
            assert PLANS[name].shots in values[parameter], f"{profile.stem} does not measure what the plan judges"
            assert values["seeds"] >= 2, f"{profile.stem}: A/A needs two seeds"


@pytest.mark.parametrize("name", FAMILIES)
def test_g_mixes_only_mappings_that_are_also_tried_alone(name: str) -> None:
    *others, g = methods(name)
    mixed = {"pooled" if m.name == pooled().mappings[0].name else m.name: m for m in g.mappings}
    tools = {m.name: m.column for m in mixed.values() if isinstance(m, InputScore)}
    assert tools.items() <= {m.name: m.column for m in others if isinstance(m, InputColumn)}.items()
    if any(isinstance(m, FromScratch) for m in mixed.values()):
        assert any(isinstance(m, Scratch) for m in others), "with its settings tuned"
    learning = {n: m for n, m in mixed.items() if not isinstance(m, (InputScore, FromScratch))}
    alone = {m.name: m.mappings[0] for m in others if getattr(m, "mappings", None)}
    assert learning.items() <= alone.items() and len(mixed) > 2


@pytest.mark.parametrize("family", [FAMILIES["summarization"], PublicSummaries()], ids=lambda f: type(f).__name__)
def test_tools_of_a_summary_family_are_tried_and_are_members_of_g(family: SummaryFamily) -> None:
    found = {m.name: m for m in recipes.summarization_methods(family)}
    alone = ["from scratch", "fine-tuned", "pooled", "maml", "ridge", "prototypes"]
    assert list(found) == ["random", "lead", "lexrank", "centroid", *alone, "tools", "g"]
    tools, g = found["tools"], found["g"]
    assert isinstance(tools, EvidenceMixture) and isinstance(g, EvidenceMixture)
    assert [m.name for m in tools.mappings] == ["lead", "lexrank", "centroid"] and tools.rate == g.rate
    assert g.mappings == (*tools.mappings, *found["pooled"].mappings, *found["prototypes"].mappings)
    x = torch.arange(2.0 * family.model().in_dim).reshape(2, -1)
    y = torch.ones(2)
    task = Task("t", "d", "ranking", x, y, x, y, support_group=ONE, query_group=ONE)
    for mapping in g.mappings[:3]:
        member = mapping(family.model(), {}, {"log_scale": torch.tensor(0.0)}, collate([task]))[0, :, 0]
        (tool,) = found[mapping.name].fit(family, None, CONFIG, 0).predict([task], 1)
        assert torch.equal(member, tool)


class Toy(parameters.CrossValidated):
    pass


FAMILY = ToyFamily("regression", shots=(1, 3), n_test=2)
VALUES = {"profile": "quick", "seed": 4, "jobs": 1, "seeds": 2, "primary_seeds": 2, "steps": 2, "shots": [1, 3]}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> study.Run:
    monkeypatch.setitem(parameters.MODELS, "01_toy", Toy)
    for variable in study.THREAD_LIMITS:
        monkeypatch.setenv(variable, "1")
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    task_lists.write(FAMILY, tmp_path / "data" / "tasks" / "quick")
    return study.start("01_toy", VALUES, Project(tmp_path.resolve(), tmp_path.resolve() / "results", {"01_toy": ()}))


def test_the_task_list_is_an_input_of_the_run(run: study.Run) -> None:
    assert recipes.frozen(run, FAMILY) == FAMILY.freeze(np.random.default_rng(task_lists.SEED))
    run.finish()
    manifest = json.loads(run.project.manifest("quick", "01_toy").read_text())
    name = "data/tasks/quick/toy.json"
    assert manifest["inputs"] == {name: sha256(run.project.root / name)}


def test_a_missing_task_list_is_refused(run: study.Run) -> None:
    (run.project.root / "data/tasks/quick/toy.json").unlink()
    with pytest.raises(DataError, match="data/tasks/quick/toy.json is missing"):
        recipes.frozen(run, FAMILY)


def test_an_evaluation_writes_scores_and_table_and_goes_on_where_it_stopped(
    run: study.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = [InputColumn("first column", 0), *mixture_and_members(MAML(1), RidgeHead())[1:]]
    result, table = recipes.evaluate(run, FAMILY, tried, CONFIG)
    assert set(result.scores["method"]) == {"first column", "ridge", "g"} and set(result.scores["shots"]) == {1, 3}
    assert set(result.scores["seed"]) == {4, 5}, "`seeds` seeds, from `seed` on"
    assert_frame_equal(table, summarise(result.scores, clustered=False))
    assert len(run.read_scores("toy")) == len(result.scores) and len(run.read_table("toy")) == len(table)

    def never(*_: object) -> None:
        raise AssertionError("a finished fit was computed again")

    monkeypatch.setattr(evaluate, "run_cell", never)
    again, _ = recipes.evaluate(run, FAMILY, tried, CONFIG)
    assert_frame_equal(again.scores, result.scores, check_exact=True)


def test_refitting_gives_the_predictions_that_were_scored(run: study.Run) -> None:
    scratch = Scratch(n_steps=(2,))
    result, _ = recipes.evaluate(run, FAMILY, [scratch], CONFIG)
    fold, tasks, fitted = recipes.refit(run, FAMILY, scratch, CONFIG, shots=3)
    assert fold.name == "one" and [t.family for t in tasks] == ["d", "d"]
    (score,) = FAMILY.score(tasks[0], fitted.predict(tasks[:1], 3)[0])
    found = result.scores[(result.scores["seed"] == 4) & (result.scores["shots"] == 3)]
    assert found.iloc[0]["value"] == pytest.approx(score.value, rel=1e-5)


class WithOracle(ToyFamily):
    """The ceiling of a task is its largest value; ceilings of other metrics are not asked for."""

    def oracle(self, task: Task) -> list[Score]:
        return [Score(task.id, "rouge1", float(task.query_y.abs().max())), Score(task.id, "rouge2", 99.0)]


def test_the_ceiling_is_a_mean_by_family(run: study.Run) -> None:
    family = WithOracle("regression", shots=(1, 3), n_test=2)
    found = recipes.oracle(run, family)
    folds = {f.name: f for f in family.folds()}
    largest = [float(family.build(s, 1, folds[s.fold]).query_y.abs().max()) for s in recipes.frozen(run, family)]
    assert found.to_dict() == pytest.approx({"d": np.mean(largest[:2]), "a": np.mean(largest[2:])})


def test_the_sinusoid_example_shows_truth_and_predictions_of_one_task(
    run: study.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = Sinusoid(shots=(5,), n_test=2)
    task_lists.write(family, run.project.root / "data" / "tasks" / "quick")
    curves, support = recipes.sinusoid_example(run, family, CONFIG)
    assert list(dict.fromkeys(curves["method"])) == ["maml", "ridge", "g", "truth"]
    assert curves.groupby("method").size().tolist() == [200] * 4 and len(support) == 5
    truth = curves[curves["method"] == "truth"]
    assert (truth["x"].min(), truth["x"].max()) == (-5, 5)
    near = np.interp(support["x"], truth["x"], truth["y"])
    assert near == pytest.approx(support["y"].to_numpy(), abs=0.02), "the labelled points lie on the true curve"
    assert torch.get_num_threads() == 1

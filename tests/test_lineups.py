"""The methods of every study are those its plan names."""

from __future__ import annotations

import pytest
import torch
import yaml

from metastudy import plan
from metastudy.adapt import FromScratch, InputScore
from metastudy.evidence import EvidenceMixture
from metastudy.families.base import Family
from metastudy.families.digits import Digits
from metastudy.families.public_summaries import PublicSummaries
from metastudy.families.search import DocumentationSearch
from metastudy.families.sinusoid import Sinusoid
from metastudy.families.summarization import DocumentationSummaries
from metastudy.families.summary_family import SummaryFamily
from metastudy.families.tables import MedicalTables
from metastudy.lineups.diagnosis import diagnosis_methods
from metastudy.lineups.digits import digits_methods
from metastudy.lineups.search import ranking_methods
from metastudy.lineups.sinusoid import sinusoid_methods
from metastudy.lineups.summarization import summarization_methods
from metastudy.methods import InputColumn, Method, Scratch, pooled
from metastudy.project import find_root
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
        "summarization": lambda: summarization_methods(FAMILIES["summarization"]),
        "search_collections": lambda: ranking_methods(FAMILIES["search_collections"]),
        "sinusoid": sinusoid_methods,
        "digits": digits_methods,
        "diagnosis_diseases": diagnosis_methods,
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
    found = {m.name: m for m in summarization_methods(family)}
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

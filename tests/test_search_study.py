"""Tables about feedback by slow routes: gains by hand and by plain resampling, first stages by BM25 and ir-measures of
other code, reasons that add up, and whole collections ranked page by page."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from at_hand import needs
from metastudy import cache, loaders, search_study
from metastudy.abtest import sign_flip_p, summarise, t_interval
from metastudy.errors import DataError, ParameterError
from metastudy.families import candidates
from metastudy.families.candidates import of_arrays, to_search
from metastudy.families.search_base import measured
from metastudy.families.search_feedback import NAMES as COLLECTIONS
from metastudy.families.search_feedback import SearchFeedback
from metastudy.feedback import TunedFeedback, components, feedback_scores, rocchio, surroundings, tuned
from metastudy.feedback import index as page_index
from metastudy.feedback.components import judged_places
from metastudy.feedback.learned_columns import COLUMNS, of_task
from metastudy.feedback.ranker import FeedbackRanker, Weights
from metastudy.methods import field_baselines
from metastudy.project import find_root
from metastudy.search_study import (
    ALL,
    GRADES,
    IN_WORDS,
    LISTED,
    MEAN,
    anchors,
    asked_and_judged,
    before_and_after,
    contributions,
    everywhere,
    first_stages,
    known,
    query_differences,
    recall_after,
    relative_gains,
    wins,
)
from metastudy.tables import tidy
from metastudy.train import TrainConfig
from toy_collections import toy

CONFIG = TrainConfig(steps=1)
FILE = find_root() / "data" / "published_search.yaml"


def scores_of(values: dict[str, dict[str, dict[int, list[float]]]], seed: int = 0) -> pd.DataFrame:
    """family -> method -> k -> values of its queries."""
    rows = [
        ("search_feedback", family, f"{family}/{i}", method, k, seed, "ndcg@10", value)
        for family, methods in values.items()
        for method, by_k in methods.items()
        for k, found in by_k.items()
        for i, value in enumerate(found)
    ]
    return pd.DataFrame(rows, columns=["study", "family", "task", "method", "shots", "seed", "metric", "value"])


def made_up(gain: float = 0.1, queries: int = 40, seed: int = 0, families: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    values = {}
    for family in "abcdefgh"[:families]:
        level = rng.uniform(0.2, 0.6)
        base = np.clip(level + 0.2 * rng.normal(size=queries), 0.01, 1)
        own = {k: np.clip(base + gain * level + 0.05 * rng.normal(size=queries), 0, 1).tolist() for k in (1, 2)}
        values[family] = {"g": own, "F": {k: base.tolist() for k in (1, 2)}}
    return scores_of(values)


SMALL = {
    "cran": {
        "g": {1: [0.6, 0.6], 4: [0.9, 0.7]},
        "D": {1: [0.5, 0.3], 4: [0.5, 0.5]},
        "F": {1: [0.6, 0.6], 4: [1.0, 1.0]},
    },
    "med": {
        "g": {1: [0.3, 0.5], 4: [0.5, 0.5]},
        "D": {1: [0.2, 0.2], 4: [0.5, 0.3]},
        "F": {1: [0.4, 0.4], 4: [0.5, 0.5]},
    },
}


def test_relative_gains_by_hand() -> None:
    scores = scores_of(SMALL)
    table = relative_gains(scores, "g", ["D", "F"], n=50)
    assert len(table) == 2 * 3 * 3 and table["shots"].unique().tolist() == [1, 4, MEAN]
    cell = table.set_index(["b", "shots", "family"])
    assert cell.loc[("D", 1, "cran"), ["mean_a", "mean_b", "gain"]].tolist() == pytest.approx([0.6, 0.4, 50])
    assert cell.loc[("D", 1, "med"), ["mean_a", "mean_b", "gain"]].tolist() == pytest.approx([0.4, 0.2, 100])
    over = cell.loc[("D", 1, ALL)]
    assert over["gain"] == pytest.approx(75), "the mean of gains, not the gain of means, which is 67%"
    assert over[["mean_a", "mean_b"]].tolist() == pytest.approx([0.5, 0.3]) and over["queries"] == 4
    # k = 1 and 4 averaged in each query: 0.75, 0.65 against 0.5, 0.4
    assert cell.loc[("D", MEAN, "cran"), ["mean_a", "mean_b"]].tolist() == pytest.approx([0.7, 0.45])
    assert cell.loc[("D", MEAN, "cran"), "gain"] == pytest.approx(100 * (0.7 / 0.45 - 1))
    assert cell.loc[("F", 1, ALL), "gain"] == pytest.approx(0, abs=1e-9)
    units = np.array([50.0, 100.0])
    assert over[["t_low", "t_high"]].tolist() == pytest.approx(t_interval(units)) and over["p"] == sign_flip_p(units)
    assert table.loc[table["family"] != ALL, ["t_low", "t_high", "p"]].isna().all().all()
    one_k = relative_gains(scores[scores["shots"] == 4], "g", ["D"], n=5)
    assert one_k["shots"].tolist() == [4, 4, 4] and one_k["gain"].tolist() == pytest.approx([60, 25, 42.5])


def test_seeds_are_averaged_inside_a_query_first() -> None:
    scores = scores_of(SMALL)
    g = scores[scores["method"] == "g"]
    both = pd.concat([scores, g.assign(seed=1, value=g["value"] + np.tile([0.2, -0.2], 4))])
    expected = pd.concat([scores[scores["method"] != "g"], g.assign(value=g["value"] + np.tile([0.1, -0.1], 4))])
    found, wanted = (relative_gains(frame, "g", ["D"], n=50) for frame in (both, expected))
    pd.testing.assert_frame_equal(found, wanted)


def test_the_first_interval_is_a_paired_bootstrap_of_queries_within_collections() -> None:
    scores = made_up()
    found = relative_gains(scores, "g", ["F"]).set_index(["shots", "family"])
    rng, samples = np.random.default_rng(9), {f: [] for f in ("a", "b", "c", ALL)}
    wide = scores[scores["shots"] == 2].pivot(index=["family", "task"], columns="method", values="value")
    values = {family: own.to_numpy() for family, own in wide.groupby("family")}  # columns F, g
    for _ in range(3000):
        gains = {}
        for family, own in values.items():
            drawn = own[rng.integers(0, len(own), len(own))]
            gains[family] = 100 * (drawn[:, 1].mean() / drawn[:, 0].mean() - 1)
        for family, gain in (gains | {ALL: np.mean(list(gains.values()))}).items():
            samples[family].append(gain)
    for family, drawn in samples.items():
        low, high = np.quantile(drawn, [0.025, 0.975])
        ends = found.loc[(2, family), ["low", "high"]].tolist()
        assert ends == pytest.approx([low, high], abs=0.12 * (high - low)), family
    unpaired = np.hypot(*(100 * wide.loc["a", m].sem() / wide.loc["a", "F"].mean() for m in ("g", "F")))
    assert np.ptp(found.loc[(2, "a"), ["low", "high"]]) < 0.6 * 2 * 1.96 * unpaired, "what queries share cancels out"
    single = found.loc[(2, ["a", "b", "c"]), "gain"]
    assert found.loc[(2, ALL), "gain"] == pytest.approx(single.mean()) != pytest.approx(single.median())


def test_samples_in_which_the_other_finds_nothing_are_left_out() -> None:
    rare = {"cran": {"g": {2: [0.5, 0.5, 0.5]}, "D": {2: [0.0, 0.0, 0.9]}}}
    table = relative_gains(scores_of(rare), "g", ["D"], n=500)
    assert np.isfinite(table[["gain", "low", "high"]]).all().all()
    assert table["gain"].tolist() == pytest.approx([100 * (0.5 / 0.3 - 1)] * 2)
    assert table["high"].tolist() == pytest.approx([100 * (1.5 / 0.9 - 1)] * 2), "that query once is the least there is"


def test_samples_repeat_and_depend_on_the_seed() -> None:
    one, again, other = (relative_gains(made_up(), "g", ["F"], n=200, seed=s) for s in (1, 1, 2))
    pd.testing.assert_frame_equal(one, again)
    assert not np.allclose(one["low"], other["low"]) and np.allclose(one["gain"], other["gain"])


@settings(max_examples=8, deadline=None)
@given(st.floats(0.05, 20), st.integers(0, 100))
def test_gains_do_not_depend_on_the_unit_and_equal_methods_gain_nothing(unit: float, seed: int) -> None:
    scores = made_up(seed=seed, queries=12)
    columns = ["gain", "low", "high", "t_low", "t_high"]
    one, other = (
        relative_gains(s, "g", ["F"], n=60)[columns] for s in (scores, scores.assign(value=scores["value"] * unit))
    )
    np.testing.assert_allclose(one, other, atol=1e-6)
    twin = scores[scores["method"] == "F"].assign(method="g")
    same = relative_gains(pd.concat([scores[scores["method"] == "F"], twin]), "g", ["F"], n=60)
    assert np.allclose(same[["gain", "low", "high"]], 0, atol=1e-9)


def test_what_no_gain_can_be_told_of_is_refused() -> None:
    scores = scores_of(SMALL)
    zero = scores.assign(value=scores["value"].where((scores["method"] != "D") | (scores["family"] != "med"), 0.0))
    with pytest.raises(DataError, match="ndcg@10 of D is 0 in 'med'"):
        relative_gains(zero, "g", ["F", "D"], n=5)
    lost = scores[(scores["task"] != "med/1") | (scores["shots"] != 4)]
    with pytest.raises(DataError, match="query 'med/1' was not scored at every k of \\[1, 4\\]"):
        relative_gains(lost, "g", ["D"], n=5)
    with pytest.raises(DataError, match="no ndcg@10 at 1 shots for \\['X'\\]"):
        relative_gains(scores, "g", ["X"], n=5)


def test_one_collection_has_no_interval_over_collections() -> None:
    table = relative_gains(scores_of({"cran": SMALL["cran"]}), "g", ["D"], n=20)
    assert table["t_low"].isna().all() and table["p"].isna().all() and np.isfinite(table["low"]).all()


def test_wins_ties_and_losses() -> None:
    values = {
        "x": {"g": {2: [0.5, 0.5, 0.9, 0.1 + 0.2]}, "F": {2: [0.4, 0.6, 0.1, 0.3]}},
        "y": {"g": {2: [0.0, 0.2]}, "F": {2: [1.0, 0.1]}},
    }
    other = scores_of({"x": {"g": {4: [9.0]}, "F": {4: [0.0]}}})
    table = wins(pd.concat([scores_of(values), other]), "g", "F", 2)
    assert table.to_numpy().tolist() == [
        ["x", 4, 2, 1, 1, pytest.approx(0.2), "x/2", pytest.approx(0.8), "x/1", pytest.approx(-0.1)],
        ["y", 2, 1, 0, 1, pytest.approx(-0.45), "y/1", pytest.approx(0.1), "y/0", pytest.approx(-1)],
        [ALL, 6, 3, 1, 2, pytest.approx(-0.1 / 6), "x/2", pytest.approx(0.8), "y/0", pytest.approx(-1)],
    ]  # fmt: skip
    found = query_differences(scores_of(values), "g", "F", 2)
    assert found["task"].tolist() == ["x/2", "x/0", "x/3", "x/1", "y/1", "y/0"] and found["difference"][2] == 0
    assert (found["a"] - found["b"]).tolist() == pytest.approx(found["difference"].tolist())


# --- toy collections


SOURCES = {name: toy(name, seed) for seed, name in enumerate(COLLECTIONS)}
TEXTS = {name: to_search(found) for name, found in SOURCES.items()}


@pytest.fixture(scope="module")
def arrays():
    return {name: of_arrays(name, candidates.build(found)) for name, found in SOURCES.items()}


@pytest.fixture(scope="module")
def around():
    return {name: surroundings.of_collection(text) for name, text in TEXTS.items()}


@pytest.fixture
def family(arrays, around, monkeypatch, tmp_path):
    monkeypatch.setattr(candidates, "load", lambda name, encoder=None: arrays[name])
    monkeypatch.setattr(page_index, "load", lambda name, encoder=None: around[name].index)
    monkeypatch.setattr(surroundings, "load", lambda name, encoder=None: around[name])
    monkeypatch.setattr(loaders, "load", lambda name: SOURCES[name])
    monkeypatch.setattr(cache, "folder", lambda: tmp_path)
    few = {"none": rocchio.GRIDS["none"], "F+L": lambda: rocchio.grid_f_lsa()[::173]}
    monkeypatch.setattr(tuned, "GRIDS", few)
    return SearchFeedback(pool=100, max_queries=3, shots=(1, 4))


def test_first_stages_like_other_code(family) -> None:
    """BM25 by bm25s, the columns of the candidates, and ir-measures; Cranfield by both rules."""
    table = anchors(("cranfield", "medline")).set_index(["collection", "judgements", "method"])
    assert len(table) == 12 and table["known"].isna().all() and (table["cite"] == "").all()
    for name, rule in (("cranfield", LISTED), ("cranfield", GRADES), ("medline", GRADES)):
        text = TEXTS[name]
        if rule == LISTED:
            text = to_search(replace(SOURCES[name], name="as others"))  # nothing set aside
        assert bool(text.excluded) == ((name, rule) == ("cranfield", GRADES))
        columns = text.columns(text.vectors())
        qrels = {
            q: dict.fromkeys(SOURCES[name].qrels[q], 1) if rule == LISTED else text.relevant[q] for q in text.queries
        }
        both, wanted = first_stages(page_index.load(name), text.allowed)["sum"], columns["bm25"] + columns["dense"]
        np.testing.assert_allclose(both[text.allowed], wanted[text.allowed], atol=1e-4)
        assert np.isneginf(both[~text.allowed]).all()
        stages = {
            "BM25": columns["bm25"], "dense (own pages)": columns["dense"], "RRF (own pages)": columns["rrf"],
            "sum (own pages)": columns["bm25"] + columns["dense"],
        }  # fmt: skip
        for stage, scores in stages.items():
            rankings = {
                q: [text.ids[i] for i in np.argsort(-row, kind="stable") if text.excluded.get(q) != text.ids[i]]
                for q, row in zip(text.queries, scores, strict=True)
            }
            values = [v["ndcg@10"] for v in measured(qrels, rankings).values()]
            found = table.loc[(name, rule, stage)]
            assert found["ndcg"] == pytest.approx(np.mean(values), abs=1e-4), (name, rule, stage)
            assert found["queries"] == 32 and found["low"] < found["ndcg"] < found["high"]


def test_known_numbers_stand_beside_ours_once_for_each_who_knows(family) -> None:
    others = pd.DataFrame(
        [
            ("cranfield", LISTED, "BM25", 0.5, "A"),
            ("cranfield", LISTED, "BM25", 0.6, "B"),
            ("cisi", GRADES, "BM25", 1, "C"),
        ],
        columns=["benchmark", "setting", "method", "value", "cite"],
    ).assign(checked="from memory", note="", source="x")
    table = anchors(("cranfield",), others=others)
    beside = table[(table["method"] == "BM25") & (table["judgements"] == LISTED)]
    assert beside["cite"].tolist() == ["A", "B"] and beside["known"].tolist() == [0.5, 0.6]
    assert (beside["ndcg"] - beside["known"]).tolist() == pytest.approx(beside["difference"].tolist())
    assert len(table) == 9 and table["known"].notna().sum() == 2
    tidy(table, "free", "anchors")


@needs("cranfield")
def test_cranfield_is_what_others_know_it_to_be(monkeypatch, tmp_path) -> None:
    """Joined by the wrong column it would be 0.01; without the code -1 it is 0.42."""
    monkeypatch.setattr(cache, "folder", lambda: tmp_path)
    table = anchors(("cranfield",), others=known(FILE))
    bm25 = table[(table["method"] == "BM25") & (table["judgements"] == LISTED)]
    assert len(bm25) == 2 and (bm25["difference"].abs() < 0.02).all() and (bm25["queries"] == 225).all()
    assert table.loc[table["judgements"] == GRADES, "ndcg"].max() < 0.5


def test_the_file_holds_what_first_stages_are_compared_with() -> None:
    held = known(FILE)
    values = held.set_index(["benchmark", "setting", "method", "cite"])["value"].sort_index()
    assert values["cranfield", LISTED, "BM25"].to_dict() == {"first probe": 0.516, "second probe": 0.518}
    assert values["cranfield", LISTED, "dense (minilm)"].to_dict() == {"first probe": 0.513, "second probe": 0.516}
    assert values["scifact", GRADES, "BM25"].to_dict() == {"Thakur et al. 2021": 0.665, "Anserini": 0.6789}
    assert values["scifact", GRADES, "dense (minilm)"].tolist() == [0.64508]
    assert held.loc[held["benchmark"] == "nfcorpus", "note"].str.contains("does not compare").all()
    assert held["source"].str.len().min() > 30 and held["plus_minus"].isna().all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"benchmark": "robust04"}, "benchmark"),
        ({"setting": "some"}, "setting"),
        ({"value": 51.6}, "less than or equal to 1"),
        ({"checked": "surely"}, "checked"),
        ({"source": "nobody"}, "source 'nobody' is not among its sources"),
        ({"extra": 1}, "Extra inputs"),
        ({"method": "dense (minilm)"}, "every listed pair dense \\(minilm\\) of one source stands there twice"),
    ],
)
def test_a_file_that_is_not_as_its_head_says_is_refused(tmp_path: Path, changes: dict, message: str) -> None:
    content = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    content["results"][0] |= changes
    path = tmp_path / "published_search.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(DataError, match=f"published_search.yaml: (.|\n)*{message}"):
        known(path)
    with pytest.raises(DataError, match="none.yaml"):
        known(tmp_path / "none.yaml")


def weights_of(seed: int = 0) -> Weights:
    rng = np.random.default_rng(seed)
    return Weights(torch.from_numpy(rng.normal(size=(2, 2, len(COLUMNS))).astype(np.float32)), COLUMNS)


@pytest.fixture
def one(family):
    """A task, predictions before and after feedback, and the weights that made the latter."""
    fold = family.folds()[1]
    task = family.build(next(s for s in family.freeze(np.random.default_rng(0)) if s.fold == fold.name), 4, fold)
    before = TunedFeedback("none").fit(family, fold, CONFIG, 0).predict([task], 4)[0]
    x, positives = of_task(family, task)
    return task, before, torch.from_numpy(weights_of().scores(x, 4, positives)), weights_of()


def test_every_column_has_one_plain_word() -> None:
    said = [column for columns in IN_WORDS.values() for column in columns]
    assert sorted(said) == sorted(COLUMNS)


def test_contributions_add_up_to_the_score(family, one) -> None:
    task, _, after, weights = one
    table = contributions(family, task, weights)
    assert list(table) == list(COLUMNS)
    assert table.index.tolist() == [row.split("|")[1] for row in task.query_ids]
    np.testing.assert_allclose(table.sum(axis=1), after.numpy(), atol=1e-6)
    x, _ = of_task(family, task)
    assert table.iloc[3, 5] == pytest.approx(x[3, 5] * float(weights.at(4)[5]))
    few = Weights(weights.beta[:, :, [2, 0]], (COLUMNS[2], COLUMNS[0]))
    np.testing.assert_allclose(contributions(family, task, few)["bm25"], x[:, 0] * float(few.at(4)[1]))


def test_ranks_stars_titles_and_reasons(family, one) -> None:
    task, before, after, weights = one
    table = before_and_after(family, task, before, after, weights, n=5, reasons=len(IN_WORDS))
    old, new = (np.argsort(-p.numpy(), kind="stable") for p in (before, after))
    shown = [i for i in new if i in new[:5] or i in old[:5]]
    assert table["new"].tolist() == [new.tolist().index(i) + 1 for i in shown] and table["new"].is_monotonic_increasing
    assert table["old"].tolist() == [old.tolist().index(i) + 1 for i in shown]
    assert 5 < len(table) <= 10, "some left the first five, some came"
    query, text = task.query_ids[0].split("|")[0], TEXTS[task.family]
    for i, r in zip(shown, table.itertuples(), strict=True):
        page = task.query_ids[i].split("|")[1]
        grade = SOURCES[task.family].relevant()[query].get(page, 0)
        assert r.relevant == (f"★ {grade}" if grade else "")
        assert r.page == text.summaries[text.position[page]]
        parts = [float(value) for value in re.findall(r" ([+-]\d+\.\d\d)(?:,|$)", r.why)]
        assert sum(parts) == pytest.approx(float(after[i] - after[new[:5]].mean()), abs=0.005 * (len(IN_WORDS) + 1))
        assert np.all(np.diff(np.abs(parts)) <= 0.011), "what set it apart most comes first"
    assert (table["relevant"] != "").any()
    short = before_and_after(family, task, before, after, weights, n=5)
    assert all(w.startswith(s) for w, s in zip(table["why"], short["why"], strict=True))
    assert short["why"].str.count(r"[+-]\d+\.\d\d").max() == 3


def test_reasons_that_are_not_of_this_ranking_are_refused(family, one) -> None:
    task, before, after, weights = one
    with pytest.raises(ParameterError, match="`after` is not what these weights say"):
        before_and_after(family, task, before, after, weights_of(1))
    none = replace(task, support_y=torch.zeros_like(task.support_y))
    with pytest.raises(ParameterError, match="no judged page is relevant"):
        contributions(family, none, weights)


def test_what_was_asked_and_judged_is_said(family, one) -> None:
    task, *_ = one
    lines, text = asked_and_judged(family, task).splitlines(), TEXTS[task.family]
    query = task.query_ids[0].split("|")[0]
    assert lines[0] == f"query {query}: {SOURCES[task.family].queries[query]}" and len(lines) == 5
    judged = family.results(task.family)[query].judged[:4]
    for line, page, grade in zip(lines[1:], judged, task.support_y.tolist(), strict=False):
        title = text.summaries[text.position[page]]
        assert line == (f"judged ★ {grade:g}: {title}" if grade else f"judged not relevant: {title}")


# --- a first stage that adapts


def test_the_whole_collection_without_judged_pages_and_the_one_set_aside(family) -> None:
    for name, aside in (("cranfield", "129"), ("cisi", None)):
        fold = next(f for f in family.folds() if f.test == (name,))
        task = family.build(next(s for s in family.freeze(np.random.default_rng(0)) if s.family == name), 4, fold)
        whole = everywhere(family, task, TEXTS[name].excluded.get("0"))
        query = task.query_ids[0].split("|")[0]
        judged = set(family.results(name)[query].judged)
        pages = [row.split("|")[1] for row in whole.query_ids]
        assert pages == [page for page in TEXTS[name].ids if page not in judged and page != aside]
        assert set(task.query_ids) < set(whole.query_ids) and judged_places(family, whole) == judged_places(
            family, task
        )
        assert family.residual(whole) == family.residual(task)
        grades = SOURCES[name].relevant()[query]
        assert whole.query_y.tolist() == [grades.get(page, 0) for page in pages]


def test_recall_where_the_first_stage_adapts_page_by_page(family) -> None:
    family.shots = (4,)
    specs = [s for s in family.freeze(np.random.default_rng(0)) if s.family == "cranfield"]
    ranker = FeedbackRanker("g", trainings=1, steps=3)
    methods = [TunedFeedback("none"), TunedFeedback("F+L"), ranker]
    found = recall_after(family, specs, methods, CONFIG, shots=(4,))
    tidy(found, "scores", "search_recall")
    names = {"none", "F+L", "g"}
    assert set(found["method"]) == names | {f"{name}, all pages" for name in names}
    assert set(found["metric"]) == {"ndcg@10", "mrr", "recall@10", "recall@100"} and len(found) == 6 * len(specs) * 4
    value = found.set_index(["task", "method", "metric"])["value"]
    for spec in specs:
        fold = next(f for f in family.folds() if f.name == spec.fold)
        task = family.build(spec, 4, fold)
        index, query = page_index.load(spec.family), spec.id.split("/")[1]
        positives, negatives = judged_places(family, task)
        columns = components(index, index.query(query), positives, negatives)
        weights = {m.name: m.choose(family, fold, 4) for m in methods[:2]}
        scores = {name: feedback_scores(columns, own, True) for name, own in weights.items()}
        taken = {*spec.support[0], TEXTS[spec.family].excluded.get(query)}
        inside = {row.split("|")[1] for row in task.query_ids}
        left = {p: g for p, g in SOURCES[spec.family].relevant()[query].items() if p not in spec.support[0]}
        ranked = {}
        for name, own in scores.items():
            order = [str(index.pages[i]) for i in np.argsort(-own, kind="stable")]
            whole = [page for page in order if page not in taken]
            ranked |= {name: [page for page in whole if page in inside], f"{name}, all pages": whole[: len(inside)]}
        for name, ranking in ranked.items():
            recall = sum(page in left for page in ranking) / len(left)
            assert value[spec.id, name, "recall@100"] == pytest.approx(recall)
            for metric, expected in measured({query: left}, {query: ranking})[query].items():
                assert value[spec.id, name, metric] == pytest.approx(expected), (name, metric)
        assert value[spec.id, "F+L", "recall@100"] == value[spec.id, "g", "recall@100"], "the pool is the same"
        (prediction,) = ranker.fit(family, fold, CONFIG, 0).predict([task], 4)
        for s in family.score(task, prediction):
            assert value[spec.id, "g", s.metric] == pytest.approx(s.value)
    assert (value[:, "none, all pages", "recall@100"] < 1).any(), "otherwise it is no matter how many are kept"
    assert set(summarise(found, True)["family"]) == {"cranfield"}
    gains = relative_gains(found, "g, all pages", ["g", "F+L, all pages"], metric="recall@100", n=20)
    assert gains["mean_a"].tolist() == pytest.approx([value[:, "g, all pages", "recall@100"].mean()] * 4)


def test_methods_that_read_rows_are_refused(family) -> None:
    specs = family.freeze(np.random.default_rng(0))[:1]
    with pytest.raises(ParameterError, match="bm25 scores a page by its row"):
        recall_after(family, specs, field_baselines(family)[:1], CONFIG, shots=(1,))


def test_folds_without_a_task_train_nothing(family, monkeypatch) -> None:
    asked = []
    fit = TunedFeedback.fit
    monkeypatch.setattr(
        TunedFeedback, "fit", lambda self, f, fold, *rest: asked.append(fold.name) or fit(self, f, fold, *rest)
    )
    specs = [s for s in family.freeze(np.random.default_rng(0)) if s.family == "medline"]
    found = recall_after(family, specs, [TunedFeedback("none")], CONFIG, shots=(1, 4))
    assert asked == [specs[0].fold] and sorted(found["shots"].unique()) == [1, 4]
    assert search_study.WHOLE == ", all pages"

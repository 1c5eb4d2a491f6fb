"""Speed is compared only between forms that compute the same thing; here they do it on shrunken works."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import check, figure, forms, run, throughput, timing
from benchmarks.forms import IMPLEMENTATIONS, Implementation
from benchmarks.table import COLUMNS, merged, timings
from benchmarks.works import WORKS, Work
from metastudy.families.selection import Sentences, choose

ROOT = Path(__file__).resolve().parents[1]
TORCH = [
    (name, key)
    for name, work in WORKS.items()
    for key, implementation in IMPLEMENTATIONS.items()
    if name in implementation.works
    and "torch" in implementation.packages
    and key != work.reference
    and (name, key) != ("head", "compiled")  # a quarter of a minute to compile; `make bench` checks it
]


def shrunken(work: Work) -> Work:
    """So little of everything that a gradient takes milliseconds."""
    sizes = {"sinusoid": (1, 6, 6), "head": (12, 6)}.get(work.name, ())
    return replace(work.small(), sizes=sizes, channels=4, classes=min(work.classes, 5), support=10, query=10)


@pytest.fixture(scope="module")
def references() -> dict[str, tuple[float, dict[str, np.ndarray]]]:
    return {
        name: IMPLEMENTATIONS[work.reference].build(shrunken(work), "float64").gradient()
        for name, work in WORKS.items()
    }


@pytest.mark.parametrize(("name", "key"), TORCH)
def test_all_forms_have_the_same_meta_gradient(name: str, key: str, references: dict) -> None:
    if missing := IMPLEMENTATIONS[key].missing():
        pytest.skip(missing)
    loss, gradient = IMPLEMENTATIONS[key].build(shrunken(WORKS[name]), "float64").gradient()
    assert loss == pytest.approx(references[name][0], rel=1e-12)
    assert check.gradient_error(gradient, references[name][1]) < 1e-10


@pytest.mark.parametrize("key", ["metastudy", "loop", "module"])
def test_steps_follow_the_gradient(key: str) -> None:
    name = "protonet" if key == "module" else "sinusoid"
    form = IMPLEMENTATIONS[key].build(shrunken(WORKS[name]), "float64")
    before, _ = form.gradient()
    assert form.step() == pytest.approx(before, rel=1e-12)
    assert form.step() < before


@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS)
def test_works_are_the_same_each_time_and_exact_in_float32(work: Work) -> None:
    small = work.small()
    for first, second in zip(small.tensors(), small.tensors(), strict=True):
        assert np.array_equal(first, second)
        assert np.array_equal(first, first.astype(np.float32))
    assert {k: v.shape for k, v in small.parameters().items()} == {k: v.shape for k, v in work.parameters().items()}
    assert small.tensors().support_y.shape == (2, work.support)


def test_a_wrong_gradient_is_found() -> None:
    right = {"a": np.ones((2, 2)), "zero": np.zeros(3)}
    assert check.gradient_error(right, right) == 0
    assert check.gradient_error({"a": np.ones((2, 2)), "zero": np.full(3, 1e-12)}, right) < 1e-9
    assert check.gradient_error({"a": np.ones((2, 2)), "zero": np.full(3, 1e-3)}, right) > 1e-2
    with pytest.raises(check.GradientsDiffer, match="expected"):
        check.gradient_error({"a": np.ones((2, 2))}, right)


class Answers:
    """Stands in for a process: the gradients that it would send."""

    name, work = "fake", "sinusoid"

    def __init__(self, double: float, single: float) -> None:
        self.by_dtype = {"float64": {"a": np.full(4, 1 + double)}, "float32": {"a": np.full(4, 1 + single)}}

    def gradient(self, dtype: str, small: bool = False) -> dict[str, np.ndarray]:
        return self.by_dtype[dtype]


def test_nothing_is_timed_where_gradients_differ() -> None:
    reference = check.Reference.of(Answers(0, 1e-6))
    assert reference.errors(Answers(0, 9e-5)) == pytest.approx((0, 9e-5))
    with pytest.raises(check.GradientsDiffer, match="float32 is off by 2.0e-04; expected at most 1e-04"):
        reference.errors(Answers(0, 2e-4))
    with pytest.raises(check.GradientsDiffer, match="float64 is off by"):
        reference.errors(Answers(1e-7, 0))
    assert check.Reference.of(Answers(0, 1e-4)).errors(Answers(0, 2e-4)) == pytest.approx((0, 2e-4))


def test_what_is_missing_is_named_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = Implementation("Absent", "nowhere:Absent", ("sinusoid",), ("no_such_package",))
    assert absent.missing().startswith("Absent: no_such_package cannot be imported")
    assert forms.HOW_TO_GET in absent.missing()
    assert forms.LEARN2LEARN in IMPLEMENTATIONS["learn2learn"].how_to_get
    monkeypatch.setenv(forms.LEARN2LEARN, "somewhere")
    assert forms.environment("learn2learn", 2)["PYTHONPATH"].startswith("somewhere")
    assert not forms.environment("higher", 2).get("PYTHONPATH", "").startswith("somewhere")


def test_a_process_answers_and_says_why_it_died() -> None:
    with timing.Worker("loop", "sinusoid", 1) as worker:
        assert set(worker.gradient("float32", small=True)) == set(WORKS["sinusoid"].parameters())
        answer = worker.steps(2)
        assert answer["seconds"] > 0 and answer["peak_rss_mb"] > 50
    with pytest.raises(timing.WorkerError, match="KeyError: 'no such work'"):
        timing.Worker("loop", "no such work", 1)


def rows(work: Work, seconds: dict[str, list[float]]) -> list[dict[str, object]]:
    turns = {name: timing.Turns(1, values, [0.0] * len(values), 300) for name, values in seconds.items()}
    checked = {
        "gradient_error": "1e-07",
        "gradient_error_float64": "1e-15",
        "warm_up_s": 0.1,
        "version": "",
        "machine": "",
    }
    return [{"implementation": IMPLEMENTATIONS[name].label, **checked, **timings(work, name, turns)} for name in turns]


def test_ratios_are_medians_of_rounds_and_the_baseline_is_named() -> None:
    seconds = {"metastudy": [0.1, 0.1, 0.4], "higher": [1.0, 2.0, 4.0], "learn2learn": [0.5, 1.0, 2.0]}
    table = pd.DataFrame(rows(WORKS["sinusoid"], seconds)).set_index("implementation")
    assert table.loc["metastudy", ["ms_per_step", "ratio_to_higher", "ratio_to_learn2learn"]].tolist() == [100, 10, 5]
    assert set(table["baseline"]) == {"learn2learn"} and table.loc["higher", "ratio_to_baseline"] == 0.5
    del seconds["learn2learn"]
    table = pd.DataFrame(rows(WORKS["sinusoid"], seconds))
    assert set(table["baseline"]) == {"higher"}
    assert table["target"].isna().all() and table["ratio_to_learn2learn"].isna().all()


def test_the_report_warns_where_the_machine_was_busy() -> None:
    part = pd.DataFrame(rows(WORKS["sinusoid"], {"metastudy": [0.1], "higher": [1.0]}))
    assert "times higher" in run.report(part) and "warning" not in run.report(part)
    part.loc[1, "cores_taken_by_others"] = 0.8
    assert "warning: other programs took up to 0.8 cores while higher ran" in run.report(part)


def test_measuring_some_works_keeps_the_rows_of_the_others(tmp_path: Path) -> None:
    path = tmp_path / "speed.csv"
    first = merged(rows(WORKS["protonet"], {"metastudy": [0.1], "module": [0.2]}), path)
    assert list(first.columns) == list(COLUMNS)
    first.to_csv(path, index=False)
    again = merged(rows(WORKS["sinusoid"], {"metastudy": [0.1], "loop": [0.2]}), path)
    assert again["work"].tolist() == [WORKS["sinusoid"].title] * 2 + [WORKS["protonet"].title] * 2
    assert merged(rows(WORKS["protonet"], {"module": [0.2]}), path)["implementation"].tolist() == ["plain module"]


def test_the_committed_table_has_the_columns() -> None:
    table = pd.read_csv(ROOT / "results" / "bench" / "speed.csv")
    assert list(table.columns) == list(COLUMNS)
    assert set(table["work"]) <= {work.title for work in WORKS.values()}
    assert (table["gradient_error_float64"] <= check.TOLERANCE["float64"]).all()


def test_the_figure_has_a_bar_for_each_row_and_one_colour_for_ours() -> None:
    table = pd.DataFrame(
        rows(WORKS["sinusoid"], {"metastudy": [0.01], "loop": [1.0], "learn2learn": [1.0]})
        + rows(WORKS["protonet"], {"metastudy": [0.1], "module": [0.2]})
    )
    drawn = figure.speed(table)
    bars = [patch for ax in drawn.axes for patch in ax.patches]
    assert len(bars) == 5 and len({patch.get_facecolor() for patch in bars}) == 2
    assert [round(ax.patches[-1].get_width()) for ax in drawn.axes] == [99, 1]
    figure.plt.close(drawn)


@pytest.fixture(scope="module")
def few_texts() -> throughput.Texts:
    return throughput.Texts.of(3)


def test_texts_to_summarise_are_apart_from_their_examples(few_texts: throughput.Texts) -> None:
    assert len(few_texts.texts) == 3 and len(few_texts.examples) == throughput.N_EXAMPLES
    assert not {text for text, _ in few_texts.examples} & set(few_texts.texts)
    assert all(len(text.split()) > 60 and summary not in text for text, summary in few_texts.examples)


def test_what_is_timed_are_the_summaries_from_their_rows_on(few_texts: throughput.Texts) -> None:
    (score, sentences), (weigh, tasks), (summarise, documents) = (
        build(few_texts) for _, build in throughput.WORKS.values()
    )
    found = summarise()
    assert (documents, tasks, sentences) == (3, 1, sum(len(s.sentences) for s in found))
    beta, task = weigh(), few_texts.task
    assert float(beta.sum()) == pytest.approx(1) and beta.tolist() == weigh().tolist()
    values = score()
    for i, summary in enumerate(found):
        own = values[task.query_group == i].numpy()
        limit = few_texts.own().n_words
        assert choose(own, Sentences.of(summary.sentences), limit) == summary.chosen


def test_a_row_of_throughput_is_work_over_time(few_texts: throughput.Texts, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = timing.Turns(1, seconds=[2.0, 0.5, 1.0], others=[0.0, 0.0, 0.0], peak_rss_mb=77)
    monkeypatch.setattr(throughput, "interleave", lambda workers, *_: dict.fromkeys(workers, turns))
    monkeypatch.setattr(throughput.Texts, "of", lambda _: few_texts)
    monkeypatch.setattr(throughput.torch, "set_num_threads", lambda _: None)
    row = throughput.measure("texts to summaries", 3, 3, 0.1, 1)
    assert tuple(row) == throughput.COLUMNS and row["unit"] == "documents"
    assert (row["per_second"], row["low"], row["high"], row["peak_rss_mb"]) == (3, 1.5, 6, 77)
    answer = throughput.Here(lambda: sum(range(10**5))).steps(3)
    assert answer["seconds"] > 0 and answer["cpu_seconds"] >= 0 and answer["peak_rss_mb"] > 10

"""Published numbers are read whole or refused by name, and a stranger can tell whose number stands where."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import yaml

from metastudy.classic import published
from metastudy.errors import DataError

pytestmark = pytest.mark.filterwarnings("error")
GOOD = {
    "sources": {"a2020": {"cite": "A 2020", "full": "A. Author 2020, Somewhere"}},
    "results": [
        {"benchmark": "sinusoid", "setting": "K=5", "method": "slow", "value": 0.9, "plus_minus": 0.16,
         "source": "a2020", "checked": "from memory", "note": "three steps"},
        {"benchmark": "sinusoid", "setting": "K=5", "method": "fast", "value": 1, "source": "a2020",
         "checked": "read elsewhere"},
        {"benchmark": "sinusoid", "setting": "K=10", "method": "slow", "value": 0.5, "source": "a2020",
         "checked": "read in the source"},
        {"benchmark": "omniglot", "setting": "5-way 1-shot", "method": "fast", "value": 97.5, "source": "a2020",
         "checked": "from memory"},
        {"benchmark": "omniglot", "setting": "5-way 1-shot", "method": "slow", "value": 98.25, "source": "a2020",
         "checked": "from memory"},
    ],
}  # fmt: skip


def written(folder: Path, **changes: object) -> Path:
    """A small valid file; `changes` go into its second result, None takes a field away."""
    second = {k: v for k, v in (GOOD["results"][1] | changes).items() if v is not None}
    content = GOOD | {"results": [GOOD["results"][0], second, *GOOD["results"][2:]]}
    path = folder / "published.yaml"
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    return path


def ours(*rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(published.OURS))


def test_the_file_holds_what_the_benchmarks_are_compared_with() -> None:
    held = published.read()
    cells = held.set_index(["benchmark", "setting", "method"]).sort_index()
    assert set(held["benchmark"]) == set(published.SETTINGS) == set(published.METRICS)
    assert cells.loc[("sinusoid", "K=5", "MAML"), ["value", "plus_minus"]].tolist() == [1.13, 0.18]
    assert cells.loc[("sinusoid", "K=5", "Meta-SGD"), ["value", "plus_minus"]].tolist() == [0.90, 0.16]
    table = held[held["benchmark"] == "omniglot"].pivot(index="method", columns="setting", values="value")
    table = table[list(published.SETTINGS["omniglot"])]
    assert not table.isna().any().any(), "every method in every column"
    assert table.loc["MAML"].tolist() == [98.7, 99.9, 95.8, 98.9]
    assert table.loc["prototypical networks"].tolist() == [98.8, 99.7, 96.0, 98.9]
    assert table.loc["Reptile"].tolist() == [95.39, 98.90, 88.14, 96.65]
    assert table.loc["matching networks"].tolist() == [98.1, 98.9, 93.8, 98.5]
    full, minimal = (cells.loc[("omniglot_challenge", s), "value"] for s in published.SETTINGS["omniglot_challenge"])
    assert full[["people", "BPL", "RCN", "ConvNet", "prototypical networks"]].tolist() == [4.5, 3.3, 7.3, 13.5, 13.7]
    assert minimal.to_dict() == {
        "BPL": 4.2, "ConvNet": 23.2, "prototypical networks": 30.1, "Hausdorff distance": 38.8,
    }  # fmt: skip
    papers = held[held["benchmark"] == "scitldr"].pivot(index="method", columns="setting", values="value")
    assert papers.loc["first sentence"].tolist() == [31.3, 11.4, 24.1]
    assert papers.loc["oracle"].tolist() == [49.3, 26.1, 40.0]
    assert papers.loc[["BERTSumExt", "MatchSum"], "ROUGE-1"].tolist() == [38.5, 42.7]
    measured = held[held["checked"] == published.MEASURED]
    assert set(measured["method"]) == {"first sentence", "oracle"} and set(measured["cite"]) == {"earlier probe"}
    unverified = held[held["checked"] == published.UNVERIFIED]
    assert len(papers) * 3 == len(measured) + (unverified["benchmark"] == "scitldr").sum(), "nothing of it was read yet"
    assert "prototypical networks" in set(unverified["method"]) and "ConvNet" in set(unverified["method"])
    assert not {"people", "BPL", "Reptile"} & set(unverified["method"])


def test_a_small_file_is_read_with_its_sources_and_absent_fields(tmp_path: Path) -> None:
    held = published.read(written(tmp_path))
    assert list(held.columns) == [
        "benchmark", "setting", "method", "value", "plus_minus", "cite", "source", "checked", "note",
    ]  # fmt: skip
    assert len(held) == 5 and set(held["source"]) == {"A. Author 2020, Somewhere"} and set(held["cite"]) == {"A 2020"}
    assert held["value"].tolist() == [0.9, 1.0, 0.5, 97.5, 98.25] and held["value"].dtype == float
    assert held["plus_minus"].notna().tolist() == [True, False, False, False, False]
    assert held["note"].tolist() == ["three steps", "", "", "", ""]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"benchmark": "mnist"}, "benchmark: Input should be 'sinusoid'"),
        ({"setting": "K=7"}, "setting 'K=7'; expected one of K=5, K=10, K=20"),
        ({"setting": "5-way 1-shot"}, "setting '5-way 1-shot'; expected one of K=5"),
        ({"value": None}, "value: Field required"),
        ({"checked": None}, "checked: Field required"),
        ({"source": None}, "source: Field required"),
        ({"value": "1.0"}, "value: Input should be a valid number"),
        ({"value": float("nan")}, "value: Input should be a finite number"),
        ({"value": True}, "value: Input should be a valid number"),
        ({"value": -0.1}, "value: Input should be greater than or equal to 0"),
        ({"plus_minus": "0.1"}, "plus_minus: Input should be a valid number"),
        ({"checked": "surely"}, "checked: Input should be 'read in the source'"),
        ({"source": "b2021"}, "source 'b2021'; expected one of a2020"),
        ({"method": "slow"}, "given twice"),
        ({"year": 2020}, "year: Extra inputs are not permitted"),
        ({"note": 51 * "n"}, "note: String should have at most 50 characters"),
    ],
)
def test_a_wrong_row_is_refused_by_name(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(DataError) as error:
        published.read(written(tmp_path, **changes))
    assert str(error.value).startswith("published.yaml: result 2 (") and message in str(error.value)
    assert changes.get("method", "fast") in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("results: [", "cannot be read"),
        ("", "the file: Input should be a valid dictionary"),
        ("sources: {}\nresults: []", "results: List should have at least 1 item"),
        ("sources: {}\nresults: [5]", r"result 1 \(\), all of it"),
        ("sources: {a: {cite: A}}\nresults: []", "sources.a.full: Field required"),
        ("sources: {}\nresults: 5", "results: Input should be a valid list"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "published.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        published.read(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"published.yaml cannot be read .* restore it from git"):
        published.read(tmp_path / "published.yaml")


def test_the_best_of_each_setting(tmp_path: Path) -> None:
    held = published.read(written(tmp_path))
    low = published.best("sinusoid", lower_is_better=True, published=held)
    assert low.index.tolist() == ["K=5", "K=10"] and low["value"].tolist() == [0.9, 0.5]
    assert low["method"].tolist() == ["slow", "slow"]
    sure = published.best("sinusoid", lower_is_better=True, verified=True, published=held)
    assert sure["method"].tolist() == ["fast", "slow"] and sure["value"].tolist() == [1, 0.5]
    high = published.best("omniglot", lower_is_better=False, published=held)
    assert high["value"].to_dict() == {"5-way 1-shot": 98.25}
    assert published.best("omniglot", lower_is_better=False, verified=True, published=held).empty
    with pytest.raises(DataError, match="benchmark 'mnist' has no published results; expected one of sinusoid"):
        published.best("mnist", lower_is_better=True)


def test_the_real_bests_to_beat() -> None:
    sure = published.best("omniglot_challenge", lower_is_better=True, verified=True)
    assert sure["value"].tolist() == [3.3, 4.2] and sure["method"].tolist() == ["BPL", "BPL"]
    assert published.best("omniglot", lower_is_better=False)["value"].tolist() == [99.53, 99.93, 96.0, 98.97]


def test_a_measured_number_is_not_the_best_published_and_the_caption_says_so() -> None:
    found = published.best("scitldr", lower_is_better=False)
    assert found["value"].tolist() == [43.8, 20.9, 35.5] and set(found["method"]) == {"CATTS"}
    assert published.best("scitldr", lower_is_better=False, verified=True).empty
    text = published.caption("scitldr")
    assert "not verified. earlier probe: measured, not published." in text and "were read" not in text
    assert "were read in the source" in published.caption("omniglot")
    table = published.beside(ours(), "scitldr", lower_is_better=False, digits=1)
    assert table.index[0] == ("earlier probe", "oracle") and table.loc[("earlier probe", "oracle"), "ROUGE-1"] == "49.3"


def test_ours_stand_first_then_the_best_published(tmp_path: Path) -> None:
    held = published.read(written(tmp_path))
    mine = ours(("K=5", "zeta", 0.0134, 0.0104, 0.0164), ("K=5", "g", 2, 1.5, 2.5), ("K=20", "g", 0.1, 0.0, 0.25))
    table = published.beside(mine, "sinusoid", lower_is_better=True, digits=3, published=held)
    assert table.columns.tolist() == ["K=5", "K=10", "K=20", "remarks"]
    assert table.columns.name == "mean squared error ↓" and table.index.names == ["source", "method"]
    assert table.index.tolist() == [("this study", "zeta"), ("this study", "g"), ("A 2020", "slow"), ("A 2020", "fast")]
    assert table.to_numpy().tolist() == [
        ["0.013 [0.010, 0.016]", "–", "–", ""],
        ["2.000 [1.500, 2.500]", "–", "0.100 [0.000, 0.250]", ""],
        ["0.90 ± 0.16°", "0.50", "–", "three steps"],
        ["1.0", "–", "–", ""],
    ]
    best_first = published.beside(mine[:0], "omniglot", lower_is_better=False, digits=1, published=held)
    assert best_first.index.tolist() == [("A 2020", "slow"), ("A 2020", "fast")]
    assert best_first["5-way 1-shot"].tolist() == ["98.25°", "97.5°"] and "↑" in best_first.columns.name


def test_an_interval_that_is_missing_is_left_out() -> None:
    mine = ours(("30 alphabets", "g", 4.25, float("nan"), float("nan")))
    table = published.beside(mine, "omniglot_challenge", lower_is_better=True, digits=1)
    assert table.loc[("this study", "g")].tolist() == ["4.2", "–", ""]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("K=6", "g", 1.0, 0.9, 1.1)], "setting 'K=6'; expected one of K=5, K=10, K=20"),
        ([("K=5", "g", 1.0, 0.9, 1.1)] * 2, "result of g at K=5 is given twice"),
        ([("K=5", "h", 1.0, 0.9, 1.1), ("K=5", "g", float("nan"), 0, 1)], "result of g at K=5 is not a number"),
        ([("K=5", "g", "1 ± 2", 0, 1)], "result of g at K=5 is not a number"),
    ],
)
def test_results_of_ours_that_cannot_be_shown_are_refused(rows: list[tuple], message: str) -> None:
    with pytest.raises(DataError, match=message):
        published.beside(ours(*rows), "sinusoid", lower_is_better=True, digits=2)


def test_a_column_that_is_missing_is_named() -> None:
    with pytest.raises(DataError, match="lack low, high; expected the columns setting, method, mean, low, high"):
        published.beside(ours().drop(columns=["low", "high"]), "sinusoid", lower_is_better=True, digits=2)


@pytest.mark.parametrize("benchmark", list(published.SETTINGS))
def test_a_table_is_short_enough_to_show_and_its_caption_names_every_source(benchmark: str) -> None:
    table = published.beside(ours(), benchmark, lower_is_better=True, digits=2)
    assert table.index.is_unique and table.map(len).to_numpy().max() <= 50, "pandas cuts longer cells"
    text = published.caption(benchmark)
    assert "95% interval" in text and f"{published.MARK}: from memory" in text
    for cite, _ in table.index:
        assert f"\n{cite}: " in text
    assert len(text.splitlines()) == 1 + len({cite for cite, _ in table.index})

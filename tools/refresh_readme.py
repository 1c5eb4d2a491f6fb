"""Put the results of a profile into README.md, between its markers, so that no number there is typed by hand.

Run by `make notebooks`; a test compares README.md with what this would write.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

from metastudy import plan
from metastudy.classic import published
from metastudy.errors import DataError, MetastudyError
from metastudy.project import Project, write_atomic
from metastudy.report import row

MARKERS = {
    name: (f"<!-- {name}: begin, written by make notebooks -->", f"<!-- {name}: end -->")
    for name in ("results", "classic", "calibration", "speed", "search speed")
}
STUDIES = {  # study: what is new in a task, notebook
    "summarization": ("a new library to summarise", "04_text_summarization"),
    "diagnosis_diseases": ("a new disease to diagnose", "05_medical_diagnosis"),
    "search_collections": ("a new collection to search", "06_semantic_search"),
    "digits": ("new digits to tell apart", "03_meta_training"),
    "sinusoid": ("a new sine curve to predict", "03_meta_training"),
}
DIGITS = {"rouge1": 1}
CLASSIC = {  # benchmark: what is measured, whether lower is better, decimals
    "sinusoid": ("sinusoid, squared error ↓", True, 4),
    "omniglot": ("Omniglot, accuracy in % ↑", False, 2),
    "omniglot_challenge": ("Omniglot challenge, error in % ↓", True, 1),
}


def results(folder: Path, plans: dict[str, plan.StudyPlan]) -> str:
    """The results table in Markdown, from results/<profile>/tables."""
    verdicts = pd.read_csv(folder / "tables" / "verdicts.csv").set_index("study")
    lines = [
        "| a new task is ... | metric | examples | g | fine-tuned | from scratch | g minus fine-tuned | verdict |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for study, (what, notebook) in STUDIES.items():
        table, v = pd.read_csv(folder / "tables" / f"{study}.csv"), verdicts.loc[study]
        family = "all" if "all" in set(table["family"]) else table["family"].iloc[0]
        places = DIGITS.get(v["metric"], 3)
        means = [
            f"{row(table, method, v['shots'], v['metric'], family)['mean']:.{places}f}"
            for method in ("g", "fine-tuned", "from scratch")
        ]
        metric = f"{v['metric']} {'↓' if plans[study].lower_is_better else '↑'}"
        change = f"{v['difference']:+.{places}f} [{v['low']:+.{places}f}, {v['high']:+.{places}f}]"
        cells = [
            f"[{what}](notebooks/{notebook}.ipynb)",
            metric,
            str(v["shots"]),
            *means,
            change,
            f"**{v['verdict']}**",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def speed(path: Path) -> str:
    """How many times as fast as its baseline each implementation is, with milliseconds a step, from results/bench."""
    table = pd.read_csv(path)
    works = list(dict.fromkeys(table["work"]))
    cells = {(r.implementation, r.work): r for r in table.itertuples()}
    lines = [f"| | {' | '.join(works)} |", "|---" * (len(works) + 1) + "|"]
    for name in dict.fromkeys(table["implementation"]):
        found = [cells.get((name, work)) for work in works]
        shown = [
            "" if r is None else f"{r.ratio_to_baseline:.3g} ({r.ms_per_step:,.{0 if r.ms_per_step > 99 else 1}f} ms)"
            for r in found
        ]
        lines.append(f"| {f'**{name}**' if name.startswith('metastudy') else name} | {' | '.join(shown)} |")
    lines.append(f"\nMachine: {table['machine'].iloc[0]}.")
    return "\n".join(lines)


def search_speed(path: Path) -> str:
    """Milliseconds a query of feedback, of an exact scan and of an index, from results/bench."""
    table = pd.read_csv(path)
    lines = ["| search | | pages | ms a query | recall@10 | memory of the index |", "|---|---|---|---|---|---|"]
    for r in table.itertuples():
        recall = "" if pd.isna(r.recall_at_10) else f"{r.recall_at_10:.3f}"
        memory = "" if pd.isna(r.index_mb) else f"{r.index_mb:,.0f} MB"
        lines.append(f"| {r.work} | {r.implementation} | {r.size:,} | {r.ms_per_query:.3g} | {recall} | {memory} |")
    lines.append(f"\nMachine: {table['machine'].iloc[0]}.")
    return "\n".join(lines)


def calibration(path: Path) -> str:
    """How often each test claims a difference where there is none, from results/calibration."""
    table = pd.read_csv(path)
    rows = table[table["quantity"] == "rejects"].sort_values("kind", ascending=False, kind="stable")
    lines = ["| test | data | units | claims a difference | should |", "|---|---|---|---|---|"]
    for r in rows.itertuples():
        control = r.kind == "negative control"
        should = f"{r.low:.1%} to {r.high:.1%}" if r.low > 0 else f"at most {r.high:.1%}"
        should = f"above {r.low:.0%}: a known mistake" if control else should
        found = f"{r.found:.1%}" if r.ok else f"**{r.found:.1%}, outside**"
        lines.append(f"| {f'*{r.check}*' if control else r.check} | {r.shape} | {r.n:,} | {found} | {should} |")
    others = table[table["quantity"] != "rejects"]
    inside, runs = int(others["ok"].sum()), int(rows["replicates"].min())
    rest = f"Coverage of 95% intervals and power: {inside} of {len(others)} in band."
    lines.append(f"\n{runs:,} runs each or more. {rest}")
    return "\n".join(lines)


def classic(folder: Path) -> str:
    """The classic benchmarks from results/full/tables: g and MAML of this study, and the best published result."""
    lines = [
        "| benchmark | setting | g | g, several trainings and views | maml, here | best published | by |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, (what, lower_is_better, places) in CLASSIC.items():
        table = pd.read_csv(folder / "tables" / f"classic_{name.removeprefix('omniglot_')}.csv")
        cells = {(r.setting, r.method): f"{r.mean:.{places}f} [{r.low:.{places}f}, {r.high:.{places}f}]"
                 for r in table.itertuples()}  # fmt: skip
        several = [method for method in dict.fromkeys(table["method"]) if method.startswith("g,")]
        for setting, r in published.best(name, lower_is_better, verified=True).iterrows():
            shown = [cells.get((setting, method), "") for method in ("g", (several or [""])[-1], "maml")]
            lines.append(f"| {what} | {setting} | {' | '.join(shown)} | {r['value']:g} | {r['method']}, {r['cite']} |")
    return "\n".join(lines)


def refreshed(text: str, name: str, block: str) -> str:
    """README text with the named block between its markers. Raises DataError where a marker is missing."""
    begin, end = MARKERS[name]
    if text.count(begin) != 1 or text.count(end) != 1:
        raise DataError(f"README.md: expected the markers {begin!r} and {end!r} once each")
    head, rest = text.split(begin)
    return f"{head}{begin}\n{block}\n{end}{rest.split(end)[1]}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="quick")
    profile = parser.parse_args().profile
    project = Project.at()
    path = project.root / "README.md"
    try:
        plans = plan.load(project.root / "notebooks" / "parameters" / "plan.yaml")
        text = refreshed(path.read_text(encoding="utf-8"), "results", results(project.results / profile, plans))
        text = refreshed(text, "classic", classic(project.results / "full"))
        text = refreshed(text, "calibration", calibration(project.results / "calibration" / "calibration.csv"))
        text = refreshed(text, "speed", speed(project.results / "bench" / "speed.csv"))
        text = refreshed(text, "search speed", search_speed(project.results / "bench" / "search.csv"))
    except (MetastudyError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    write_atomic(path, text.encode("utf-8"))
    print("README.md: results refreshed")
    return 0


if __name__ == "__main__":
    sys.exit(main())

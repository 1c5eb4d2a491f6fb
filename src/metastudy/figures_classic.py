"""Figures of the classic benchmarks: adaptation step by step, ours beside published, mistakes, labels saved."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from metastudy.classic.published import HERE, MARK, METRICS, SETTINGS, UNVERIFIED, check_ours
from metastudy.errors import DataError
from metastudy.figures import MARKERS, STUDIES, colours, label, style

RIGHT, WRONG = "#009E73", "#CC79A7"
TITLES = STUDIES | {"omniglot": "Omniglot: new characters"}
FLOOR = 4  # the left edge of a logarithmic axis is the smallest value above 0 by this
WIDE = 300  # from here on a logarithmic axis has a label a decade
LOGARITHMIC = ("mse",)  # metrics that span decades
SHARES = ("accuracy", "auroc")


def _need(frame: pd.DataFrame, columns: tuple[str, ...], what: str) -> None:
    if missing := [c for c in columns if c not in frame]:
        raise DataError(f"{what} lack the columns {', '.join(missing)}; expected {', '.join(columns)}")


def _title(study: str) -> str:
    """A study's title; "omniglot 5-way" is Omniglot's with the number of ways behind it."""
    name, _, detail = study.partition(" ")
    return f"{TITLES[name]}, {detail}" if detail and name in TITLES else TITLES.get(study, study)


def _log_ticks(axis: plt.Axis, subs: tuple[float, ...] = (1, 2, 5)) -> None:
    """Plain numbers at 1, 2, 5, 10, ... (or other `subs`)."""
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    axis.set_minor_formatter(NullFormatter())


def adaptation_steps(curves: pd.DataFrame, truth: pd.DataFrame, support: pd.DataFrame) -> Figure:
    """Sinusoid: how a prediction changes while a method adapts. A column a method, a row a task.

    `curves`: method, task, step (0: before adaptation), x, y; `truth` and `support`: task, x, y. The darker, the more
    steps; a method's last step is thick. Panels of a task share an axis that shows the truth and cuts what leaves it.
    Raises DataError for a task without truth or points, and a method that lacks a task.
    """
    for frame, columns, what in (
        (curves, ("method", "task", "step", "x", "y"), "curves"), (truth, ("task", "x", "y"), "truth"),
        (support, ("task", "x", "y"), "support points"),
    ):  # fmt: skip
        _need(frame, columns, what)
    methods, tasks = (list(dict.fromkeys(curves[c])) for c in ("method", "task"))
    there = set(zip(curves["method"], curves["task"], strict=True))
    if lost := [(m, t) for m in methods for t in tasks if (m, t) not in there]:
        raise DataError(f"no curve of {lost[0][0]} for task {lost[0][1]!r}; expected every method on every task")
    if lost := [t for t in tasks if t not in set(truth["task"]) or t not in set(support["task"])]:
        raise DataError(f"task {lost[0]!r} has no truth or no support points; expected both of every task")
    style()
    steps = sorted(curves["step"].unique())
    shades = dict(zip(steps, plt.get_cmap("YlOrBr")(np.linspace(0.3, 0.95, len(steps))), strict=True))
    figure, axes = plt.subplots(
        len(tasks), len(methods), figsize=(2.9 * len(methods), 2.6 * len(tasks) + 0.9), squeeze=False, sharex=True,
        sharey="row",
    )  # fmt: skip
    for row, task in zip(axes, tasks, strict=True):
        real, points = (f[f["task"] == task] for f in (truth.sort_values("x"), support))
        for ax, method in zip(row, methods, strict=True):
            ax.plot(real["x"], real["y"], color="black", linestyle="--", linewidth=1.3, label="truth", zorder=3)
            own = curves[(curves["method"] == method) & (curves["task"] == task)].sort_values("x")
            for step in sorted(own["step"].unique()):
                part, wide = own[own["step"] == step], 2.8 if step == own["step"].max() else 1.4
                ax.plot(part["x"], part["y"], color=shades[step], linewidth=wide, zorder=2)
            ax.plot(points["x"], points["y"], "o", color="black", markersize=5, label="labelled points", zorder=4)
        margin = 0.35 * np.ptp(real["y"]) + 0.1
        row[0].set(ylabel="y", ylim=(real["y"].min() - margin, real["y"].max() + margin))
    for ax, method in zip(axes[0], methods, strict=True):
        ax.set_title(method)
    for ax in axes[-1]:
        ax.set_xlabel("x")
    words = [{0: "before adaptation", 1: "1 step"}.get(n, f"{n} steps") for n in steps]
    lines = [Line2D([], [], color=shades[n], linewidth=2.4) for n in steps]
    known, names = axes[0][0].get_legend_handles_labels()
    figure.legend([*known, *lines], [*names, *words], loc="outside lower center", ncols=7, frameon=False)
    return figure


def _compared(ax: Axes, rows: pd.DataFrame, palette: dict[str, str]) -> None:
    """One setting of `against_published`, the best row on top."""
    above_zero = rows["value"][rows["value"] > 0]
    floor = above_zero.min() / FLOOR if len(above_zero) else 0.01
    for i, r in enumerate(rows.itertuples()):
        colour, face = (palette[r.method], palette[r.method]) if r.ours else ("0.35", "white")
        low, high = np.maximum([r.low, r.high], floor)
        ax.plot([low, high], [i, i], color=colour, linewidth=2.0, solid_capstyle="butt", zorder=2)
        if min(r.value, r.low) < floor:  # never true of an interval that is missing
            ax.plot(floor, i, "<", color=colour, markersize=6, zorder=2)
        if r.value >= floor:
            marker = "o" if r.ours else "D"
            ax.plot(r.value, i, marker, color=colour, markerfacecolor=face, markersize=7, markeredgewidth=1.4, zorder=3)
    ax.set_yticks(range(len(rows)), rows["name"], fontsize=9)
    for text, r in zip(ax.get_yticklabels(), rows.itertuples(), strict=True):
        text.set(fontweight="bold" if r.ours else "normal", color=palette[r.method] if r.ours else "0.25")
    if not rows["ours"].all():
        ax.axvline(
            max(rows["value"][~rows["ours"]].min(), floor), color="0.35", linestyle="--", linewidth=1.2, zorder=1
        )
    ax.set(ylim=(len(rows) - 0.4, -0.6), xscale="log")
    ax.grid(axis="y", visible=False)
    left, right = ax.get_xlim()
    _log_ticks(ax.xaxis, (1,) if right > WIDE * left else (1, 2, 5))  # over many decades the labels would touch


def against_published(ours: pd.DataFrame, published: pd.DataFrame, lower_is_better: bool) -> Figure:
    """Our methods with 95% intervals among published ones, a panel a setting, the best on top; x is logarithmic.

    `ours`: setting, method, mean, low, high; `published`: one benchmark of `published.read`. Where higher is better
    both must be percentages, and what is drawn is the error, 100 - accuracy. No logarithm can show 0: an interval that
    goes on below a quarter of the panel's smallest error ends there with an arrow, and an error of 0 is an arrow there.
    Raises DataError as `check_ours`, and for published rows of no or more than one benchmark.
    """
    names = list(published["benchmark"].unique())
    if len(names) != 1 or names[0] not in SETTINGS:
        raise DataError(f"published rows are of {names or 'no benchmark'}; expected one of {', '.join(SETTINGS)}")
    check_ours(ours, SETTINGS[names[0]])
    if not lower_is_better and max(ours["mean"].max(), published["value"].max()) > 100:
        raise DataError("a score is above 100; expected accuracies in %, so that 100 - accuracy is the error")
    style()
    mine = ours.rename(columns={"mean": "value"}).assign(ours=True, name=ours["method"])
    mark = np.where(published["checked"] == UNVERIFIED, MARK, "")
    spread = published["plus_minus"]
    theirs = published.assign(
        low=published["value"] - spread, high=published["value"] + spread, ours=False, name=published["method"] + mark
    )
    columns = ["setting", "method", "name", "value", "low", "high", "ours"]
    both = pd.concat([mine[columns], theirs[columns]], ignore_index=True)
    if not lower_is_better:
        both = both.assign(value=100 - both["value"], low=100 - both["high"], high=100 - both["low"])
    palette = colours(list(dict.fromkeys(ours["method"])))
    settings = [s for s in SETTINGS[names[0]] if s in set(ours["setting"])]
    wide = 3 if len(settings) == 3 else 2
    tall = -(-len(settings) // wide)
    most = both["setting"].value_counts().max()
    figure, axes = plt.subplots(tall, wide, figsize=(5.4 * wide, (0.27 * most + 1.2) * tall + 0.5), squeeze=False)
    xlabel = f"{METRICS[names[0]]} (log scale)" if lower_is_better else "error in % (100 - accuracy, log scale)"
    for ax, setting in zip(axes.flat, settings, strict=False):
        rows = both[both["setting"] == setting].sort_values("value", kind="stable")
        _compared(ax, rows, palette)
        ax.set(title=setting, xlabel=xlabel)
    for ax in axes.flat[len(settings) :]:
        ax.axis("off")
    handles = [
        Line2D([], [], color=palette["g"], marker="o", markersize=7, linewidth=2),
        Line2D([], [], color="0.35", marker="D", markerfacecolor="white", markersize=7, linewidth=2),
        Line2D([], [], color="0.35", linestyle="--", linewidth=1.2),
        Line2D([], [], color="0.35", linestyle="", marker="<", markersize=6),
    ]
    words = [
        f"{HERE}, 95% interval",
        f"published, ± where given ({MARK}: {UNVERIFIED})",
        "best published, verified or not",
        "goes on, or is 0",
    ]
    figure.legend(handles, words, loc="outside lower center", ncols=4 if wide == 3 else 2, frameon=False)
    return figure


def errors_made(
    errors: pd.DataFrame, asked: np.ndarray, chosen: np.ndarray, right: np.ndarray, trials: int | None = None,
    most: int = 24,
) -> Figure:  # fmt: skip
    """One-shot challenge: each mistake as the drawing asked, the one chosen and the right one, the surest first.

    `errors` has a row a mistake: run, item, chosen, right, p_chosen, p_right; `asked`, `chosen` and `right` hold its
    pictures, (N, s, s), uint8 or 0 to 1, ink high. The title says how many there are, and in how many `trials` if told;
    `most` are drawn. Raises DataError where pictures and rows do not match, or a row is no mistake.
    """
    _need(errors, ("run", "item", "chosen", "right", "p_chosen", "p_right"), "errors")
    if shapes := [a.shape for a in (asked, chosen, right) if a.ndim != 3 or len(a) != len(errors)]:
        raise DataError(f"pictures of shape {shapes[0]} for {len(errors)} errors; expected (errors, side, side)")
    if n_right := int((errors["chosen"] == errors["right"]).sum()):
        raise DataError(f"{n_right} of {len(errors)} rows chose the right drawing; expected mistakes alone")
    if trials is not None and len(errors) > trials:
        raise DataError(f"{len(errors)} mistakes in {trials} trials; expected `trials` to count right answers as well")
    style()
    order = np.argsort(-errors["p_chosen"].to_numpy(), kind="stable")[:most]
    wide = min(6, max(3, len(order)))
    tall = max(1, -(-len(order) // wide))
    figure, axes = plt.subplots(tall, wide, figsize=(2.1 * wide, 1.28 * tall + 1.0), squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for ax, i in zip(axes.flat, order, strict=False):
        r = errors.iloc[i]
        for j, (picture, edge) in enumerate(((asked[i], "0.6"), (chosen[i], WRONG), (right[i], RIGHT))):
            top = 255 if picture.dtype == np.uint8 else 1
            ax.imshow(picture, cmap="gray_r", vmin=0, vmax=top, extent=(1.1 * j, 1.1 * j + 1, 0, 1))
            ax.add_patch(Rectangle((1.1 * j, 0), 1, 1, fill=False, edgecolor=edge, linewidth=1.8))
        for j, p, colour in ((1, r["p_chosen"], "#9A4A7A"), (2, r["p_right"], "#00664B")):
            ax.text(1.1 * j + 0.5, -0.08, f"{100 * p:.0f}%", ha="center", va="top", fontsize=9, color=colour)
        ax.set(xlim=(-0.05, 3.25), ylim=(-0.3, 1.05))
        ax.set_title(f"{r['run']}, {r['item']}", fontsize=8, pad=2)
    n = len(errors)
    title = f"{n or 'no'} mistake{'' if n == 1 else 's'}"
    if trials is not None:
        title += f" in {trials} trials" + (f" ({n / trials:.1%})" if n else "")
    some = f"; the {len(order)} that the model was surest of" if len(order) < n else ""
    figure.suptitle(title + some, fontsize=11, x=0.01, ha="left")
    if len(order):
        edges = (("0.6", "asked"), (WRONG, "chosen, wrongly"), (RIGHT, "right answer"))
        handles = [Rectangle((0, 0), 1, 1, fill=False, edgecolor=edge, linewidth=1.8, label=t) for edge, t in edges]
        title = "below a drawing: the probability that the model gave to it"
        figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, title=title)
    return figure


def worth(k: int, needed: float, largest: int) -> str:
    """How many labels learning without earlier tasks needs for what g reaches with k of them, in words."""
    if not np.isfinite(needed):
        return f"k={k}: not reached with {largest} labels"
    times = needed / k
    labels = f"{needed:.3g}" if needed < 100 else f"{needed:.0f}"
    return f"k={k} is worth {labels} label{'' if labels == '1' else 's'} ({times:.{0 if times >= 10 else 1}f}x)"


def labels_saved(curves: pd.DataFrame, levels: pd.DataFrame, per: str = "task") -> Figure:
    """Score of learning without earlier tasks against labels, and where it reaches g with few; one panel a study.

    `curves`: study, n, mean, low, high, metric; `levels`: study, k, g, needed (NaN: never reached), largest, the most
    labels tried; n, k, needed and largest all count labels `per` task, or class; of a regression always per task.
    Raises DataError for a study that has levels or a curve alone, or several rows for one n or k.
    """
    _need(curves, ("study", "n", "mean", "low", "high", "metric"), "curves")
    _need(levels, ("study", "k", "g", "needed", "largest"), "levels")
    studies = list(dict.fromkeys(curves["study"]))
    if odd := set(studies) ^ set(levels["study"]):
        raise DataError(f"study {min(odd)!r} has a curve or levels of g, but not both; compute both")
    for frame, count in ((curves, "n"), (levels, "k")):
        if (twice := frame[["study", count]].duplicated()).any():
            r = frame[twice.to_numpy()].iloc[0]
            raise DataError(
                f"study {r['study']!r} has {count}={r[count]} twice; expected one learner, the best, a study"
            )
    style()
    figure, axes = plt.subplots(1, len(studies), figsize=(4.5 * len(studies), 5.4), squeeze=False)
    for ax, study in zip(axes[0], studies, strict=True):
        rows, own = (f[f["study"] == study] for f in (curves.sort_values("n"), levels.sort_values("k")))
        metric = rows["metric"].iloc[0]
        log = metric in LOGARITHMIC
        low = rows["low"].clip(lower=rows["mean"].min() / FLOOR) if log else rows["low"]
        ax.fill_between(rows["n"], low, rows["high"], color="0.35", alpha=0.18, linewidth=0)
        ax.plot(
            rows["n"],
            rows["mean"],
            "o-",
            color="0.35",
            markersize=4,
            label="without earlier tasks (95% band)",
            zorder=3,
        )
        shades = plt.get_cmap("Oranges")(np.linspace(0.45, 0.9, len(own)))
        for r, shade, marker in zip(own.itertuples(), shades, MARKERS * len(own), strict=False):
            ax.axhline(r.g, color=shade, linewidth=1.6, zorder=2)
            hollow = {"color": shade, "marker": marker, "markerfacecolor": "white", "markeredgewidth": 1.6}
            filled = {"color": shade, "marker": marker}
            ax.plot(r.k, r.g, **hollow, linestyle="", markersize=7, zorder=4)
            ax.plot(r.needed, r.g, **filled, linestyle="", markersize=8, zorder=4)
            ax.plot([], [], **(filled if np.isfinite(r.needed) else hollow), label=worth(r.k, r.needed, r.largest))
        ax.set_xscale("log")
        _log_ticks(ax.xaxis)
        if log:
            ax.set_yscale("log")
            _log_ticks(ax.yaxis)
        elif metric in SHARES:
            ax.set_ylim(top=1.01)  # an interval may reach beyond what the metric can
        unit = per if metric in SHARES else "task"  # a regression has no classes
        ax.set(title=_title(study), xlabel=f"labels per {unit} (log scale)", ylabel=label(metric))
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), frameon=False, fontsize=9)
    figure.supxlabel(
        "line and hollow marker: g with k labels; filled: where learning without earlier tasks reaches it", fontsize=9
    )
    return figure

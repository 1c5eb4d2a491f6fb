"""Every figure of the study, drawn from tidy tables: one function a figure, nothing computed but positions."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from metastudy.tasks import Task

# Okabe and Ito's colour-blind safe palette; g always has the same strong colour, baselines are grey
PALETTE = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#7F7F7F", "#B0A000", "#332288", "#882255",
    "#44AA99",
)  # fmt: skip
G_COLOUR = "#D55E00"
MARKERS = ("o", "s", "^", "v", "D", "P", "X", "<", ">", "p", "h")
NAMES = {
    "accuracy": "accuracy (share correct)",
    "auroc": "AUROC",
    "log_loss": "log loss (nats)",
    "mse": "mean squared error",
    "rouge1": "ROUGE-1 F1 (x 100)",
    "ndcg@10": "nDCG@10",
    "r2": "R² (share of variance explained)",
}
STUDIES = {
    "sinusoid": "sinusoid regression",
    "digits": "digits: new classes",
    "summarization": "summarization: a new library",
    "diagnosis_diseases": "diagnosis: a new disease",
    "search_collections": "search: a new collection",
}


def style() -> None:
    """The look shared by all figures; called by each of them, so that a notebook need not."""
    sns.set_theme(context="notebook", style="whitegrid", font_scale=0.95)
    plt.rcParams.update({"figure.constrained_layout.use": True, "axes.spines.top": False, "axes.spines.right": False})


def label(metric: str) -> str:
    """A metric's axis label, with its unit."""
    return NAMES.get(metric, metric)


def colours(methods: Sequence[str]) -> dict[str, str]:
    """One colour a method, the same in every figure that is given the same methods in the same order."""
    rest = [c for c in PALETTE if c != G_COLOUR]
    others = [m for m in methods if m != "g"]
    return {m: rest[i % len(rest)] for i, m in enumerate(others)} | {"g": G_COLOUR}


def shots_panel(ax: Axes, part: pd.DataFrame, methods: Sequence[str], palette: dict[str, str]) -> None:
    """Curves over shots; points are moved sideways a little, so that intervals do not hide each other."""
    shots = sorted(part["shots"].unique())
    position = {k: i for i, k in enumerate(shots)}
    drawn = [m for m in methods if m in set(part["method"])]
    for i, method in enumerate(drawn):
        rows = part[part["method"] == method].sort_values("shots")
        x = np.array([position[k] for k in rows["shots"]]) + 0.06 * (i - (len(drawn) - 1) / 2)
        y = rows["mean"].to_numpy()
        error = np.clip([y - rows["low"], rows["high"] - y], 0, None)
        ax.errorbar(
            x, y, yerr=error, label=method, color=palette[method], marker=MARKERS[i % len(MARKERS)],
            linewidth=2.6 if method == "g" else 1.4, markersize=6 if method == "g" else 5, capsize=0,
            elinewidth=1.1, zorder=3 if method == "g" else 2,
        )  # fmt: skip
    ax.set_xticks(range(len(shots)), [str(k) for k in shots])


def shots_curves(
    table: pd.DataFrame, metric: str, methods: Sequence[str], xlabel: str, families: Sequence[str] = ("all",),
    titles: Sequence[str] | None = None, log: bool = False,
) -> Figure:  # fmt: skip
    """Score against the number of labelled examples, one panel a family, with 95% intervals."""
    style()
    figure, axes = plt.subplots(1, len(families), figsize=(1.8 + 4.2 * len(families), 4.4), squeeze=False)
    palette = colours(methods)
    chosen = table[table["metric"] == metric]
    for ax, family, title in zip(axes[0], families, titles or families, strict=True):
        shots_panel(ax, chosen[chosen["family"] == family], methods, palette)
        ax.set(xlabel=xlabel, ylabel=label(metric) if ax is axes[0][0] else "", title=title if titles else "")
        if log:
            ax.set_yscale("log")
    handles, names = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right upper", frameon=False, title="method (95% interval)")
    return figure


def gain_curves(gains: pd.DataFrame, metric: str, reference: str, methods: Sequence[str], xlabel: str) -> Figure:
    """Paired gain over a reference against the number of labelled examples, with 95% intervals."""
    style()
    figure, ax = plt.subplots(figsize=(8.4, 4.6))
    shown = [m for m in methods if m != reference]
    ax.axhline(0, color="0.35", linewidth=1.4)
    ax.annotate(reference, (0.995, 0), xycoords=("axes fraction", "data"), va="bottom", ha="right", fontsize=9)
    shots_panel(ax, gains, shown, colours(methods))
    ax.set(xlabel=xlabel, ylabel=f"{label(metric)}: gain over {reference}")
    figure.legend(loc="outside right upper", frameon=False, title="method (95% interval)")
    return figure


VERDICT_COLOURS = {"better": "#009E73", "worse": "#CC79A7", "equivalent": "#0072B2", "undecided": "#7F7F7F"}


def forest(verdicts: pd.DataFrame, margins: dict[str, float]) -> Figure:
    """Difference of g and each other method with its interval, one panel a study; the grey band is the margin."""
    style()
    studies = list(dict.fromkeys(verdicts["study"]))
    heights = [max((verdicts["study"] == s).sum(), 1) + 1.3 for s in studies]
    figure, axes = plt.subplots(
        len(studies), 1, figsize=(8.6, 0.42 * sum(heights) + 0.8), squeeze=False, height_ratios=heights
    )
    for ax, study in zip(axes[:, 0], studies, strict=True):
        rows = verdicts[verdicts["study"] == study].iloc[::-1].reset_index(drop=True)
        ax.axvspan(-margins[study], margins[study], color="0.88", zorder=0)
        ax.axvline(0, color="0.4", linewidth=1)
        for i, r in enumerate(rows.itertuples()):
            colour = VERDICT_COLOURS[r.verdict]
            ax.plot([r.low, r.high], [i, i], color=colour, linewidth=2.4, solid_capstyle="round")
            ax.plot(r.difference, i, "o", color=colour, markersize=7)
            text = f"{r.verdict}  {r.difference:+.3g} [{r.low:+.3g}, {r.high:+.3g}]"
            ax.annotate(text, (1.02, i), xycoords=("axes fraction", "data"), va="center", fontsize=9, color=colour)
        ax.set_yticks(range(len(rows)), [f"g against {r.b}" for r in rows.itertuples()])
        ax.set_ylim(-0.6, len(rows) - 0.4)
        ax.grid(axis="y", visible=False)
        ax.xaxis.set_major_locator(MaxNLocator(6))
        ax.set_title(f"{STUDIES.get(study, study)}, {rows['shots'][0]} examples", loc="left", fontsize=11)
        ax.set_xlabel(f"gain of g in {label(rows['metric'][0])}", fontsize=9)
    figure.supxlabel("right of 0: g is better; grey band: too small a difference to matter", fontsize=9, color="0.35")
    return figure


def mixture_weights(weights: dict[str, pd.DataFrame]) -> Figure:
    """β against the number of shots: how g spends its weight over the mappings, one panel a study."""
    style()
    frames, titles = list(weights.values()), list(weights)
    figure, axes = plt.subplots(1, len(frames), figsize=(1.6 + 3.6 * len(frames), 3.6), squeeze=False, sharey=True)
    names = list(dict.fromkeys(n for f in frames for n in f["mapping"]))
    palette = dict(zip(names, [c for c in PALETTE if c != G_COLOUR], strict=False))
    for ax, frame, title in zip(axes[0], frames, titles, strict=True):
        mean = frame.groupby(["shots", "mapping"])["beta"].mean().unstack()
        bottom = np.zeros(len(mean))
        for name in [n for n in names if n in mean]:
            ax.bar([str(k) for k in mean.index], mean[name], bottom=bottom, color=palette[name], label=name, width=0.7)
            bottom += mean[name].to_numpy()
        ax.set(xlabel="labelled examples (shots)", ylabel="mean weight β" if ax is axes[0][0] else "", title=title)
        ax.grid(axis="x", visible=False)
    handles = {n: h for ax in axes[0] for h, n in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles, loc="outside right upper", frameon=False, title="mapping ψ")
    return figure


def base_models(table: pd.DataFrame, order: Sequence[str]) -> Figure:
    """Cross-validated score of each base model against the number of training rows, one panel a data set."""
    style()
    studies = list(dict.fromkeys(table["data"]))
    figure, axes = plt.subplots(1, len(studies), figsize=(1.8 + 3.8 * len(studies), 4.2), squeeze=False)
    palette = dict(zip(order, PALETTE, strict=False))
    for ax, name in zip(axes[0], studies, strict=True):
        part = table[table["data"] == name]
        sizes = sorted(part["rows"].unique())
        models = [m for m in order if m in set(part["model"])]
        for i, model in enumerate(models):
            rows = part[part["model"] == model].sort_values("rows")
            x = [sizes.index(n) + 0.07 * (i - (len(models) - 1) / 2) for n in rows["rows"]]
            error = [rows["mean"] - rows["low"], rows["high"] - rows["mean"]]
            ax.errorbar(x, rows["mean"], yerr=error, color=palette[model], label=model, marker=MARKERS[i], ms=5, lw=1.4)
        ax.set_xticks(range(len(sizes)), [str(n) for n in sizes])
        ax.set(xlabel="labelled training rows", ylabel=label(part["metric"].iloc[0]), title=name)
        if part["metric"].iloc[0] == "auroc":
            ax.set_ylim(top=1.0)  # an interval may reach beyond what the metric can
    handles = {n: h for ax in axes[0] for h, n in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(
        handles.values(), handles, loc="outside right upper", frameon=False, title="base model (95% interval)"
    )
    return figure


def sinusoid_fit(curves: pd.DataFrame, support: pd.DataFrame) -> Figure:
    """One new task: the true curve, its few points, and what each method makes of them. Columns: method, x, y."""
    style()
    methods = [m for m in dict.fromkeys(curves["method"]) if m != "truth"]
    figure, axes = plt.subplots(1, len(methods), figsize=(3.1 * len(methods), 3.3), sharey=True, squeeze=False)
    truth = curves[curves["method"] == "truth"]
    palette = colours(methods)
    for ax, method in zip(axes[0], methods, strict=True):
        ax.plot(truth["x"], truth["y"], color="0.35", linestyle="--", label="truth")
        part = curves[curves["method"] == method]
        ax.plot(part["x"], part["y"], color=palette[method], linewidth=2, label="prediction")
        ax.plot(support["x"], support["y"], "ko", markersize=5, label="labelled examples")
        ax.set(title=method, xlabel="x", ylabel="y" if ax is axes[0][0] else "")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return figure


def image_task(task: Task, title: str) -> Figure:
    """A few-shot task of images: each class's labelled examples, a gap, and its queries."""
    style()
    ways = task.n_classes
    support, query = (x[:, 0].unflatten(0, (ways, -1)).numpy() for x in (task.support_x, task.query_x))
    shots, n = support.shape[1], query.shape[1]
    figure, axes = plt.subplots(ways, shots + n + 1, figsize=(0.75 * (shots + n + 1), 0.8 * ways + 0.7))
    for row in range(ways):
        blank = axes[row][shots]
        images = [*support[row], None, *query[row]]
        for ax, image in zip(axes[row], images, strict=True):
            ax.axis("off")
            if image is not None:
                ax.imshow(image, cmap="gray_r", vmin=0, vmax=1)
        blank.axis("off")
        axes[row][0].set_title(f"class {row}", loc="left", fontsize=9)
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    return figure


def sketch_progress(table: pd.DataFrame) -> Figure:
    """Ranking quality on new tasks against how many tasks came before, sketch and g side by side."""
    style()
    figure, ax = plt.subplots(figsize=(9, 4))
    seen = sorted(table["seen"].unique())
    palette = colours(list(dict.fromkeys(table["method"])))
    for i, (method, rows) in enumerate(table.groupby("method", sort=False)):
        x = np.array([seen.index(n) for n in rows["seen"]]) + 0.05 * (i - 1)
        error = [rows["mean"] - rows["low"], rows["high"] - rows["mean"]]
        wide = 2.6 if method == "g" else 1.4
        ax.errorbar(x, rows["mean"], yerr=error, color=palette[method], marker=MARKERS[i], label=method, linewidth=wide)
    ax.set_xticks(range(len(seen)), [str(n) for n in seen])
    ax.set(xlabel="earlier tasks", ylabel="nDCG@10 on a new library")
    figure.legend(loc="outside right upper", frameon=False, title="method (95% interval\nover libraries)")
    return figure


def corpus_sizes(table: pd.DataFrame) -> Figure:
    """Entries and search queries of each package of the documentation corpus."""
    style()
    figure, ax = plt.subplots(figsize=(7.2, 3.8))
    y = np.arange(len(table))
    ax.barh(y - 0.2, table["entries"], height=0.38, color="#0072B2", label="documents (body and summary line)")
    ax.barh(y + 0.2, table["queries"], height=0.38, color="#E69F00", label="queries with judged pages (See Also)")
    ax.set_yticks(y, table["package"])
    ax.invert_yaxis()
    ax.set(xlabel="count", ylabel="package")
    ax.grid(axis="y", visible=False)
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    return figure

"""Transfer between libraries is measured on unseen documents, and compared by a test that respects the matrix."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Iterator

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib import pyplot as plt
from scipy.stats import spearmanr
from statsmodels.formula.api import ols

from metastudy import figures_transfer, transfer
from metastudy.adapt import TaskMemory
from metastudy.errors import DataError
from metastudy.families.base import TaskSpec
from metastudy.families.summarization import DocumentationSummaries
from metastudy.mantel import interaction, mantel
from metastudy.tasks import collate
from metastudy.transfer_rounds import Round, round_of

mpl.use("Agg")
LIBRARIES = ("numpy", "networkx", "sympy")


@pytest.fixture(scope="module")
def family() -> DocumentationSummaries:
    return DocumentationSummaries(max_documents=40, max_sentences=8, draws=2, queries=10)


@pytest.fixture(scope="module")
def specs(family) -> list[TaskSpec]:
    return [s for s in family.freeze(np.random.default_rng(0)) if s.family in LIBRARIES]


@pytest.fixture(scope="module")
def here(family, specs) -> Round:
    return round_of(family, specs, 1)


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    with mpl.rc_context():
        yield
    plt.close("all")


# --- rounds ---


def test_a_round_learns_from_nothing_that_it_tests(here, specs) -> None:
    seen = set()
    for library in LIBRARIES:
        ids, out = set(here.learned[library]), set(here.held_out[library])
        assert len(ids) == 30 and len(out) == 10 and not ids & out
        task = here.draw(library, here.learned[library], 5, np.random.default_rng(0))
        assert set(task.query_ids) <= ids and task.family == library
        seen |= out
    assert {i for t in here.tests(5) for i in t.query_ids} == seen == {i for s in specs[1::2] for i in s.query}


def test_inputs_are_fitted_on_learned_documents_alone(here) -> None:
    """Columns of all learned documents have mean 0 and spread 1; with the held out ones, which were not seen, not."""
    rows = here.inputs.rows(here.fold)
    learned = torch.cat([rows[i] for ids in here.learned.values() for i in ids]).double()
    spread = learned.std(0, correction=0)
    assert float(learned.mean(0).abs().max()) < 1e-4
    assert bool(((spread - 1).abs() < 1e-3).logical_or(spread < 1e-3).all())
    everything = torch.cat([learned, *(rows[i].double() for ids in here.held_out.values() for i in ids)])
    assert float(everything.mean(0).abs().max()) > 1e-3


def test_each_part_of_a_support_is_a_task_of_its_own(here) -> None:
    tasks = here.tests(5)
    assert [t.family for t in tasks] == [d for d in LIBRARIES for _ in range(4)]
    assert all(len(set(t.support_group.tolist())) == 5 for t in tasks)
    assert not torch.equal(tasks[0].support_y, tasks[1].support_y) and torch.equal(tasks[0].query_x, tasks[1].query_x)


def test_new_tasks_are_made_of_held_out_documents(here) -> None:
    batch = here.new_tasks(3, 0)
    assert [t.family for t in batch.tasks] == [d for d in LIBRARIES for _ in range(12)]
    for task in batch.tasks:
        assert set(task.query_ids) < set(here.held_out[task.family]) and len(set(task.query_ids)) == 7
    with pytest.raises(DataError, match="sympy: a task needs more than its 10 labelled documents, but 10 are there"):
        here.draw("sympy", here.held_out["sympy"], 10, np.random.default_rng(0))


def test_libraries_with_different_numbers_of_draws_are_refused(family, specs) -> None:
    with pytest.raises(DataError, match="'numpy': 1, 'networkx': 2"):
        round_of(family, [s for s in specs if s.id != "numpy/0"], 0)


# --- measurements ---


def test_the_map_holds_the_gain_over_the_learner_before_its_first_step(family, specs, here) -> None:
    table = transfer.measure(family, specs, shots=5, steps=3, seeds=[1], jobs=1)
    assert len(table) == 3 * 3 * 2 and set(table["seed"]) == {1}
    learner, *params = here.train((transfer.RIDGE,), ("sympy",), (5,), 3, 1)
    plain = []
    for p in params:  # before and after, one task at a time
        values = []
        for task in [t for t in here.tests(5) if t.family == "networkx"]:
            with torch.no_grad():
                prediction = learner.predict(p, collate([task]))[0, :, 0]
            values += [s.value for s in family.score(task, prediction) if s.metric == "rouge1"]
        plain.append(np.mean(values))
    row = table.query("source == 'sympy' and target == 'networkx' and metric == 'rouge1'").iloc[0]
    assert row["score"] == pytest.approx(plain[1]) and row["gain"] == pytest.approx(plain[1] - plain[0])
    square = transfer.matrix(table, "gain", "rouge1")
    assert tuple(square.index) == tuple(square.columns) == tuple(dict.fromkeys(s.family for s in specs))
    assert square.loc["sympy", "networkx"] == row["gain"]


def test_a_cell_does_not_depend_on_what_ran_before_it(family, specs) -> None:
    """So cells may run in any process: one more round before, and a family that was pickled, change nothing."""
    alone = transfer.measure(pickle.loads(pickle.dumps(family)), specs, steps=2, seeds=[1])
    both = transfer.measure(family, specs, steps=2, seeds=[0, 1])
    pd.testing.assert_frame_equal(alone, both[both["seed"] == 1].reset_index(drop=True))


def test_similarity_is_the_share_of_each_library_in_what_is_remembered(family, specs, here) -> None:
    table = transfer.similarity(family, specs, shots=(5,), steps=3, seeds=[1])
    names = list(here.held_out)
    memory = TaskMemory(transfer.PER_LIBRARY * 3, initial_penalty=30.0, initial_memory_penalty=100.0)
    learner, _, params = here.train((memory,), names, (5,), 3, 1)
    theta, alpha = (
        {k[len(p) :]: v for k, v in params.items() if k.startswith(p)} for p in ("theta.", "alpha.task_memory.")
    )
    remembered = [d for d in names for _ in range(transfer.PER_LIBRARY)]
    shares = {(a, b): [] for a in names for b in names}
    for task in here.new_tasks(5, 1).tasks:
        s = memory.similarity(learner.model, theta, alpha, collate([task]))[0]
        for a in names:
            shares[a, task.family].append(sum(float(v) for v, d in zip(s, remembered, strict=True) if d == a))
    for row in table.itertuples():
        assert row.similarity == pytest.approx(np.mean(shares[row.source, row.target]), abs=1e-5)
    assert table.groupby("target")["similarity"].sum().to_numpy() == pytest.approx(np.ones(3), abs=1e-5)


def test_weights_of_each_domain_sum_to_one(family, specs) -> None:
    table = transfer.weights_by_domain(family, specs, shots=(1, 5), steps=2, seeds=[0, 1])
    assert set(table["mapping"]) == {"unadapted", "maml", "ridge", "prototypes", "task_memory"}
    sums = table.groupby(["family", "shots", "seed"])["beta"].sum()
    assert len(sums) == 3 * 2 * 2 and sums.to_numpy() == pytest.approx(np.ones(12), abs=1e-5)
    assert table.groupby(["shots", "mapping", "seed"])["beta"].nunique().max() > 1, "it depends on the task"


# --- agreement ---


def tables(n: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng, names = np.random.default_rng(seed), list("abcdefgh"[:n])
    return tuple(pd.DataFrame(rng.normal(size=(n, n)), names, names) for _ in range(2))


def plain_rho(a: pd.DataFrame, b: pd.DataFrame, pairs_only: bool) -> float:
    """Spearman's ρ over pairs of different names; effects of rows and columns by statsmodels' regression."""
    pairs = [(i, j) for i in a.index for j in a.index if i != j]

    def values(m: pd.DataFrame) -> np.ndarray:
        long = pd.DataFrame([(i, j, m.loc[i, j]) for i, j in pairs], columns=["row", "column", "value"])
        found = ols("value ~ C(row) + C(column)", long).fit().resid if pairs_only else long["value"]
        return found.to_numpy().round(10)

    return spearmanr(values(a), values(b)).statistic


@pytest.mark.parametrize("pairs_only", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_mantel_is_every_order_of_the_names(seed, pairs_only) -> None:
    a, b = tables(4, seed)
    seen = plain_rho(a, b, pairs_only)
    orders = [
        plain_rho(a, pd.DataFrame(b.loc[list(o), list(o)].to_numpy(), a.index, a.columns), pairs_only)
        for o in itertools.permutations(b.index)
    ]
    found = mantel(a, b, pairs_only)
    assert found.rho == pytest.approx(seen) and found.permutations == 24
    assert found.p_value == pytest.approx(np.mean(np.array(orders) >= seen - 1e-9))


def test_random_orders_come_close_to_all_orders() -> None:
    a, noise = tables(6, 3)
    b = a + 2 * noise
    exact, sampled = mantel(a, b), mantel(a, b, n_permutations=719)  # 6! is 720
    assert (exact.permutations, sampled.permutations) == (720, 720) and exact.rho == sampled.rho
    assert 0.001 < exact.p_value < 0.5 and abs(exact.p_value - sampled.p_value) < 0.06
    assert sampled == mantel(a, b, n_permutations=719)
    assert mantel(a, a).p_value == pytest.approx(1 / 720) and mantel(a, a).rho == pytest.approx(1)
    assert mantel(a, -a).p_value == 1


def test_what_is_good_or_easy_for_all_says_nothing_of_pairs() -> None:
    a, b = tables(5, 1)
    shifted = a + 10 * np.arange(5) + 7 * np.arange(5)[:, None]
    pd.testing.assert_frame_equal(interaction(shifted), interaction(a))
    assert mantel(shifted, b) == mantel(a, b)
    assert mantel(shifted, b, pairs_only=False).rho != pytest.approx(mantel(a, b, pairs_only=False).rho)
    left = interaction(a)
    assert np.abs([left.mean(axis=0), left.mean(axis=1)]).max() < 1e-12


def test_tables_that_cannot_be_compared_are_refused() -> None:
    a, b = tables(4, 0)
    for other in (b.iloc[::-1], b.iloc[:3], b.mask(np.eye(4)[[1, 0, 3, 2]] > 0)):
        with pytest.raises(DataError, match="cannot compare tables"):
            mantel(a, other)
    for pairs_only in (False, True):
        with pytest.raises(DataError, match="leaves nothing to order"):
            mantel(a, a * 0, pairs_only)


# --- figures ---


def two_blocks() -> tuple[pd.DataFrame, pd.DataFrame]:
    """a, c, e help each other, and so do b, d."""
    names = list("abcde")
    gains = pd.DataFrame([[1.0 + 4 * ((i - j) % 2 == 0) + 0.1 * i for j in range(5)] for i in range(5)], names, names)
    shares = pd.DataFrame([[0.1 + 0.02 * ((i + j) % 5) for j in range(5)] for i in range(5)], names, names)
    return gains - 1.5, shares


def test_both_heat_maps_have_the_clustered_order_and_hold_the_numbers() -> None:
    gains, shares = two_blocks()
    figure = figures_transfer.transfer_map(gains, shares, "rouge1")
    figure.canvas.draw()
    _, left, right = figure.axes[:3]
    order = [t.get_text() for t in left.get_yticklabels()]
    assert {frozenset(order[:3]), frozenset(order[:2])} & {frozenset("ace"), frozenset("bd")}
    for ax, table, scale, digits in ((left, gains, 1, 1), (right, shares, 100, 0)):
        for labels in (ax.get_xticklabels(), ax.get_yticklabels()):
            assert [t.get_text() for t in labels] == order
        wanted = [round(scale * table.loc[i, j], digits) for i in order for j in order]
        assert [float(t.get_text()) for t in ax.texts] == pytest.approx(wanted, abs=1e-9)
        assert len(ax.patches) == 5 and ax.get_xlabel() and ax.get_ylabel()
    low, high = left.collections[0].get_clim()
    assert low == -high and high == pytest.approx(gains.abs().max().max())
    assert [ax.get_xlabel() for ax in figure.axes[3:]] == [
        "gain over no meta-training, ROUGE-1 F1 (x 100)",
        "share of the similarity of a new task (% of its column)",
    ]


def test_weights_by_domain_draws_a_line_a_domain_and_their_mean() -> None:
    rows = [
        (f, k, s, m, 0.1 * i + 0.01 * k + 0.02 * s)
        for i, f in enumerate("xy")
        for k in (1, 5)
        for s in (0, 1)
        for m in ("p", "q")
    ]
    table = pd.DataFrame(rows, columns=["family", "shots", "seed", "mapping", "beta"])
    figure = figures_transfer.weights_by_domain(table)
    figure.canvas.draw()
    assert [ax.get_title() for ax in figure.axes] == ["p", "q"] and figure.axes[0].get_ylabel() == "mean weight β"
    for ax in figure.axes:
        first, second, mean = (line.get_ydata() for line in ax.lines)
        assert first == pytest.approx([0.02, 0.06]) and second == pytest.approx([0.12, 0.16])
        assert mean == pytest.approx([0.07, 0.11]) and ax.get_xlabel() == "labelled examples"
        assert [t.get_text() for t in ax.get_xticklabels()] == ["1", "5"]

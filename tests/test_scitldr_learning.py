"""SciTLDR with labels on invented papers: who may choose, who is only judged, and fast paths against slow ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metastudy import scitldr, scitldr_learning
from metastudy.evidence import mixtures
from metastudy.families.base import Fold
from metastudy.families.public_summaries import PublicSummaries
from metastudy.families.sentence_rows import SentenceRows
from metastudy.lineups.summarization import summarization_methods
from metastudy.loaders.summaries.schema import SourceDocument
from metastudy.methods import Fitted
from metastudy.scitldr_learning import Papers, all_papers, fold_of, table, ten_papers
from metastudy.train import TrainConfig
from toy_summaries import WORDS, TinyFamily

SIZES = {"train": 24, "validation": 12, "test": 7}


def invented(split: str) -> list[SourceDocument]:
    """Two to six sentences; the one that a reference repeats is the last that names a method."""
    rng, found = np.random.default_rng(len(split)), []
    for i in range(SIZES[split]):
        units = [" ".join(rng.choice(WORDS, 6)) + "." for _ in range(rng.integers(2, 7))]
        units[-1] = f"We show {units[-1]}"
        found.append(
            SourceDocument(f"{split}{i}", "scitldr", tuple(units), "sentences", (units[-1], "Nothing."), split)
        )
    return found


@pytest.fixture
def papers(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[SourceDocument]]:
    """The invented splits in place of the real ones, and a short training; tests may change a split."""
    found = {split: invented(split) for split in SIZES}
    monkeypatch.setattr(scitldr, "documents", found.__getitem__)
    monkeypatch.setattr(scitldr_learning, "ALL", replace(scitldr_learning.ALL, steps=30, validate_every=10, warmup=5))
    monkeypatch.setattr(scitldr_learning, "PAPERS_A_TASK", 8)
    return found


def with_references(papers: list[SourceDocument], position: int) -> list[SourceDocument]:
    """The same papers, whose summary is now another sentence."""
    return [replace(d, references=(d.units[position],)) for d in papers]


PAPERS = st.lists(
    st.lists(st.sampled_from([0.0, 0.5, 0.5 + 1e-12, 2.0]), min_size=1, max_size=4), min_size=1, max_size=5
)


@settings(deadline=None)
@given(PAPERS, st.integers(0, 2**32 - 1))
def test_best_sentences_and_their_gain_as_by_a_loop(scores: list[list[float]], seed: int) -> None:
    """Of several methods at once; up to rounding, of equal ones the first."""
    n = sum(map(len, scores))
    rng = np.random.default_rng(seed)
    gains = rng.random(n).astype(np.float32)
    held = Papers(torch.zeros(n, 3), torch.from_numpy(gains), tuple(map(len, scores)))
    several = np.stack([np.concatenate(scores), rng.integers(0, 3, n).astype(float)])
    picks, values = held.best(several), held.rouge1(several)
    assert picks.shape == (2, len(scores))
    for row, own, value in zip(several, picks, values, strict=True):
        start, total = 0, 0.0
        for place, size in zip(own, held.sizes, strict=True):
            part = row[start : start + size]
            assert place == next(i for i, v in enumerate(part) if v >= max(part) - 1e-9)
            total += gains[start + place]
            start += size
        assert value == pytest.approx(100 * total / len(scores))


def test_a_task_holds_the_rows_of_its_papers_in_their_order() -> None:
    rng = np.random.default_rng(0)
    sizes = (3, 1, 4, 2)
    group = np.repeat(np.arange(4), sizes)
    x, gains = torch.from_numpy(rng.normal(size=(10, 5))).float(), torch.from_numpy(rng.random(10)).float()
    task = Papers(x, gains, sizes).task(np.array([2, 0, 3]))
    rows = [i for paper in (2, 0, 3) for i in range(10) if group[i] == paper]
    assert torch.equal(task.query_x, x[rows]) and torch.equal(task.query_y, gains[rows])
    assert task.query_group.tolist() == [0, 0, 0, 0, 1, 1, 1, 2, 2]


def test_members_are_standard_scores_in_each_paper(papers: dict[str, list[SourceDocument]]) -> None:
    rows = SentenceRows.fit([d.units for d in papers["train"]])
    held = Papers.of(papers["test"], rows)
    own = torch.arange(float(len(held.x))) ** 2
    found = scitldr_learning._members(held, lambda p: own)
    columns = [*held.x[:, :3].T.double().numpy(), own.double().numpy()]
    start = 0
    for size in held.sizes:
        for row, column in zip(found, columns, strict=True):
            part = column[start : start + size]
            slow = (part - part.mean()) / np.sqrt(part.var() + 1e-8)
            assert row[start : start + size] == pytest.approx(slow, abs=2e-3)
        start += size
    by_hand = [max(scitldr.text.rouge1(s, (r,)) for r in d.references) for d in papers["test"] for s in d.units]
    assert (100 * held.gains).tolist() == pytest.approx(by_hand, rel=1e-5)


def test_all_papers_choose_one_sentence_and_learn_which(papers: dict[str, list[SourceDocument]]) -> None:
    value, choice = all_papers("none")
    assert {i: len(picks) for i, picks in choice.items()} == {d.id: 1 for d in papers["test"]}
    assert value == pytest.approx(100), "the last sentence is the summary, which is_last says"
    assert choice == {d.id: (len(d.units) - 1,) for d in papers["test"]}
    assert all_papers("none") == (value, choice)


def test_references_of_test_papers_choose_nothing(papers: dict[str, list[SourceDocument]]) -> None:
    before = all_papers("none")
    papers["test"] = with_references(papers["test"], 0)
    assert all_papers("none") == before


def test_validation_papers_choose_the_mixture(
    papers: dict[str, list[SourceDocument]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trained alike: where their summary is the first sentence, the best mixture chooses first sentences."""

    def untrained(train, validation, width, seed):
        return lambda some: torch.zeros(len(some.x))

    monkeypatch.setattr(scitldr_learning, "_trained", untrained)
    papers["validation"] = with_references(papers["validation"], 0)
    value, choice = all_papers("none")
    assert value == pytest.approx(100) and set(choice.values()) == {(0,)}
    papers["validation"] = with_references(papers["validation"], -1)
    other, choice = all_papers("none")
    rows = SentenceRows.fit([d.units for d in papers["train"]])
    held = Papers.of(papers["validation"], rows)
    members = scitldr_learning._members(held, lambda some: torch.zeros(len(some.x)))
    values = [held.rouge1(w[None] @ members)[0] for w in mixtures(4)]
    assert other == pytest.approx(max(values)) and other < 100
    assert set(choice.values()) != {(0,)}


@pytest.fixture(scope="module")
def g() -> tuple[TinyFamily, Fitted]:
    """g on a family of invented documents, on the fold that `fold_of` finds there."""
    family = TinyFamily()
    method = next(m for m in summarization_methods(family) if m.name == "g")
    fitted = method.fit(family, family.folds()[0], TrainConfig(steps=4, tasks_per_step=2, validate_every=2), 0)
    return family, fitted


@pytest.fixture
def ten(monkeypatch: pytest.MonkeyPatch, g: tuple[TinyFamily, Fitted]):
    monkeypatch.setattr(scitldr_learning, "DOMAIN", "c")
    return lambda **changes: ten_papers(*g, draws=2, **changes)


def test_ten_papers_are_scored_for_each_draw_and_again_the_same(papers, ten) -> None:
    found = ten()
    assert found.columns.tolist() == ["document", "rouge1", "rouge2", "rougeL", "draw"]
    assert found["document"].tolist() == [d.id for d in papers["test"]] * 2
    assert found["draw"].tolist() == [0] * 7 + [1] * 7
    pd.testing.assert_frame_equal(ten(), found)
    assert ten(split="validation")["document"].nunique() == 12


def test_ten_papers_learn_from_training_papers_alone(papers, ten, monkeypatch: pytest.MonkeyPatch) -> None:
    """The labelled ones are ten of training; references of the papers asked about are for scoring only."""
    seen, chosen = [], []
    real, score = scitldr_learning.Summarizer.__call__, scitldr.evaluate

    def watched(self, texts, support, n_words):
        seen.append(support)
        return real(self, texts, support, n_words)

    def kept(choice, split):
        chosen.append(choice)
        return score(choice, split)

    monkeypatch.setattr(scitldr_learning.Summarizer, "__call__", watched)
    monkeypatch.setattr(scitldr, "evaluate", kept)
    ten()
    training = {d.units: d.references for d in papers["train"]}
    for support in seen:
        assert len({units for units, _ in support}) == 10
        assert all(training[units] == references for units, references in support)
    assert seen[0] != seen[1], "draws differ"
    before = list(chosen)
    assert all(len(picks) == 1 for choice in before for picks in choice.values())
    papers["test"], papers["validation"] = with_references(papers["test"], 0), []
    ten()
    assert chosen[2:] == before


def test_the_fold_has_not_learned_from_scitldr() -> None:
    fold: Fold = fold_of(PublicSummaries())
    assert fold.test == ("scitldr",) and "scitldr" not in fold.train + fold.validation


def test_the_table_is_of_papers_and_not_of_draws() -> None:
    frame = pd.DataFrame(
        {
            "document": ["a", "b", "a", "b"],
            "draw": [0, 0, 1, 1],
            "rouge1": [10, 20, 30, 40],
            "rouge2": 1.0,
            "rougeL": 2.0,
        }
    )
    row = table({"g": frame}).iloc[0]
    assert (row["method"], row["rouge1"], row["rouge2"], row["rougeL"], row["n"]) == ("g", 25, 1, 2, 2)
    half = 12.7062 * 5  # t of one degree of freedom; means over draws are 20 and 30
    assert [row["rouge1_low"], row["rouge1_high"]] == pytest.approx([25 - half, 25 + half], rel=1e-4)


def test_the_encoder_is_chosen_on_validation_papers(papers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though another would be better on the test papers."""
    first = {d.id: (0,) for d in papers["test"]}
    last = {d.id: (len(d.units) - 1,) for d in papers["test"]}
    found = {"none": (40.0, last), "lsa": (42.0, first), "minilm": (41.0, last)}
    monkeypatch.setattr(scitldr_learning, "all_papers", lambda encoder, seed: found[encoder])
    ten = scitldr.evaluate(first).reset_index().assign(draw=0)
    monkeypatch.setattr(scitldr_learning, "ten_papers", lambda family, fitted, seed: ten)
    rows, validation = scitldr_learning.learned(None, None)
    assert rows["method"].tolist() == ["g, 10 papers", "all papers, encoder lsa"]
    assert rows.loc[1, "rouge1"] == pytest.approx(scitldr.evaluate(first)["rouge1"].mean()) != 100
    assert dict(zip(validation["encoder"], validation["rouge1"], strict=True)) == {"none": 40, "lsa": 42, "minilm": 41}

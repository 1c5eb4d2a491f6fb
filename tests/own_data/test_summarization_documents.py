"""Own documents make the study's tasks, and g chooses in them what `summarize` chooses."""

from __future__ import annotations

import pickle
from functools import cached_property

import cloudpickle
import numpy as np
import pytest
import torch

import helpers  # noqa: F401  (one thread)
from at_hand import needs
from metastudy import loaders, own_texts, summarize
from metastudy.errors import DataError
from metastudy.families.public_summaries import PublicSummaries
from metastudy.families.sentence_rows import SentenceRows
from metastudy.families.summary_family import N_QUERY
from metastudy.lineups.summarization import summarization_methods
from metastudy.own_data import own_documents, stored_summarizer
from metastudy.own_data.documents_file import Row
from metastudy.own_data.own_documents import EARLIER, OwnDocuments, asked_documents, choose_documents, earlier_documents
from metastudy.own_data.stored_summarizer import StoredMixture
from metastudy.project import Project
from metastudy.summarize import Summarizer
from metastudy.train import TrainConfig
from toy_summaries import WORDS, TinyFamily

CONFIG = TrainConfig(steps=2, tasks_per_step=2, validate_every=1)
STORED = pytest.mark.skipif(not Project.at().path(summarize.MODEL).is_file(), reason=f"no {summarize.MODEL}")


def row(i, n_sentences=5, domain="", group=""):
    rng = np.random.default_rng(i)
    sentences = tuple(" ".join(rng.choice(WORDS, 5)).capitalize() + "." for _ in range(n_sentences))
    return Row(f"own.jsonl line {i}", str(i), sentences, (sentences[-1], sentences[0]), domain, group)


def rows(n, **changes):
    return [row(i, **changes) for i in range(n)]


def family_of(found, draws=10, queries=5, shots=(1, 3), **changes):
    return OwnDocuments(choose_documents(found, 10_000).documents, draws, queries, shots, **changes)


@pytest.fixture(scope="module")
def tiny():
    """A toy study, and its third domain as own documents."""
    study = TinyFamily()
    fold = study.folds()[0]
    own = OwnDocuments([study.documents[i] for i in study.domains["c"]], 1, 4, (1, 3), study.fitted_rows(fold))
    return study, fold, own


def test_a_document_is_what_read_examples_makes_of_it():
    found = row(3)
    text = "The walls are seven years old. Paper, paper and light! *** Under it all, music plays."
    for one in (found, Row("", "a", text, ("Music plays under it.",))):
        (document,) = choose_documents([one], 1).documents
        (expected,) = own_texts.read_examples([(one.document, one.summaries)])
        assert document.sentences == expected.sentences and document.summaries == expected.summaries
        assert torch.equal(document.gains, expected.gains) and float(document.gains.max()) > 0.5
        assert torch.equal(asked_documents([one])[0].gains, torch.zeros(len(expected.sentences)))


def test_tasks_and_scores_are_those_of_the_study(tiny):
    study, fold, own = tiny
    spec = study.freeze(np.random.default_rng(0))[0]
    for shots in (1, 3):
        expected, found = study.build(spec, shots, fold), own.build(spec, shots, own.folds()[0])
        for name in ("support_x", "support_y", "query_x", "query_y", "support_group", "query_group"):
            assert torch.equal(getattr(found, name), getattr(expected, name))
        assert found.query_ids == expected.query_ids and found.support_ids == expected.support_ids
        values = torch.randn(len(found.query_y), generator=torch.Generator().manual_seed(shots))
        assert own.score(found, values) == study.score(expected, values)
        assert own.score(found, values) != own.score(found, -values)


class Dialogues(PublicSummaries):
    """The study's documents of one domain."""

    @cached_property
    def _selected(self):
        return tuple(self.select(loaders.load("dialogsum").documents))


@STORED
@needs("dialogsum")
def test_tasks_and_scores_of_public_documents_are_those_of_the_study():
    study = Dialogues(max_documents=60)
    fold = next(f for f in study.folds() if f.test == ("dialogsum",))
    rows = stored_summarizer.load_g().rows
    study._fitted_rows[fold.name] = rows
    own = OwnDocuments(tuple(study.documents.values()), 3, 40, (5,), rows)
    spec = own.freeze(np.random.default_rng(0))[1]
    expected, found = study.build(spec, 5, fold), own.build(spec, 5, own.folds()[0])
    assert torch.equal(found.query_x, expected.query_x) and torch.equal(found.support_y, expected.support_y)
    for column in (0, 1):
        assert own.score(found, found.query_x[:, column]) == study.score(expected, expected.query_x[:, column])


def untrained():
    """g as it begins, with rows of a few documents: needs no file."""
    learner = summarize.learner_of_g()
    train = [d.sentences for d in list(earlier_documents().values())[:50]]
    return Summarizer(learner, learner.init(torch.Generator().manual_seed(0)), SentenceRows.fit(train))


@pytest.mark.parametrize("made", [untrained, pytest.param(stored_summarizer.stored_g, marks=STORED)])
def test_g_chooses_what_summarize_chooses(made):
    g = made()
    real = [d for d in earlier_documents().values() if len(d.sentences) > 4][:20]
    found = [Row("", d.id.strip(), d.sentences, (" ".join((*d.summaries, d.sentences[2])),)) for d in real]
    own = family_of(found, draws=4, fixed_rows=g.rows)
    fitted = StoredMixture.of(g).fit(own, own.folds()[0], CONFIG, 0)
    pairs = []
    for spec in own.freeze(np.random.default_rng(0)):
        for shots in own.shots:
            task = own.build(spec, shots, own.folds()[0])
            chosen = own.chosen(task, fitted.predict([task], shots)[0])
            support = [(own.documents[i].sentences, own.documents[i].summaries) for i in spec.support[0][:shots]]
            expected = summarize.summarize([own.documents[i].sentences for i in spec.query], support, model=g)
            pairs += [(chosen[i], e.chosen) for i, e in zip(spec.query, expected, strict=True)]
    assert len(pairs) == 40 and all(a == b for a, b in pairs)
    assert len({a for a, _ in pairs}) > 5, "they differ, so the comparison says something"


def test_without_its_file_there_is_no_stored_g_and_a_damaged_one_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("METASTUDY_RESULTS", str(tmp_path))
    assert stored_summarizer.stored_g() is None
    path = Project.at().path(summarize.MODEL)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no model")
    with pytest.raises(DataError):
        stored_summarizer.stored_g()


def test_earlier_tasks_are_documentation_of_one_sentence_each():
    own = family_of(rows(12))
    (fold,) = own.folds()
    assert fold.test == ("documents",) and len(fold.train) == 8 and len(fold.validation) == 2
    for part, names in (("train", fold.train), ("validation", fold.validation)):
        for task in own.sample(fold, part, 3, 2, np.random.default_rng(0)):
            assert task.family in names and task.family.startswith(EARLIER)
            assert set(task.query_ids) <= set(earlier_documents()) and len(set(task.query_ids)) == N_QUERY
            assert all(len(picks) == 1 for picks in own.chosen(task, task.query_x[:, 0]).values())
            assert len(own.quality(task, task.query_x[:, 0])) == N_QUERY
    assert own.n_words(["3"]) == round(1.25 * 5)


def test_draws_are_independent_units_with_disjoint_queries():
    own = family_of(rows(40))
    specs = own.freeze(np.random.default_rng(0))
    assert [s.family for s in specs] == [f"documents/{i}" for i in range(10)]
    assert len({i for s in specs for i in s.query}) == 40
    assert all(len(s.support[0]) == 3 and not set(s.query) & set(s.support[0]) for s in specs)
    assert specs != own.freeze(np.random.default_rng(1))


def test_many_domains_are_the_units():
    found = [Row(r.where, r.id, r.document, r.summaries, f"d{i % 6}") for i, r in enumerate(rows(60))]
    specs = family_of(found, draws=2).freeze(np.random.default_rng(0))
    assert [s.family for s in specs] == [f"d{i}" for i in range(6) for _ in range(2)]
    assert all(int(i) % 6 == int(s.family[1:]) for s in specs for i in (*s.query, *s.support[0]))
    five = [Row(r.where, r.id, r.document, r.summaries, f"d{i % 5}") for i, r in enumerate(rows(60))]
    assert [s.family for s in family_of(five, draws=2).freeze(np.random.default_rng(0))][:3] == ["d0/0", "d0/1", "d1/0"]


def test_groups_stay_together_and_few_documents_make_fewer_draws():
    found = [Row(r.where, r.id, r.document, r.summaries, "", f"g{i % 8}") for i, r in enumerate(rows(24))]
    own = family_of(found, fewer=True)
    specs = own.freeze(np.random.default_rng(0))
    assert own.least == 6 <= len(specs) <= 8
    for spec in specs:
        assert not {int(i) % 8 for i in spec.query} & {int(i) % 8 for i in spec.support[0]}
    with pytest.raises(DataError, match="too few"):
        family_of(found).freeze(np.random.default_rng(0))
    with pytest.raises(DataError, match="too few"):
        family_of(found[:15], shots=(14,), fewer=True).freeze(np.random.default_rng(0))


def test_documents_are_chosen_by_hash_and_equally_of_each_domain():
    found = [Row(r.where, r.id, r.document, r.summaries, "ab"[i > 3]) for i, r in enumerate(rows(30))]
    chosen = choose_documents(found, 10).documents
    assert [d.domain for d in chosen].count("a") == 4 and [d.domain for d in chosen].count("b") == 5
    assert [d.id for d in choose_documents(found[::-1], 10).documents] == [d.id for d in chosen], "not by place"
    one = Row("own.jsonl line 99", "99", "Only one.", ("One.",))
    mixed = choose_documents([*rows(3), one], 10)
    assert len(mixed.documents) == 3 and mixed.short == (one,)


def test_documents_that_teach_nothing_or_cannot_be_held_are_refused(monkeypatch):
    with pytest.raises(DataError, match="none of 2 documents has 2 sentences"):
        choose_documents(rows(2, n_sentences=1), 10)
    with pytest.raises(DataError, match="no sentence of 3 documents has a word in common"):
        choose_documents([Row(r.where, r.id, r.document, ("Unsaid.",)) for r in rows(3)], 10)
    with pytest.raises(DataError, match="own.jsonl line 4: the document is mostly in letters other"):
        choose_documents([Row("own.jsonl line 4", "a", "Стена a. Река.", ("Стена.",))], 10)
    with pytest.raises(DataError, match="own.jsonl line 4: the summary holds no word"):
        choose_documents([Row("own.jsonl line 4", "a", "A wall. A river.", ("...",))], 10)
    monkeypatch.setattr(own_documents, "CHARACTERS", 1000)
    with pytest.raises(DataError, match="use --documents 7"):
        choose_documents([Row("", str(i), "A wall. " * 16, ("A wall.",)) for i in range(10)], 10)
    assert choose_documents([Row("", str(i), "A wall. " * 16, ("A wall.",)) for i in range(10)], 7).documents


def test_families_travel_and_are_told_apart():
    own = family_of(rows(12))
    twin = pickle.loads(pickle.dumps(own))
    assert repr(twin) == repr(own) and own.content_hash() in repr(own)
    assert twin.freeze(np.random.default_rng(0)) == own.freeze(np.random.default_rng(0))
    other = family_of([*rows(11), row(99)])
    asked = family_of(rows(12), asked=[*asked_documents([row(50)])])
    assert len({repr(own), repr(other), repr(asked), repr(family_of(rows(12), queries=4))}) == 4
    tools = next(m for m in summarization_methods(own) if m.name == "tools")
    fitted = tools.fit(own, own.folds()[0], CONFIG, 0)
    (task,) = [own.build(s, 3, own.folds()[0]) for s in own.freeze(np.random.default_rng(0))[:1]]
    again = pickle.loads(cloudpickle.dumps(fitted))
    assert torch.equal(again.predict([task], 3)[0], fitted.predict([task], 3)[0])

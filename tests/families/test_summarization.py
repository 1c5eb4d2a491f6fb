"""Summarization tasks: right labels, no leak from other packages, frozen lists that repeat."""

import dataclasses
import pickle

import numpy as np
import pytest
import torch

from metastudy import corpus
from metastudy.errors import DataError, ParameterError
from metastudy.families.documents import TOOLS
from metastudy.families.sentence_rows import n_features
from metastudy.families.summarization import DOMAINS, DocumentationSummaries
from metastudy.tasks import collate
from metastudy.text import rouge


def small() -> DocumentationSummaries:
    return DocumentationSummaries(max_documents=30, max_sentences=12, draws=2, queries=5)


@pytest.fixture(scope="module")
def family():
    return small()


@pytest.fixture(scope="module")
def fold(family):
    return family.folds()[0]


@pytest.fixture(scope="module")
def spec(family):
    return family.freeze(np.random.default_rng(0))[0]


def test_domains_are_the_corpus_and_each_is_tested_once(family):
    assert sorted(DOMAINS) == sorted(corpus.PACKAGES)
    assert sorted(n for f in family.folds() for n in f.test) == sorted(DOMAINS)


def test_a_task_is_what_its_spec_says(family, fold, spec):
    task = family.build(spec, 5, fold)
    assert task.family in fold.test and task.kind == "ranking"
    documents = [family.documents[i] for i in spec.support[0][:5]]
    assert len(task.support_x) == sum(len(d.sentences) for d in documents)
    assert task.support_x.shape[1] == n_features("none") == family.model().in_dim
    first = documents[0]
    by_hand = [rouge(s, [first.summary])["rouge1"] / 100 for s in first.sentences]
    assert task.support_y[task.support_group == 0].tolist() == pytest.approx(by_hand)
    assert set(task.query_ids) == set(spec.query)
    assert task.query_y.min() >= 0 and task.query_y.max() <= 1
    collate([task, family.build(spec, 1, fold)])


def test_supports_are_nested_and_the_query_stays(family, fold, spec):
    small_task, large = family.build(spec, 1, fold), family.build(spec, 20, fold)
    n = len(small_task.support_y)
    assert torch.equal(large.support_x[:n], small_task.support_x)
    assert torch.equal(large.query_x, small_task.query_x)


def test_baselines_choose_what_they_should(family, fold, spec):
    task = family.build(spec, 1, fold)
    assert tuple(b.name for b in family.field_baselines) == TOOLS
    lead, *others = (b.sign * task.query_x[:, b.column] for b in family.field_baselines)
    assert set(family.chosen(task, lead).values()) == {(0,)}
    best = {s.task: s.value for s in family.oracle(task) if s.metric == "rouge1"}
    for tool in others:
        scores = {s.task: s.value for s in family.score(task, tool) if s.metric == "rouge1"}
        assert len(scores) == len(spec.query)
        assert all(scores[t] <= best[t] + 1e-6 for t in scores)


def test_a_summary_is_the_best_sentence_and_names_have_no_length(family, fold, spec):
    task = family.build(spec, 10, fold)
    prediction = torch.randn(len(task.query_y), generator=torch.Generator().manual_seed(0))
    assert family.n_words(spec.support[0]) is None and set(task.query_ids) == set(spec.query)
    for i, picks in family.chosen(task, prediction).items():
        own = prediction[[row for row, name in enumerate(task.query_ids) if name == i]]
        assert picks == (int(own.argmax()),)
    best = {s.task: s.value for s in family.oracle(task) if s.metric == "rouge1"}
    expected = {f"{spec.id}:{i}": 100 * float(family.documents[i].gains.max()) for i in spec.query}
    assert best == pytest.approx(expected), "of a single sentence the oracle is exact"


@pytest.mark.parametrize("encoder", ["none", "lsa"])
def test_the_encoder_says_how_many_numbers_are_known_of_a_sentence(fold, encoder):
    other = DocumentationSummaries(max_documents=30, max_sentences=12, draws=2, queries=5, encoder=encoder)
    task = other.build(other.freeze(np.random.default_rng(0))[0], 1, fold)
    assert task.support_x.shape[1] == task.query_x.shape[1] == other.model().in_dim == n_features(encoder)
    assert f"encoder='{encoder}'" in repr(other) and pickle.loads(pickle.dumps(other)).encoder == encoder


def test_an_unknown_encoder_is_an_error():
    with pytest.raises(ParameterError, match="encoder = 'bert'; expected one of none, lsa, minilm"):
        DocumentationSummaries(encoder="bert")


def test_score_is_the_rouge_of_the_chosen_sentence_and_ties_go_to_the_first(family, fold, spec):
    task = family.build(spec, 1, fold)
    document = family.documents[spec.query[0]]
    score = {s.metric: s.value for s in family.score(task, torch.zeros(len(task.query_y))) if spec.query[0] in s.task}
    assert score == pytest.approx(rouge(document.sentences[0], [document.summary]))


def test_too_few_documents_for_a_training_task_is_an_error():
    family = DocumentationSummaries(max_documents=20)
    with pytest.raises(DataError, match="20 documents in 20 groups are too few for 20 in support"):
        family.sample(family.folds()[0], "train", 20, 1, np.random.default_rng(0))


def test_frozen_lists_repeat_and_fit_another_process(family):
    again = pickle.loads(pickle.dumps(family))
    assert not again._rows and not again._fitted_rows and "documents" not in vars(again)
    assert again.freeze(np.random.default_rng(3)) == family.freeze(np.random.default_rng(3))
    assert again.freeze(np.random.default_rng(3)) != family.freeze(np.random.default_rng(4))
    assert again.content_hash() == family.content_hash()


def test_training_tasks_come_from_their_own_part_and_repeat(family, fold):
    tasks = family.sample(fold, "train", 5, 20, np.random.default_rng(0))
    assert {t.family for t in tasks} <= set(fold.train)
    assert {t.family for t in family.sample(fold, "validation", 1, 9, np.random.default_rng(0))} <= set(fold.validation)
    again = family.sample(fold, "train", 5, 20, np.random.default_rng(0))
    assert all(torch.equal(a.query_x, b.query_x) for a, b in zip(tasks, again, strict=True))
    assert not any(set(t.query_ids) - set(family.domains[t.family]) for t in tasks)


def test_an_unknown_id_is_an_error(family, fold, spec):
    with pytest.raises(DataError, match="no.such.document.*freeze again"):
        family.build(dataclasses.replace(spec, query=("no.such.document",)), 1, fold)


def test_other_test_and_validation_packages_have_no_influence(family, fold, spec, monkeypatch):
    """Words, vectors and scales come from training packages: changing all others leaves a task's inputs alone."""
    others = {*fold.test, *fold.validation} - {spec.family}
    changed = corpus.Corpus(
        tuple(
            dataclasses.replace(e, body=tuple(f"zebra zebra {s} zebra" for s in e.body)) if e.package in others else e
            for e in corpus.load().entries
        )
    )
    before = family.build(spec, 5, fold)
    monkeypatch.setattr(corpus, "load", lambda: changed)
    other = small()
    after = other.build(spec, 5, fold)
    assert torch.equal(before.support_x, after.support_x) and torch.equal(before.query_x, after.query_x)
    assert any("zebra" in s for d in other.documents.values() for s in d.sentences), "the change did arrive"

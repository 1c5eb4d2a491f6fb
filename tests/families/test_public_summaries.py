"""Public summarization tasks: lengths from the support alone, groups on one side, nothing seen of what is tested."""

import dataclasses
import os
import pickle

import numpy as np
import pytest
import torch

from at_hand import needs
from metastudy import cache, loaders
from metastudy.errors import DataError, ParameterError
from metastudy.families.base import TaskSpec
from metastudy.families.documents import LEAD
from metastudy.families.public_summaries import DOMAINS, FAMILIES, PublicSummaries
from metastudy.families.summary_family import Document, greedy
from metastudy.loaders.summaries import SourceDocument, Summaries
from metastudy.tasks import collate
from metastudy.text import rouge, words

WORDS = ["stone", "river", "cloud", "green", "walks", "seven", "paper", "light", "under", "music", "table", "house"]
SIZES = {"max_documents": 36, "max_sentences": 6, "draws": 2, "queries": 5}


def a_document(domain: str, i: int, rng: np.random.Generator) -> SourceDocument:
    """Five sentences, and a summary of the words of two of them; nine documents of a group where domains have them."""
    units = tuple(" ".join(rng.choice(WORDS, 5)) + f" {domain[:3]}." for _ in range(5))
    group = f"group{i % 4}" if domain in ("opinosis", "qmsum") else ""
    return SourceDocument(
        f"{domain}/{i}", domain, units, "sentences", (f"{units[1]} {units[3]}", "Nothing alike."), group=group
    )


def a_source(domain: str) -> Summaries:
    rng = np.random.default_rng(DOMAINS.index(domain))
    return Summaries(tuple(a_document(domain, i, rng) for i in range(36)), {}, {})


REAL = loaders.load, cache.folder


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    """Ten small sources in place of the real ones, by name: tests may change one."""
    sources = {domain: a_source(domain) for domain in DOMAINS}
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loaders, "load", sources.__getitem__)
        patch.setattr(cache, "folder", lambda: folder)
        yield sources


@pytest.fixture(scope="module")
def family(toys):
    found = PublicSummaries(**SIZES)
    found.documents  # noqa: B018  (built while the toys are in place)
    return found


@pytest.fixture(scope="module")
def specs(family):
    return family.freeze(np.random.default_rng(0))


def build(family, spec, shots):
    return family.build(spec, shots, next(f for f in family.folds() if f.name == spec.fold))


def test_each_domain_is_tested_once_and_no_sibling_validates():
    folds = PublicSummaries().folds()
    assert sorted(name for fold in folds for name in fold.test) == sorted(DOMAINS) and len(folds) == 10
    for fold in folds:
        assert sorted(fold.train + fold.validation + fold.test) == sorted(DOMAINS)
        assert len(fold.validation) == 2
        assert FAMILIES[fold.test[0]] not in {FAMILIES[name] for name in fold.validation}


def test_a_family_held_out_has_no_sibling_in_training(family, specs):
    apart = PublicSummaries(**SIZES, hold_out="family")
    for fold, usual in zip(apart.folds(), family.folds(), strict=True):
        kind = FAMILIES[fold.test[0]]
        assert fold.train == tuple(name for name in usual.train if FAMILIES[name] != kind) != ()
        assert (fold.name, fold.validation, fold.test) == (usual.name, usual.validation, usual.test)
    assert len(apart.folds()[DOMAINS.index("opinosis")].train) == 5
    assert apart.freeze(np.random.default_rng(0)) == specs, "the tasks are the same"
    assert apart.task_list != family.task_list and repr(apart) != repr(family)
    with pytest.raises(ParameterError, match="hold_out = 'kind'; expected one of domain, family"):
        PublicSummaries(hold_out="kind")


def test_labels_are_rouge_1_against_the_reference_that_fits_best(family, specs):
    spec = specs[0]
    task = build(family, spec, 5)
    collate([task, build(family, spec, 1)])
    document = family.documents[spec.support[0][0]]
    by_hand = [max(rouge(s, [r])["rouge1"] for r in document.summaries) / 100 for s in document.sentences]
    assert task.support_y[task.support_group == 0].tolist() == pytest.approx(by_hand)
    assert task.support_x.shape[1] == family.model().in_dim and 0 <= task.query_y.min() <= task.query_y.max() <= 1


def test_which_documents_and_sentences_are_used():
    def document(i, n, domain="bbc", split="all"):
        return SourceDocument(
            f"{domain}/{i}", domain, tuple(f"Word {j}." for j in range(n)), "sentences", ("A.",), split
        )

    family = PublicSummaries(max_documents=3, max_sentences=4, draws=1, queries=1)
    lengths = dict(enumerate((1, 2, 8, 9)))
    assert {len(d.units) for d in family.select([document(i, n) for i, n in lengths.items()])} == {2, 8}
    unordered = [document(i, n, "opinosis") for i, n in lengths.items()]
    assert {len(d.units) for d in family.select(unordered)} == {2, 8, 9}, "no order, so the first four will do"
    several = [document(f"{split}{i}", 3, split=split) for i in range(2) for split in ("train", "validation", "test")]
    assert [d.split for d in family.select(several)] == ["test", "test", "validation"]
    assert family.select(several) == family.select(several[::-1])


def test_sentences_beyond_the_limit_are_neither_input_nor_label(toys):
    short = PublicSummaries(**SIZES | {"max_sentences": 3})
    assert {len(d.sentences) for d in short.documents.values()} == {3}
    task = short.build(short.freeze(np.random.default_rng(0))[0], 2, short.folds()[0])
    assert len(task.support_y) == 6


def with_lengths(family, lengths):
    """A copy of the family in which these documents have summaries of other lengths."""
    changed = PublicSummaries(**SIZES)
    changed.documents = family.documents | {
        i: dataclasses.replace(family.documents[i], length=length) for i, length in lengths.items()
    }
    return changed


def test_the_number_of_sentences_comes_from_the_support_alone(family, specs):
    spec = specs[2]
    first, second, third = spec.support[0][:3]
    lengths = {first: 1.4, second: 3.4, third: 2.6} | dict.fromkeys(spec.query, 9.0)
    changed = with_lengths(family, lengths)
    assert [changed.n_sentences(spec.support[0][:k]) for k in (1, 2, 3)] == [1, 2, 3]  # medians 1.4, 2.4, 2.6
    for shots, n in ((1, 1), (3, 3)):
        chosen = changed.chosen(build(changed, spec, shots), build(changed, spec, shots).query_y)
        assert {len(picks) for picks in chosen.values()} == {n} and set(chosen) == set(spec.query)


def test_a_length_is_the_summary_in_sentences_of_its_document(family):
    document = next(iter(family.documents.values()))
    per_sentence = np.mean([len(words(s)) for s in document.sentences])
    assert per_sentence == 6 and document.length == pytest.approx((12 + 2) / 2 / 6)


def test_a_summary_keeps_the_order_of_its_document(family, specs):
    spec = specs[2]
    changed = with_lengths(family, dict.fromkeys(spec.support[0], 2.0))
    task = build(changed, spec, 5)
    at = [row for row, name in enumerate(task.query_ids) if name == f"{spec.query[0]}|2"]
    prediction = torch.zeros(len(task.query_y))
    prediction[at[4]], prediction[at[1]] = 2.0, 1.0
    chosen = changed.chosen(task, prediction)
    assert chosen[spec.query[0]] == (1, 4) and chosen[spec.query[1]] == (0, 1), "of equal ones the first"
    document = changed.documents[spec.query[0]]
    expected = rouge(f"{document.sentences[1]} {document.sentences[4]}", document.summaries)
    found = {s.metric: s.value for s in changed.score(task, prediction) if s.task == f"{spec.id}:{spec.query[0]}"}
    assert found == pytest.approx(expected)
    assert pickle.loads(pickle.dumps(task)).query_ids == task.query_ids, "what scoring needs travels with the task"


def test_greedy_takes_what_adds_most():
    sentences = ("red green blue", "red green", "yellow", "grey")
    gains = torch.tensor([rouge(s, ["red green blue yellow"])["rouge1"] / 100 for s in sentences])
    document = Document("d", "x", sentences, ("red green blue yellow",), gains, "d")
    assert greedy(document, 1) == [0] and greedy(document, 2) == [0, 2], "not the second best on its own"
    assert sorted(greedy(document, 9)) == [0, 1, 2, 3]


def test_the_oracle_is_above_every_choice(family, specs):
    spec = specs[2]
    changed = with_lengths(family, dict.fromkeys(spec.support[0], 2.0))
    task = build(changed, spec, 5)
    best = {s.task: s.value for s in changed.oracle(task) if s.metric == "rouge1"}
    assert len(best) == len(spec.query) and min(best.values()) > 99, "the summary is two of the sentences"
    lead = {s.task: s.value for s in changed.score(task, task.query_x[:, LEAD]) if s.metric == "rouge1"}
    assert all(lead[t] <= best[t] for t in best)


def test_no_group_is_on_both_sides(family, specs):
    group = {i: d.group for i, d in family.documents.items()}
    fold = next(f for f in family.folds() if "qmsum" in f.train and "opinosis" in f.train)
    drawn = family.sample(fold, "train", 20, 30, np.random.default_rng(0))
    drawn += family.sample(fold, "train", 1, 30, np.random.default_rng(1))
    for spec in specs:
        assert len(spec.support[0]) == 20 and spec.query
        assert not {group[i] for i in spec.support[0]} & {group[i] for i in spec.query}
    rows = {
        i: row.numpy().tobytes() for i, rows in family.rows(fold).items() for row in rows[:1]
    }  # the first sentence tells a document
    named = {row: i for i, row in rows.items()}
    assert {t.family for t in drawn} >= {"qmsum", "opinosis"}
    for task in drawn:
        firsts = np.unique(task.support_group.numpy(), return_index=True)[1]
        support = {group[named[task.support_x[i].numpy().tobytes()]] for i in firsts}
        assert not support & {group[name.partition("|")[0]] for name in task.query_ids}


def test_training_tasks_come_from_their_own_part_and_repeat(family):
    fold = family.folds()[4]
    tasks = family.sample(fold, "train", 5, 20, np.random.default_rng(0))
    assert {t.family for t in tasks} <= set(fold.train)
    assert {t.family for t in family.sample(fold, "validation", 1, 9, np.random.default_rng(0))} == set(fold.validation)
    again = family.sample(fold, "train", 5, 20, np.random.default_rng(0))
    assert all(torch.equal(a.query_x, b.query_x) for a, b in zip(tasks, again, strict=True))


def test_lists_repeat_in_another_process_and_hold_ids_only(family, specs):
    again = pickle.loads(pickle.dumps(family))
    assert "documents" not in vars(again) and not again._rows
    assert again.freeze(np.random.default_rng(0)) == specs and again.content_hash() == family.content_hash()
    assert len(specs) == 20
    with pytest.raises(DataError, match="'bbc/none' is not among the 360"):
        build(family, dataclasses.replace(specs[0], query=("bbc/none",)), 1)


def changed_source(toys, domain, change):
    documents = tuple(change(d) for d in toys[domain].documents)
    return toys | {domain: dataclasses.replace(toys[domain], documents=documents)}


def test_the_content_hash_covers_references_and_groups(toys, family, monkeypatch):
    for change in ({"references": ("Else.",)}, {"group": "one"}):
        other = changed_source(toys, "bbc", lambda d, change=change: dataclasses.replace(d, **change))
        monkeypatch.setattr(loaders, "load", other.__getitem__)
        assert PublicSummaries(**SIZES).content_hash() != family.content_hash()
    other = changed_source(toys, "bbc", lambda d: dataclasses.replace(d, id=d.id + "|2"))
    monkeypatch.setattr(loaders, "load", other.__getitem__)
    with pytest.raises(DataError, match="bbc/.*holds a bar"):
        PublicSummaries(**SIZES).content_hash()


def test_domains_outside_training_have_no_influence_on_inputs(toys, family, specs, monkeypatch):
    spec = specs[0]
    fold = next(f for f in family.folds() if f.name == spec.fold)
    before = family.build(spec, 5, fold)
    other = toys
    for domain in fold.validation:
        other = changed_source(
            other, domain, lambda d: dataclasses.replace(d, units=tuple(f"zebra {u} zebra" for u in d.units))
        )
    monkeypatch.setattr(loaders, "load", other.__getitem__)
    changed = PublicSummaries(**SIZES)
    after = changed.build(spec, 5, fold)
    assert torch.equal(before.support_x, after.support_x) and torch.equal(before.query_x, after.query_x)
    assert any("zebra" in s for d in changed.documents.values() for s in d.sentences), "the change did arrive"


@pytest.mark.skipif("METASTUDY_SLOW_TESTS" not in os.environ, reason="takes a minute; set METASTUDY_SLOW_TESTS=1")
@needs(*DOMAINS)
def test_the_real_domains(monkeypatch):
    """Sizes, and lengths that fit what is known of each source: one sentence of a paper, six of a news summary."""
    monkeypatch.setattr(loaders, "load", REAL[0])
    monkeypatch.setattr(cache, "folder", REAL[1])
    family = PublicSummaries()
    assert {name: len(ids) for name, ids in family.domains.items()} == dict.fromkeys(DOMAINS, 200) | {
        "opinosis": 51, "fewsum_amazon": 60, "fewsum_yelp": 100, "qmsum": 197,
    }  # fmt: skip
    lengths = {name: family.n_sentences(ids) for name, ids in family.domains.items()}
    assert lengths["scitldr"] == lengths["meqsum"] == lengths["opinosis"] == 1
    assert lengths["cnn_dailymail"] == 2 and lengths["bbc"] >= 6 and lengths["fewsum_yelp"] == 4
    specs = family.freeze(np.random.default_rng(0))
    assert len(specs) == 30 and min(len(spec.query) for spec in specs) >= 10
    spec = specs[0]
    assert isinstance(spec, TaskSpec) and len(build(family, spec, 20).query_ids) > 500

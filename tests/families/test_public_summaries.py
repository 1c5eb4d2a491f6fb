"""Public summarization tasks: lengths from the support alone, groups on one side, nothing seen of what is tested."""

import dataclasses
import os
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from at_hand import needs
from metastudy import cache, loaders
from metastudy.errors import DataError, ParameterError
from metastudy.families.base import TaskSpec
from metastudy.families.public_summaries import DOMAINS, FAMILIES, PublicSummaries
from metastudy.families.selection import LENGTH, choose
from metastudy.families.summary_family import Document, greedy, named
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
    """A copy of the family in which these documents have summaries of other numbers of words."""
    changed = PublicSummaries(**SIZES)
    changed.documents = family.documents | {
        i: dataclasses.replace(family.documents[i], summaries=(" ".join(["word"] * n),)) for i, n in lengths.items()
    }
    return changed


def test_the_number_of_words_comes_from_the_support_alone(family, specs):
    spec = specs[2]
    first, second, third = spec.support[0][:3]
    changed = with_lengths(family, {first: 8, second: 28, third: 20} | dict.fromkeys(spec.query, 90))
    expected = [round(LENGTH * median) for median in (8, 18, 20)]
    assert [changed.n_words(spec.support[0][:k]) for k in (1, 2, 3)] == expected and len(set(expected)) == 3
    for shots, n_words in ((1, expected[0]), (3, expected[2])):
        task = build(changed, spec, shots)
        assert set(task.query_ids) == {f"{i}|{n_words}" for i in spec.query}, "each row's name says the length"
        chosen = changed.chosen(task, task.query_y)
        assert set(chosen) == set(spec.query)
        for i, picks in chosen.items():
            length = sum(len(words(changed.documents[i].sentences[s])) for s in picks)
            assert abs(length - n_words) <= 3, "sentences have six words, so half of one is the furthest"


def test_a_summary_has_one_word_at_least(family):
    changed = with_lengths(family, dict.fromkeys(family.documents, 0))
    assert changed.n_words(list(family.documents)[:5]) == 1


def test_the_length_of_a_document_is_the_mean_of_its_summaries_in_words(family):
    document = next(iter(family.documents.values()))
    assert [len(words(s)) for s in document.summaries] == [12, 2] and document.n_words == 7


@given(st.text("ab/|_ 7", min_size=1, max_size=8).filter(lambda i: "|" not in i), st.none() | st.integers(1, 999))
def test_a_query_row_is_named_by_document_and_length(i, n_words):
    assert named(i if n_words is None else f"{i}|{n_words}") == (i, n_words)


def test_a_summary_keeps_the_order_of_its_document(family, specs):
    spec = specs[2]
    changed = with_lengths(family, dict.fromkeys(spec.support[0], 10))
    task = build(changed, spec, 5)
    n_words = changed.n_words(spec.support[0][:5])
    at = [row for row, name in enumerate(task.query_ids) if name == f"{spec.query[0]}|{n_words}"]
    prediction = torch.zeros(len(task.query_y))
    prediction[at[4]], prediction[at[1]] = 2.0, 1.9
    chosen = changed.chosen(task, prediction)
    assert chosen[spec.query[0]] == (1, 4)
    document = changed.documents[spec.query[0]]
    expected = rouge(f"{document.sentences[1]} {document.sentences[4]}", document.summaries)
    found = {s.metric: s.value for s in changed.score(task, prediction) if s.task == f"{spec.id}:{spec.query[0]}"}
    assert found == pytest.approx(expected)
    assert pickle.loads(pickle.dumps(task)).query_ids == task.query_ids, "what scoring needs travels with the task"


def test_each_document_is_chosen_from_by_its_own_scores(family, specs):
    """As `selection` does for one document; nothing passes between documents of a task."""
    task = build(family, specs[2], 3)
    prediction = torch.randn(len(task.query_y), generator=torch.Generator().manual_seed(0))
    chosen = family.chosen(task, prediction)
    for i in specs[2].query:
        own = [row for row, name in enumerate(task.query_ids) if named(name)[0] == i]
        n_words = family.n_words(specs[2].support[0][:3])
        assert chosen[i] == choose(prediction[own].double().numpy(), family.documents[i].for_selection, n_words)


def a_toy(sentences, summary):
    gains = torch.tensor([rouge(s, [summary])["rouge1"] / 100 for s in sentences])
    return Document("d", "x", tuple(sentences), (summary,), gains, "d")


def test_greedy_takes_what_adds_most():
    document = a_toy(("red green blue", "red green", "yellow", "grey"), "red green blue yellow")
    assert greedy(document, None) == greedy(document, 1) == [0]
    assert greedy(document, 4) == [0, 2], "not the second best on its own"
    assert greedy(document, 99) == [0, 2], "what lowers ROUGE is left out, though there is room"


def test_greedy_stops_where_the_length_would_be_further_from_what_is_asked():
    """Lengths 3, 1 and 2: the third brings 3 to 5, and the second that to 6."""
    document = a_toy(("red green blue", "yellow", "white black"), "red green blue yellow white black")
    found = {n: greedy(document, n) for n in (1, 3, 4, 5, 6)}
    assert found == {1: [0], 3: [0], 4: [0, 2], 5: [0, 2], 6: [0, 2, 1]}


def test_the_oracle_is_above_every_choice(family, specs):
    spec = specs[2]
    changed = with_lengths(family, dict.fromkeys(spec.support[0], 10))  # room for two sentences of six words
    task = build(changed, spec, 5)
    best = {s.task: s.value for s in changed.oracle(task) if s.metric == "rouge1"}
    assert len(best) == len(spec.query) and min(best.values()) > 99, "the summary is two of the sentences"
    for baseline in changed.field_baselines:
        tool = task.query_x[:, baseline.column]
        found = {s.task: s.value for s in changed.score(task, tool) if s.metric == "rouge1"}
        assert all(found[t] <= best[t] for t in best)


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
    assert "documents" not in vars(again) and not again._rows and not again._fitted_rows
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
    """Sizes, and lengths in words that fit what is known of each source: a question, a line of chat, a news summary."""
    monkeypatch.setattr(loaders, "load", REAL[0])
    monkeypatch.setattr(cache, "folder", REAL[1])
    family = PublicSummaries()
    assert {name: len(ids) for name, ids in family.domains.items()} == dict.fromkeys(DOMAINS, 200) | {
        "opinosis": 51, "fewsum_amazon": 60, "fewsum_yelp": 100, "qmsum": 197,
    }  # fmt: skip
    lengths = {name: family.n_words(ids) for name, ids in family.domains.items()}
    usual = {"meqsum": 10, "dialogsum": 50 / 3, "opinosis": 16.8, "scitldr": 21, "cnn_dailymail": 47.5, "bbc": 151}
    assert {name: lengths[name] for name in usual} == {name: round(LENGTH * n) for name, n in usual.items()}
    specs = family.freeze(np.random.default_rng(0))
    assert len(specs) == 30 and min(len(spec.query) for spec in specs) >= 10
    spec = specs[0]
    assert isinstance(spec, TaskSpec) and len(build(family, spec, 20).query_ids) > 500

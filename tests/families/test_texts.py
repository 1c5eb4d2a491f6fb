"""Intents and symptoms: what is tested is never trained on, frozen tasks nest, vectors see training texts alone."""

from __future__ import annotations

import dataclasses
import json
import math
import pickle
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pytest
import torch

from at_hand import needs
from helpers import NoTestFold
from metastudy import task_lists
from metastudy.adapt import Prototypes
from metastudy.errors import DataError, ParameterError
from metastudy.families import texts
from metastudy.families.texts import GROUPS, Intents, Symptoms, TextTasks
from metastudy.loaders.intents import LabelledTexts
from metastudy.loaders.symptoms import DISEASES
from metastudy.methods import MetaMethod
from metastudy.tasks import Task
from metastudy.train import TrainConfig

DOMAINS = tuple(domain for group in GROUPS for domain in group)
N_QUERY = 3
PER_CLASS = 10 + N_QUERY + 2  # a few more than a task takes


def words(i: int) -> str:
    """Another word for every number."""
    return "".join(chr(97 + int(digit)) for digit in str(i)) + "zz"


def made(domains: dict[str, Sequence[str]], per_class: int = PER_CLASS) -> LabelledTexts:
    """Texts of two words of their domain, one of their label, and one of their own."""
    rows = [
        (f"{domain} {domain}word {label}mark {words(i)}", label, "train")
        for domain, labels in domains.items()
        for label in labels
        for i in range(per_class)
    ]
    table = pd.DataFrame(rows, columns=["text", "label", "split"])
    return LabelledTexts.repair(table, {k: domain for domain, labels in domains.items() for k in labels}, {})


def given(family: TextTasks, *sources: LabelledTexts) -> TextTasks:
    family.__dict__["sources"] = sources
    return family


def intents(per_class: int = PER_CLASS, **settings) -> Intents:
    """Six intents for each domain; banking77 uses a label of another source too."""
    labels = {d: [f"{d.replace('_', '')}{c}" for c in "abcdef"] for d in DOMAINS}
    labels["banking77"][0] = labels["travel"][0]
    bank = made({"banking77": labels.pop("banking77")}, per_class)
    return given(Intents(n_query=N_QUERY, n_test=4, dim=12, **settings), made(labels, per_class), bank)


def symptoms(**settings) -> Symptoms:
    found = made({d: [d] for d in DISEASES})
    return given(Symptoms(n_query=N_QUERY, n_test=5, dim=12, **settings), dataclasses.replace(found, synthetic=True))


MAKE: tuple[Callable[..., TextTasks], ...] = (intents, symptoms)
both = pytest.mark.parametrize("make", MAKE)


def domain_of(label: str) -> str:
    return label.split("/")[0]


def rows_of(task: Task) -> list[int]:
    return [int(i) for i in task.query_ids]


@pytest.mark.parametrize(("family", "names"), [(Intents(), DOMAINS), (Symptoms(), DISEASES)])
def test_folds_test_every_domain_once_and_keep_it_apart(family, names):
    tested = []
    for fold in family.folds():
        parts = [*fold.train, *fold.validation, *fold.test]
        assert sorted(parts) == sorted(names), "together all, and none twice"
        tested += fold.test
    assert sorted(tested) == sorted(names)


def test_domains_about_money_are_always_on_one_side():
    for fold in Intents().folds():
        for part in (fold.train, fold.validation, fold.test):
            assert len({"banking", "credit_cards", "banking77"} & set(part)) in (0, 3)


@both
@pytest.mark.parametrize("part", ["train", "validation"])
def test_sampled_tasks_hold_classes_of_their_part_only(make, part):
    family = make()
    for fold in family.folds():
        tasks = family.sample(NoTestFold(fold), part, 2, 8, np.random.default_rng(0))
        assert len(tasks) == 8
        for task in tasks:
            assert task.n_classes == len(set(task.class_names)) == 5
            assert task.support_x.shape == (10, 12) and task.query_x.shape == (5 * N_QUERY, 12)
            assert task.support_y.tolist() == np.repeat(range(5), 2).tolist()
            assert task.query_y.tolist() == np.repeat(range(5), N_QUERY).tolist()
            assert [family.labels[row] for row in rows_of(task)] == [task.class_names[c] for c in task.query_y]
            domains = {domain_of(label) for label in task.class_names}
            assert domains <= set(getattr(fold, part)) - set(fold.test)
            assert make is symptoms or domains == {task.family}, "intents of one domain"


def test_every_domain_is_drawn_and_a_label_of_two_sources_is_two_classes():
    family = intents()
    fold = family.folds()[1]  # trains on travel and not on banking77
    tasks = family.sample(fold, "train", 1, 60, np.random.default_rng(0))
    assert {task.family for task in tasks} == set(fold.train)
    assert {len(family.classes[domain]) for domain in DOMAINS} == {6}
    assert {"travel/travela", "banking77/travela"} <= set(family.labels)


@both
def test_frozen_tasks_nest_and_share_their_query(make):
    family = make()
    specs = family.freeze(np.random.default_rng(1))
    assert specs == make().freeze(np.random.default_rng(1)) != family.freeze(np.random.default_rng(2))
    assert len({spec.id for spec in specs}) == len(specs) == (11 * 4 if make is intents else 4 * 5)
    folds = {fold.name: fold for fold in family.folds()}
    for spec in specs:
        fold = folds[spec.fold]
        assert [len(ids) for ids in spec.support] == [10] * 5 and len(spec.query) == 5 * N_QUERY
        rows = [row for ids in spec.support for row in ids] + list(spec.query)
        assert len(set(rows)) == len(rows)
        assert {domain_of(family.labels[row]) for row in rows} <= set(fold.test)
        assert spec.family in fold.test or (make is symptoms and spec.family == f"synthetic {fold.name}")
    one, ten = (family.build(specs[0], k, folds[specs[0].fold]) for k in (1, 10))
    assert len(one.support_x) == 5 and len(ten.support_x) == 50
    assert torch.equal(one.support_x, ten.support_x[::10]) and torch.equal(one.query_x, ten.query_x)
    vectors = family.vectors(folds[specs[0].fold])
    assert torch.equal(ten.support_x[:10], vectors[list(specs[0].support[0])])
    assert torch.equal(one.query_x, vectors[list(specs[0].query)])


def test_tfidf_knows_the_words_of_the_training_texts_alone():
    family = intents()
    for fold in family.folds():
        vectors = family.vectors(fold)
        own_word = {d: family.texts.index(next(t for t in family.texts if t.startswith(f"{d} "))) for d in DOMAINS}
        alone = texts.TfidfSvd([t for t in family.texts if t.split()[0] in fold.train], 12)
        assert torch.equal(vectors, torch.from_numpy(alone(family.texts)))
        assert not alone([f"{fold.test[0]}word"]).any() and alone([f"{fold.train[0]}word"]).any()
        assert all(vectors[row].norm() > 0.99 for d, row in own_word.items() if d in fold.train)


def test_minilm_is_asked_once_for_all_folds(monkeypatch):
    asked = []

    class Fake:
        def __init__(self, encoder) -> None:
            assert repr(encoder) == "MiniLM(max_tokens=128)"

        def __call__(self, found) -> np.ndarray:
            asked.append(tuple(found))
            return np.ones((len(found), 384), dtype=np.float32)

    monkeypatch.setattr(texts, "CachedEncoder", Fake)
    family = symptoms(encoder="minilm")
    for fold in family.folds():
        assert family.sample(fold, "train", 1, 1, np.random.default_rng(0))[0].query_x.shape == (5 * N_QUERY, 384)
    assert asked == [family.texts]
    assert family.model().in_dim == 384 and symptoms().model().in_dim == 12


def test_rows_that_do_not_fit_the_data_are_refused():
    family = symptoms()
    spec, fold = family.freeze(np.random.default_rng(0))[0], family.folds()[0]
    assert family.build(spec, 1, fold).n_classes == 5
    outside = dataclasses.replace(spec, query=(*spec.query[:-1], len(family.texts)))
    with pytest.raises(DataError, match=f"asks for row {len(family.texts)} of {len(family.texts)}"):
        family.build(outside, 1, fold)
    mixed = dataclasses.replace(spec, support=(spec.support[1], *spec.support[1:]))
    swapped = dataclasses.replace(spec, support=((*spec.support[1][:1], *spec.support[0][1:]), *spec.support[1:]))
    stranger = next(i for i, c in enumerate(family.labels) if c not in {family.labels[ids[0]] for ids in spec.support})
    strange = dataclasses.replace(spec, query=(*spec.query[:-1], stranger))
    for wrong in (mixed, swapped, strange):
        with pytest.raises(DataError, match="draw the task list anew"):
            family.build(wrong, 2, fold)


def test_what_cannot_be_served_is_refused():
    with pytest.raises(DataError, match="has 12 texts, one of 66 too small; a task takes 10 examples and 3 queries"):
        intents(per_class=12).freeze(np.random.default_rng(0))
    with pytest.raises(DataError, match=r"6 classes to draw 7 from \(banking/bankinga, ...\); lower ways"):
        intents(ways=7).freeze(np.random.default_rng(0))
    for wrong in ({"shots": (11,)}, {"ways": 1}, {"ways": 7}, {"encoder": "minilmm"}):
        with pytest.raises(ParameterError, match="expected"):
            Symptoms(**wrong)
    with pytest.raises(ParameterError, match="did you mean 'minilm'"):
        Intents(encoder="minilmm")


def test_scores_by_hand():
    x, y = torch.zeros(2, 3), torch.tensor([0, 1])
    task = Task("t", "f", "classification", x, y, torch.zeros(4, 3), torch.tensor([0, 0, 1, 1]), n_classes=2)
    p = torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.0, 1.0]])
    accuracy, log_loss = Symptoms().score(task, p)
    assert (accuracy.task, accuracy.metric, accuracy.value) == ("t", "accuracy", 0.75)
    assert log_loss.value == pytest.approx(-(math.log(0.9) + math.log(0.4) + math.log(0.8)) / 4)


@both
def test_it_travels_without_its_data(make):
    family = make()
    family.vectors(family.folds()[0])
    packed = pickle.dumps(family)
    assert len(packed) < 400 and repr(pickle.loads(packed)) == repr(family)
    assert "sources" not in vars(pickle.loads(packed))


def test_the_hash_is_of_texts_and_labels():
    family = symptoms()
    assert family.content_hash() == symptoms(ways=4).content_hash()
    first = family.sources[0]
    for changed in ({"texts": ("other", *first.texts[1:])}, {"labels": (first.labels[-1], *first.labels[1:])}):
        assert given(Symptoms(), dataclasses.replace(first, **changed)).content_hash() != family.content_hash()


def test_a_method_learns_to_tell_the_marks_apart():
    family = symptoms()
    fold = family.folds()[0]
    fitted = MetaMethod("prototypes", (Prototypes(),)).fit(family, fold, TrainConfig(steps=2, tasks_per_step=2), 0)
    tasks = family.sample(fold, "train", 5, 4, np.random.default_rng(5))
    accuracy = [family.score(t, p)[0].value for t, p in zip(tasks, fitted.predict(tasks, 5), strict=True)]
    assert np.mean(accuracy) > 0.6


@pytest.fixture(scope="module")
def real() -> dict[str, TextTasks]:
    return {"intents": Intents(dim=8), "symptoms": Symptoms()}


@needs("banking77", "clinc150", "symptom2disease")
@pytest.mark.parametrize(("name", "n_texts", "n_tasks"), [("intents", 35450, 440), ("symptoms", 1153, 160)])
def test_real_tasks(real, name, n_texts, n_tasks, tmp_path):
    family = real[name]
    assert len(family.texts) == n_texts
    path = task_lists.write(family, tmp_path)
    specs = task_lists.read(family, tmp_path)
    assert len(specs) == n_tasks and path.stat().st_size < 400_000
    assert json.loads(path.read_text(encoding="utf-8"))["study"] == name
    fold = family.folds()[-1]
    for spec in [s for s in specs if s.fold == fold.name][::20]:
        task = family.build(spec, 10, fold)
        assert len(task.query_y) == 75 and {domain_of(c) for c in task.class_names} <= set(fold.test)
        said = {family.texts[row].lower() for ids in spec.support for row in ids}
        assert not said & {family.texts[row].lower() for row in spec.query}, "no query is among the examples"


@needs("symptom2disease")
def test_real_symptoms_say_that_they_are_synthetic(real):
    family = real["symptoms"]
    assert all(source.synthetic for source in family.sources)
    assert all(spec.family.startswith("synthetic") for spec in family.freeze(np.random.default_rng(0)))

"""Somebody's texts and tables with a class each: what is refused, what is drawn, what is compared and predicted."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression

from at_hand import needs
from metastudy.errors import DataError, MetastudyError, ParameterError
from metastudy.evaluate import score_tasks
from metastudy.families.base import TaskSpec
from metastudy.families.texts import Symptoms
from metastudy.own_data import classification, judging, own_classes
from metastudy.own_data.class_methods import CLASSICAL, LinearSupportVectors, class_methods, classical
from metastudy.own_data.classification import ClassificationKind
from metastudy.own_data.kind import Prepared, checked
from metastudy.own_data.own_classes import OwnClasses, RowNet
from metastudy.own_data.running import run
from metastudy.train import TrainConfig

KIND = ClassificationKind()
TINY = TrainConfig(steps=2, tasks_per_step=2, validate_every=1)
TOPICS = {"money": "loan bank account interest", "food": "soup bread salt oven", "travel": "train ticket hotel flight"}


def options(path: Path, **given):
    return checked(KIND.options, {"path": path, "target": "topic", "text": "message", "shots": (1, 3), **given})


def prepare(path: Path, **given) -> Prepared:
    return KIND.prepare(options(path, **given))


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """As the comparison runs: several threads on so little data get in each other's way."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Eight messages of each topic; pairs of rows come from one sender."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(24):
        topic = list(TOPICS)[i // 8]
        message = " ".join([*rng.choice(TOPICS[topic].split(), 2, replace=False), f"please{i % 5}", f"number{i}"])
        rows.append((f"m{i}", message, topic, f"sender {i % 12}", len(message)))
    return pd.DataFrame(rows, columns=["name", "message", "topic", "sender", "length"])


@pytest.fixture(scope="module")
def path(frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("own") / "messages.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def prepared(path: Path) -> Prepared:
    return prepare(path, blocks=8, draws=16, id="name")


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"target": "topics"}, ParameterError, "did you mean 'topic'"),
        ({"text": "mesage"}, ParameterError, "did you mean 'message'"),
        ({"drop": ["lenght"]}, ParameterError, "did you mean 'length'"),
        ({"group": "topic"}, ParameterError, "both --target and --group"),
        ({"text": None, "encoder": "minilm"}, ParameterError, "is for texts"),
        ({"encoder": "bert"}, ParameterError, "--encoder bert"),
        ({"target": "name"}, DataError, "class 'm0' has 1 row,.*one of 24 such classes"),
        ({"id": "sender"}, DataError, "id 'sender 0' comes in line 2 and again in line 14"),
        ({"shots": (1, 3, 8)}, DataError, "--shots 1 3 would do"),
        ({"draws": 3}, ParameterError, "--draws 3"),
        ({"blocks": 3}, ParameterError, "--blocks 3"),
        ({"text": None}, DataError, "column 'name' holds 24 different values"),
    ],
)
def test_what_cannot_be_compared_is_refused(path: Path, given: dict, error: type, said: str) -> None:
    with pytest.raises(error, match=said):
        prepare(path, **given)


def test_a_text_without_a_word_is_refused_with_its_line(frame: pd.DataFrame, tmp_path: Path) -> None:
    bad = frame.assign(message=frame["message"].where(frame.index != 5, "?!"))
    bad.to_csv(tmp_path / "bad.csv", index=False)
    with pytest.raises(DataError, match="line 7"):
        prepare(tmp_path / "bad.csv")


def test_a_missing_encoder_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DataError, match="install the extra `search`"):
        prepare(path, encoder="minilm")


def test_draws_go_over_blocks_that_share_nothing(prepared: Prepared) -> None:
    family = prepared.family
    specs = family.freeze(np.random.default_rng(0))
    assert [s.family for s in specs] == [f"block {i % 8}" for i in range(16)]
    queries = {s.family: s.query for s in specs}
    assert sorted(row for query in queries.values() for row in query) == list(range(24))
    assert len({s.id for s in specs}) == 16
    for spec in specs:
        assert queries[spec.family] == spec.query
        rows = [row for ids in spec.support for row in ids]
        assert len(set(rows)) == len(rows) == 9 and not set(rows) & set(spec.query)
        small, large = (family.build(spec, k, family.folds()[0]) for k in (1, 3))
        assert small.support_y.tolist() == [0, 1, 2] and torch.equal(small.support_x, large.support_x[::3])
        assert torch.equal(small.query_x, large.query_x)
    assert family.freeze(np.random.default_rng(0)) == specs != family.freeze(np.random.default_rng(1))


def test_groups_are_never_on_both_sides(frame: pd.DataFrame, path: Path) -> None:
    for group, of in (("sender", frame["sender"]), ("name", frame["name"])):
        for spec in prepare(path, group=group).family.freeze(np.random.default_rng(0)):
            asked = set(of[list(spec.query)])
            assert not asked & {of[row] for ids in spec.support for row in ids}


def test_rows_that_repeat_are_kept_together_and_rows_without_a_label_left_out(
    frame: pd.DataFrame, tmp_path: Path
) -> None:
    again = frame.iloc[:4].assign(message=frame["message"][:4].str.upper())
    more = pd.concat([frame, again, frame.iloc[:1].assign(topic="")], ignore_index=True)
    more.to_csv(tmp_path / "more.csv", index=False)
    found = prepare(tmp_path / "more.csv")
    assert any("4 rows repeat" in note for note in found.notes) and any(
        "1 rows have no label" in n for n in found.notes
    )
    blocks = found.family.blocks
    assert len(blocks) == 28 and (blocks[:4] == blocks[24:]).all()


def test_a_large_block_is_asked_about_in_part(prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_classes, "MAX_QUERY", 2)
    specs = prepared.family.freeze(np.random.default_rng(0))
    assert {len(s.query) for s in specs} == {2}
    assert specs[0].query == specs[8].query


def test_the_family_pickles_and_says_what_data_it_holds(path: Path, frame: pd.DataFrame, prepared: Prepared) -> None:
    copy = pickle.loads(pickle.dumps(prepared.family))
    assert repr(copy) == repr(prepared.family) and copy.content_hash() in repr(copy)
    other = replace(prepared.family, y=np.roll(prepared.family.y, 1))
    assert other.content_hash() != prepared.family.content_hash()


def test_rows_with_other_labels_are_refused(prepared: Prepared) -> None:
    family, fold = prepared.family, prepared.family.folds()[0]
    spec = family.freeze(np.random.default_rng(0))[0]
    with pytest.raises(DataError, match="other labels"):
        family.build(replace(spec, support=spec.support[::-1]), 1, fold)
    with pytest.raises(DataError, match="asks for row"):
        family.build(replace(spec, query=(99,)), 1, fold)


def test_the_line_up_names_each_method_once_with_the_reference_first(prepared: Prepared) -> None:
    names = [m.name for m in prepared.methods]
    assert len(set(names)) == len(names) and names[-1] == "g"
    assert prepared.reference == names[0] == "logistic regression" and set(CLASSICAL) < set(names)
    assert {m.name for m in prepared.methods[-1].mappings} < set(names)


@pytest.mark.parametrize("texts", [True, False])
def test_every_method_gives_probabilities(path: Path, texts: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metastudy.methods.N_VALIDATION", 2)
    given = {} if texts else {"text": None, "drop": ["name", "message", "sender"]}
    family = prepare(path, shots=(2,), **given).family
    fold = family.folds()[0]
    tasks = [family.build(spec, 2, fold) for spec in family.freeze(np.random.default_rng(0))[:2]]
    for method in class_methods(family.x.shape[1], texts, quick=True):
        for task, p in zip(tasks, method.fit(family, fold, TINY, 0).predict(tasks, 2), strict=True):
            assert p.shape == (len(task.query_y), 3)
            torch.testing.assert_close(p.sum(1), torch.ones(len(p)), atol=1e-4, rtol=0)


@pytest.mark.filterwarnings("error")
def test_one_row_of_each_class_is_no_reason_for_warnings(prepared: Prepared) -> None:
    family, fold = prepared.family, prepared.family.folds()[0]
    task = family.build(family.freeze(np.random.default_rng(0))[0], 1, fold)
    for method in classical():
        assert method.fit(family, fold, TINY, 0).predict([task], 1)[0].shape == (len(task.query_y), 3)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_support_vectors_are_surest_of_what_they_say(n_classes: int) -> None:
    x, y = load_wine(return_X_y=True)
    x, y = x[y < n_classes] / x.std(0), y[y < n_classes]
    machine = LinearSupportVectors(random_state=0).fit(x, y)
    p = machine.predict_proba(x)
    np.testing.assert_allclose(p.sum(1), 1)
    assert (machine.classes_[p.argmax(1)] == machine.predict(x)).all()


def test_an_untrained_row_net_is_the_row_itself() -> None:
    net, x = RowNet(3), torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(net.features(net.init(torch.Generator().manual_seed(0)), x), x)


def test_comparison_from_the_file_to_the_sentences(path: Path, prepared: Prepared) -> None:
    few = [m for m in prepared.methods if m.name in ("logistic regression", "naive Bayes", "ridge")]
    small = replace(prepared, methods=tuple(few), config=TINY, classical=CLASSICAL[:2])
    scores, took = run(small, prepared.family.freeze(np.random.default_rng(0)), 0, 1, say=lambda line: None)
    table = judging.table(small, scores)
    assert len(table) == 6 and set(took) == {m.name for m in few}
    assert table["mean"].min() > 1 / 3  # words of a topic are in no other one
    sentences = [a.sentence for a in judging.advice(small, scores)]
    assert sentences[0].startswith("With 1 labelled text of each class")
    assert sentences[1].startswith("With 3 labelled texts of each class")


def test_predictions_keep_line_and_id_and_need_no_target(path: Path, frame: pd.DataFrame, tmp_path: Path) -> None:
    new = tmp_path / "new.csv"
    frame[["sender", "message", "name"]].iloc[::-1].to_csv(new, index=False)
    asked = KIND.ask(options(path, id="name"), "logistic regression", new)
    fitted = asked.method.fit(asked.family, asked.family.folds()[0], asked.config, 0)
    table = asked.table(fitted.predict(asked.tasks, asked.shots))
    assert asked.shots == 3
    assert table["line"].tolist() == list(range(2, 26))
    assert table["name"].tolist() == frame["name"].tolist()[::-1]
    assert (table["predicted"].to_numpy() == frame["topic"].to_numpy()[::-1]).mean() > 0.9
    own = LogisticRegression().fit(asked.family.x, frame["topic"])
    p = own.predict_proba(asked.family.x)[::-1]
    for i, topic in enumerate(own.classes_):
        np.testing.assert_allclose(table[f"probability of {topic}"], p[:, i], atol=1e-4)


def test_many_new_rows_are_asked_about_in_parts_with_the_same_answer(
    path: Path, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = []
    for cells, n_tasks in ((24 * 24, 1), (24 * 10, 3)):
        monkeypatch.setattr(classification, "CELLS", cells)
        asked = KIND.ask(options(path), "ridge", path)
        assert len(asked.tasks) == n_tasks
        fitted = asked.method.fit(asked.family, asked.family.folds()[0], TINY, 0)
        tables.append(asked.table(fitted.predict(asked.tasks, asked.shots)))
    pd.testing.assert_frame_equal(*tables, rtol=1e-4)


def test_a_method_is_the_same_in_comparison_and_prediction(path: Path, prepared: Prepared) -> None:
    asked = KIND.ask(options(path, id="name"), "g", path)
    found = []
    for family in (prepared.family, asked.family):
        fitted = asked.method.fit(family, family.folds()[0], TINY, 0)
        found.append(fitted.predict(asked.tasks, 3)[0])
    assert torch.equal(*found)


@pytest.mark.parametrize(
    ("method", "columns", "said"),
    [
        ("logistic regresion", ["message"], "did you mean 'logistic regression'"),
        ("g", ["sender"], "'message' is no column"),
    ],
)
def test_what_cannot_be_predicted_is_refused(
    path: Path, frame: pd.DataFrame, tmp_path: Path, method: str, columns: list[str], said: str
) -> None:
    frame[columns].to_csv(tmp_path / "new.csv", index=False)
    with pytest.raises(MetastudyError, match=said):
        KIND.ask(options(path), method, tmp_path / "new.csv")
    with pytest.raises(ParameterError, match="nothing to predict"):
        KIND.ask(options(path), "g", None)


@needs("symptom2disease")
def test_scores_are_those_of_the_study_on_the_same_vectors(tmp_path: Path) -> None:
    study = Symptoms(shots=(1, 3))
    fold = study.folds()[0]
    rows = [i for i, label in enumerate(study.labels) if label in fold.test]
    texts = pd.DataFrame({"message": [study.texts[i] for i in rows], "topic": [study.labels[i] for i in rows]})
    texts.to_csv(tmp_path / "own.csv", index=False)
    own = prepare(tmp_path / "own.csv", draws=6).family
    assert isinstance(own, OwnClasses)
    vectors = torch.zeros(len(study.texts), own.x.shape[1])
    vectors[rows] = torch.from_numpy(own.x)
    study._vectors[fold.name] = vectors
    specs = own.freeze(np.random.default_rng(0))
    theirs = [
        TaskSpec(
            s.id, s.family, fold.name, tuple(tuple(rows[i] for i in ids) for ids in s.support),
            tuple(rows[i] for i in s.query),
        )
        for s in specs
    ]  # fmt: skip
    fitted = class_methods(own.x.shape[1], True)[0].fit(own, own.folds()[0], TINY, 0)
    here = score_tasks(own, own.folds()[0], specs, fitted, "m", 0)[0]
    there = score_tasks(study, fold, theirs, fitted, "m", 0)[0]
    columns = ["family", "task", "shots", "metric", "value"]
    pd.testing.assert_frame_equal(here[columns], there[columns], check_exact=True)

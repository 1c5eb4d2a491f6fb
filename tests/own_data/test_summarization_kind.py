"""The whole way of own documents: prepared or refused, compared, and the chosen method used."""

from __future__ import annotations

import json

import numpy as np
import pytest

import helpers  # noqa: F401  (one thread)
from metastudy.errors import DataError, ParameterError
from metastudy.families.documents import TOOLS
from metastudy.own_data import judging, own_documents, summarization
from metastudy.own_data.kind import checked
from metastudy.own_data.own_documents import earlier_documents
from metastudy.own_data.running import run
from metastudy.own_data.stored_summarizer import StoredMixture
from metastudy.own_data.summarization import SummarizationKind
from metastudy.project import Project
from metastudy.summarize import MODEL, summarize
from metastudy.train import TrainConfig

KIND = SummarizationKind()
METHODS = ["random", *TOOLS, "from scratch", "fine-tuned", "pooled", "maml", "ridge", "prototypes", "tools", "g"]
STORED = pytest.mark.skipif(not Project.at().path(MODEL).is_file(), reason=f"no {MODEL}")
TEXT = "Stone walls stand by the river. The green house is seven years old. Music plays."


def own_file(folder, n=14, name="own.jsonl", **changes):
    """Real sentences: docstrings, whose summary is two of their sentences."""
    path = folder / name
    real = [d for d in earlier_documents().values() if len(d.sentences) > 3][:n]
    with path.open("w") as stream:
        for i, d in enumerate(real):
            row = {"document": " ".join(d.sentences), "summary": " ".join(d.sentences[:2]), "id": f"d{i}"}
            print(json.dumps(row | {key: made(i) for key, made in changes.items()}), file=stream)
    return path


def prepared(path, **values):
    return KIND.prepare(checked(KIND.options, {"path": path, **values}))


@pytest.fixture
def untrained(monkeypatch):
    """Training as short as can be."""
    monkeypatch.setattr(summarization, "_config", lambda options: TrainConfig(2, tasks_per_step=2, validate_every=1))


def test_a_comparison_from_file_to_advice(tmp_path, untrained):
    found = prepared(own_file(tmp_path), shots=(2,), draws=6, quick=True)
    assert [m.name for m in found.methods] == METHODS and found.reference == "lead"
    assert set(found.classical) < set(METHODS) and found.family.metrics[0] == found.metric == "rouge1"
    assert found.labelled == found.facts["documents"] == found.facts["documents used"] == 14
    assert found.facts["draws"] == 6 and found.facts["documents of one sentence, left out"] == 0
    specs = found.family.freeze(np.random.default_rng(0))
    scores, _ = run(found, specs, 0, 1, say=lambda line: None)
    assert len(scores) == len(METHODS) * sum(len(s.query) for s in specs) * 3
    table = judging.table(found, scores).set_index("method")
    assert list(table.index) == METHODS and table.loc["lead", "mean"] > table.loc["random", "mean"] + 5
    (advice,) = judging.advice(found, scores)
    assert advice.best in METHODS and advice.use in METHODS


@STORED
def test_g_is_the_stored_one_where_there_is_one_and_a_note_says_which(tmp_path, monkeypatch):
    path = own_file(tmp_path)
    monkeypatch.setenv("METASTUDY_RESULTS", str(tmp_path / "none"))
    without = prepared(path, shots=(1,))
    assert not isinstance(without.methods[-1], StoredMixture) and without.family.fixed_rows is None
    assert any("summarization_g.safetensors is missing" in note for note in without.notes)
    monkeypatch.delenv("METASTUDY_RESULTS")
    stored = prepared(path, shots=(1,))
    assert isinstance(stored.methods[-1], StoredMixture) and stored.family.fixed_rows is not None
    assert any("do not judge it on these" in note and "dialogsum" in note for note in stored.notes)
    assert repr(stored.family) != repr(without.family)


@STORED
def test_a_prediction_of_g_is_what_summarize_says(tmp_path):
    path = own_file(tmp_path, 6)
    new = tmp_path / "new.jsonl"
    new.write_text(
        "".join(json.dumps(row) + "\n" for row in ({"id": "d1", "document": TEXT}, {"document": ["Stone."]}))
    )
    asked = KIND.ask(checked(KIND.options, {"path": path}), "g", new)
    assert asked.shots == 6 and asked.shots in asked.family.shots
    fitted = asked.method.fit(asked.family, asked.family.folds()[0], asked.config, 0)
    table = asked.table(fitted.predict(asked.tasks, asked.shots))
    support = [(d.sentences, d.summaries) for d in asked.family.own]
    assert table["id"].tolist() == ["d1", "line 2"] and list(table) == ["id", "summary"]
    assert table["summary"].tolist() == [s.text for s in summarize([TEXT, ["Stone."]], support)]


def test_predictions_do_not_depend_on_what_is_asked_at_once(tmp_path, monkeypatch, untrained):
    path, new = own_file(tmp_path, 4), own_file(tmp_path, 8, "new.jsonl")

    def predicted():
        asked = KIND.ask(checked(KIND.options, {"path": path, "shots": (1,)}), "ridge", new)
        fitted = asked.method.fit(asked.family, asked.family.folds()[0], asked.config, 0)
        return len(asked.tasks), asked.table(fitted.predict(asked.tasks, asked.shots))

    n_tasks, table = predicted()
    monkeypatch.setattr("metastudy.summarize.ROWS", 20)
    n_parts, parts = predicted()
    assert (n_tasks, n_parts > 1) == (1, True) and parts.equals(table) and table["summary"].nunique() == 8


def test_a_plain_text_is_one_document(tmp_path):
    path, new = own_file(tmp_path, 3), tmp_path / "letter.txt"
    new.write_text(TEXT)
    asked = KIND.ask(checked(KIND.options, {"path": path, "shots": (1,)}), "lead", new)
    assert asked.shots == 3 and asked.family.shots == (1, 3)
    table = asked.table([asked.tasks[0].query_x[:, 0]])
    assert table["id"].tolist() == ["letter"] and TEXT.startswith(table["summary"][0])


@pytest.mark.parametrize(
    ("n", "values", "error", "told"),
    [
        (14, {"shots": (21,)}, ParameterError, "--shots 21: expected numbers from 1 to 20"),
        (14, {"shots": ()}, ParameterError, "--shots .*expected one number or more"),
        (14, {"draws": 5}, ParameterError, "--draws 5: fewer than 6"),
        (9, {}, DataError, "9 documents.*expected 11 or more documents.*--shots 8 or fewer would do"),
        (
            9,
            {"draws": 10, "shots": (2,)},
            DataError,
            "expected 10 or more .*fewer --shots would not do, or fewer --dr",
        ),
        (5, {"shots": (1,)}, DataError, "own.jsonl: .*5 documents.*expected 6 or more"),
        (14, {"documents": 8}, DataError, "8 documents.*--shots 7 or fewer would do, or more --documents"),
    ],
)
def test_too_few_for_what_is_wanted(tmp_path, n, values, error, told):
    with pytest.raises(error, match=told):
        prepared(own_file(tmp_path, n), **values)


def test_small_domains_are_named(tmp_path):
    with pytest.raises(DataError, match="d[012]: 5 documents in 5 .*--shots 4 or fewer would do, or no 'domain'"):
        prepared(own_file(tmp_path, 15, domain=lambda i: f"d{i % 3}"), shots=(5,))


def test_what_would_do_does(tmp_path):
    assert prepared(own_file(tmp_path, 11)).facts["draws"] == 10
    assert prepared(own_file(tmp_path, 9), shots=(1, 8)).facts["draws"] == 9
    assert prepared(own_file(tmp_path, 6), shots=(1,)).facts["draws"] == 6


def test_domains_are_the_units_where_there_are_six(tmp_path):
    six = prepared(own_file(tmp_path, 30, domain=lambda i: f"d{i % 6}"), shots=(1,), draws=12)
    assert six.facts["draws"] == 12 and six.facts["domains"] == 6
    assert any("over 6 domains" in note for note in six.notes)
    two = prepared(own_file(tmp_path, 30, domain=lambda i: f"d{i % 2}"), shots=(1,))
    assert two.facts["draws"] == 10 and any("over 10 draws" in note for note in two.notes)


def test_documents_that_are_not_used_are_told(tmp_path):
    found = prepared(own_file(tmp_path, 30), shots=(1,), documents=20)
    assert found.labelled == 20 and any(note.startswith("10 more documents are not used") for note in found.notes)
    assert not any("not used" in note for note in prepared(own_file(tmp_path, 30), shots=(1,)).notes)


def test_what_cannot_be_asked_is_refused(tmp_path, monkeypatch):
    path = own_file(tmp_path)
    options = checked(KIND.options, {"path": path})
    with pytest.raises(ParameterError, match="no documents to summarise"):
        KIND.ask(options, "g", None)
    with pytest.raises(ParameterError, match="'led' is none of .*did you mean 'lead'"):
        KIND.ask(options, "led", path)
    with pytest.raises(DataError, match="gone.jsonl is no file"):
        KIND.ask(options, "g", tmp_path / "gone.jsonl")
    monkeypatch.setattr(own_documents, "CHARACTERS", 10_000)
    with pytest.raises(DataError, match="million characters.*ask about fewer at once"):
        KIND.ask(options, "g", own_file(tmp_path, 60, "new.jsonl"))

"""A g for relevance feedback: trained as in the study, and kept in a file that is whole, or refused by name."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from at_hand import needs
from metastudy import checkpoint, ranker_file
from metastudy.errors import DataError
from metastudy.families.base import Fold
from metastudy.families.search_feedback import NAMES as PUBLIC
from metastudy.families.search_feedback import SearchFeedback
from metastudy.feedback import learned_columns as columns_of
from metastudy.feedback import surroundings
from metastudy.feedback.learned_columns import COLUMNS, SAME_AS_F_L
from metastudy.feedback.ranker import FeedbackRanker, Weights
from metastudy.ranker_file import OWN_PAGES, TrainedRanker, fingerprint, ranker_of_g, train_g, train_on
from metastudy.train import TrainConfig
from toy_ranker import NAMES, RANKER, in_place_of_public_collections, toy_model


@pytest.fixture
def path(tmp_path):
    ranker_file.write(tmp_path / "g.safetensors", toy_model())
    return tmp_path / "g.safetensors"


@pytest.fixture
def family(monkeypatch):
    return in_place_of_public_collections(monkeypatch)


def rewritten(path, change):
    """The file with other tensors or another record, whole by its sha256."""
    tensors, record = checkpoint.read(path, ranker_file.KIND)
    record = {k: v for k, v in record.items() if k not in ("kind", "format")}
    change(tensors, record)
    checkpoint.write(path, ranker_file.KIND, tensors, record)


def test_what_is_read_is_what_was_written(path):
    model, found = toy_model(), ranker_file.read(path)
    assert torch.equal(found.weights.beta, model.weights.beta) and found.weights.columns == COLUMNS
    assert found.encoder == model.encoder == OWN_PAGES
    assert not torch.equal(found.weights.beta[0], found.weights.beta[1]), "each training has its own"
    x = np.random.default_rng(0).normal(size=(7, len(COLUMNS)))
    for shots, relevant in ((1, True), (5, True), (2, False)):
        assert np.array_equal(found.weights.scores(x, shots, relevant), model.weights.scores(x, shots, relevant))


def test_the_record_says_what_it_learned_from(path):
    record = json.loads(path.with_suffix(".json").read_text())
    assert record["trained on"] == list(NAMES) and record["judged pages of a query"] == [1, 4] and record["seed"] == 0
    assert record["encoder"] == record["dense vectors"] == OWN_PAGES and record["columns"] == list(COLUMNS)
    assert "trainings=2" in record["ranker"] and len(record["data"]) == 64
    assert ranker_file.read(path).about == record
    first = path.read_bytes()
    ranker_file.write(path, toy_model())
    assert path.read_bytes() == first, "the same bytes each time"


def test_a_ranker_with_fewer_columns_and_an_encoder_is_kept_too(tmp_path):
    weights = Weights(torch.randn(1, 2, len(SAME_AS_F_L), generator=torch.Generator().manual_seed(0)), SAME_AS_F_L)
    ranker_file.write(tmp_path / "g.safetensors", TrainedRanker(weights, "abc"))
    found = ranker_file.read(tmp_path / "g.safetensors")
    assert found.encoder == "abc" and found.weights.columns == SAME_AS_F_L
    assert torch.equal(found.weights.beta, weights.beta)


def test_a_damaged_or_foreign_file_is_refused(path, tmp_path):
    with pytest.raises(DataError, match="h.safetensors is missing; expected a search model"):
        ranker_file.read(tmp_path / "h.safetensors")
    with pytest.raises(DataError, match="does not end in .safetensors"):
        ranker_file.write(tmp_path / "g.bin", toy_model())
    other = tmp_path / "other.safetensors"
    checkpoint.write(other, "summarizer", {"a": torch.zeros(1)}, {})
    with pytest.raises(DataError, match="is a summarizer of format 1, expected a search model"):
        ranker_file.read(other)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="is damaged"):
        ranker_file.read(path)


def test_a_file_of_other_columns_or_shapes_is_refused(path):
    def renamed(tensors, record):
        record["columns"][3] = "magic"

    def shorter(tensors, record):
        tensors["beta"] = tensors["beta"][:, :, 1:]

    def none(tensors, record):
        tensors["beta"] = tensors["beta"][:0]

    for change, message in (
        (renamed, "column 'magic' is unknown here; make it again"),
        (shorter, rf"have shape \[2, 2, {len(COLUMNS) - 1}\], expected \[trainings, 2, {len(COLUMNS)}\]"),
        (none, r"have shape \[0, 2, "),
    ):
        ranker_file.write(path, toy_model())
        rewritten(path, change)
        with pytest.raises(DataError, match=f"g.safetensors was made by another version.*{message}"):
            ranker_file.read(path)


def test_weights_that_belong_to_other_columns_are_noticed(path):
    def swapped(tensors, record):
        record["columns"][:2] = reversed(record["columns"][:2])

    rewritten(path, swapped)
    with pytest.raises(DataError, match="columns of pages are computed otherwise here; make it again"):
        ranker_file.read(path)


@pytest.mark.parametrize("changed", ["near", "late", "Bo1", "words"])
def test_code_that_reads_pages_otherwise_is_noticed(path, monkeypatch, changed):
    if changed == "near":
        monkeypatch.setattr(surroundings, "NEAREST", 3)
    elif changed == "late":
        monkeypatch.setattr(columns_of, "LATE_WORDS", 3)
    elif changed == "Bo1":
        monkeypatch.setattr(columns_of, "heaviest", lambda weights, n: weights**2)
    else:
        monkeypatch.setattr("metastudy.feedback.index.K1", 0.9)
    with pytest.raises(DataError, match="columns of pages are computed otherwise here; make it again"):
        ranker_file.read(path)
    monkeypatch.undo()
    ranker_file.read(path)


def test_every_column_says_something_of_the_fixed_pages():
    """Else a change of its code could pass unnoticed."""
    probe = ranker_file._probe(toy_model().weights).numpy()
    assert probe.shape == (5, len(COLUMNS) + 2) and (probe.std(0) > 0.1).all()
    assert np.array_equal(probe, ranker_file._probe(toy_model().weights).numpy())


def test_rounding_of_another_machine_is_no_difference(path):
    def rounded(tensors, record):
        tensors["probe"] *= 1 + 1e-6

    rewritten(path, rounded)
    assert isinstance(ranker_file.read(path), TrainedRanker)


def test_training_is_that_of_the_study(family):
    found = train_on(family, NAMES, RANKER, seed=1)
    assert torch.equal(found.weights.beta, RANKER.train(family, NAMES, 1).beta)
    assert not torch.equal(found.weights.beta, toy_model().weights.beta), "another seed draws other queries"
    fold = Fold("all", NAMES[:1], NAMES[1:], ())
    fitted = RANKER.fit(family, fold, TrainConfig(steps=1), seed=1)
    task = family.build(next(s for s in family.freeze(np.random.default_rng(0)) if s.family == "cisi"), 1, fold)
    x, positives = columns_of.of_task(family, task)
    assert positives
    assert np.array_equal(found.weights.scores(x, 1, True), fitted.predict([task], 1)[0].numpy())


def test_g_is_that_of_the_lineup_and_holds_no_collection_out(monkeypatch):
    asked = []
    monkeypatch.setattr(ranker_file, "train_on", lambda *arguments: asked.append(arguments))
    train_g(seed=3)
    ((family, names, ranker, seed),) = asked
    assert isinstance(family, SearchFeedback) and family.encoder is None and seed == 3
    assert names == PUBLIC and len(PUBLIC) == 6
    assert ranker == ranker_of_g() == FeedbackRanker("g")


def test_weights_are_tied_to_an_encoder(family, monkeypatch):
    class Encoder:
        name, dim, fingerprint = "mine", 2, "f00"

    assert fingerprint(None) == OWN_PAGES and fingerprint(Encoder()) == "f00"
    family.encoder = Encoder()
    found = train_on(family, NAMES, replace(RANKER, trainings=1, steps=1), seed=0)
    assert found.encoder == "f00" and found.about["dense vectors"] == "mine"


@needs("cranfield", "cisi", "medline", "cystic_fibrosis", "npl", "nfcorpus")
def test_g_learns_from_public_collections(tmp_path):
    """Two of them, of which the candidates may be in the cache already."""
    family = SearchFeedback(shots=(2,))
    model = train_on(family, ("medline", "cystic_fibrosis"), replace(RANKER, trainings=1), seed=0)
    ranker_file.write(tmp_path / "g.safetensors", model)
    beta = ranker_file.read(tmp_path / "g.safetensors").weights.at(2)
    near = [beta[COLUMNS.index(name)] for name in COLUMNS if name.endswith("_positive")]
    assert sum(near) > 0, "what is like the relevant pages comes up"

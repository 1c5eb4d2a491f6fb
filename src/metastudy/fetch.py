"""Finding a registered file: in data/raw, in the mirror that METASTUDY_DATA_MIRROR names, or at its URL.

    python -m metastudy.fetch --profile full [--only SOURCE ...] [--offline]     what `make data` runs

Whatever is found is checked against the registry before it is used. A download lands under its name only when it is
whole and right; nothing else is kept.
"""

from __future__ import annotations

import argparse
import errno
import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import pandas as pd
import pooch
import requests

from metastudy import archives, registry
from metastudy.errors import DataError, MetastudyError
from metastudy.project import find_root, sha256
from metastudy.registry import Download, File, Source

MIRROR = "METASTUDY_DATA_MIRROR"
TIMEOUT = 30.0  # seconds without a byte
RETRIES = 3
UNKNOWN_SIZE_LIMIT = 400 * 2**20
"""A download of unknown size is stopped here: no original is known to be larger."""
pooch.get_logger().setLevel("WARNING")


def raw_folder() -> Path:
    """Where downloads land: data/raw in the project."""
    return find_root() / "data" / "raw"


def mirror_folder() -> Path | None:
    """The folder that METASTUDY_DATA_MIRROR names, if any. Raises DataError where it is no folder."""
    named = os.environ.get(MIRROR)
    if not named:
        return None
    folder = Path(named).expanduser()
    if not folder.is_dir():
        raise DataError(f"{MIRROR} names {named!r}, which is no folder; mend it, or unset it to download")
    return folder


def _digest(path: Path, download: Download, folders: Sequence[str]) -> tuple[str, str, str]:
    """Kind of checksum, what is expected, what the file has."""
    if download.sha256:
        return "sha256", download.sha256, sha256(path)
    if download.md5:
        with path.open("rb") as stream:
            return "md5", download.md5, hashlib.file_digest(stream, "md5").hexdigest()
    tree = archives.git_tree_sha1(archives.keep_folders(archives.members(path), folders))
    return "git tree", download.git_tree_sha1 or "", tree


def check(path: Path, download: Download, where: str, folders: Sequence[str] = ()) -> None:
    """Raises DataError, naming file, found and expected, where a file is not the registered one."""
    size = path.stat().st_size
    if download.bytes is not None and size != download.bytes:
        raise DataError(
            f"{download.path} in {where} has {size:,} bytes, expected {download.bytes:,}: it is cut short or another "
            "file; delete it, then run `make data PROFILE=full`"
        )
    kind, expected, found = _digest(path, download, folders)
    if found != expected:
        raise DataError(
            f"{download.path} in {where} has {kind} {found}, expected {expected}; delete it, then run "
            "`make data PROFILE=full`"
        )


def _places() -> list[tuple[str, Path]]:
    places = [("data/raw", raw_folder())]
    if mirror := mirror_folder():
        places.append(("the mirror", mirror))
    return places


@lru_cache(maxsize=1024)
def _checked(path: Path, download: Download, where: str, folders: tuple[str, ...], modified_ns: int) -> None:
    check(path, download, where, folders)


def _present(download: Download, folders: tuple[str, ...]) -> tuple[Path, str] | None:
    """The file and the place that has it, checked once per process and change; None where no place has it."""
    for where, folder in _places():
        path = folder / download.path
        if path.is_file():
            _checked(path, download, where, folders, path.stat().st_mtime_ns)
            return path, where
    return None


def present(file: File) -> tuple[list[Path], str] | None:
    """The checked files that stand for `file` without a download, and where they are; None where they are not.

    A repack is taken where there is one, else its originals. Raises DataError for a file with a wrong checksum.
    """
    own = Download.model_construct(path=file.path, url="", bytes=file.bytes, sha256=file.sha256)
    if found := _present(own, ()):
        return [found[0]], found[1]
    originals = [_present(original, file.folders) for original in file.originals]
    if originals and all(originals):
        return [o[0] for o in originals if o], originals[0][1]  # type: ignore[index]
    return None


class _Capped:
    """A binary stream that refuses to grow beyond what was announced: a server may send without end."""

    def __init__(self, stream: BinaryIO, download: Download):
        self._stream, self._limit, self._path = stream, download.bytes or UNKNOWN_SIZE_LIMIT, download.path

    def write(self, content: bytes) -> int:
        if self._stream.tell() + len(content) > self._limit:
            raise DataError(f"{self._path}: the server sends more than the expected {self._limit:,} bytes; stopped")
        return self._stream.write(content)

    def __getattr__(self, name: str):
        return getattr(self._stream, name)


def _downloader(download: Download, progress: bool) -> Callable[[str, str, object], None]:
    """pooch's HTTP downloader, with a limit on what it writes."""
    http = pooch.HTTPDownloader(progressbar=progress, timeout=TIMEOUT)

    def fetch(url: str, output_file: str, pup: object) -> None:
        with Path(output_file).open("wb") as stream:
            http(url, _Capped(stream, download), pup)

    return fetch


@contextmanager
def _explained(download: Download) -> Iterator[None]:
    """Every way in which a download fails, as one DataError that says what to do."""
    hint = "check the network and run again; what is complete is kept"
    try:
        yield
    except requests.exceptions.HTTPError as error:
        status = error.response.status_code if error.response is not None else "an error"
        raise DataError(f"{download.path}: {download.url} answers {status}; expected the file. Is it gone?") from error
    except requests.exceptions.Timeout as error:
        raise DataError(f"{download.path}: no byte from {download.url} for {TIMEOUT:.0f} s; {hint}") from error
    except requests.exceptions.RequestException as error:
        raise DataError(f"{download.path}: {download.url} cannot be read ({type(error).__name__}); {hint}") from error
    except ValueError as error:  # pooch's word for a wrong checksum
        raise DataError(
            f"{download.path}: what {download.url} sends has another checksum than the registry "
            f"({error}); nothing is kept"
        ) from error
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise DataError(f"{download.path}: cannot be written to data/raw ({error.strerror or error})") from error
        raise DataError(f"{download.path}: the disk is full; free some space, run again") from error


def download(wanted: Download, folders: Sequence[str] = (), progress: bool = False) -> Path:
    """Fetch one file to data/raw, atomically, with retries. Raises DataError where it cannot be had as registered."""
    target = raw_folder() / wanted.path
    target.parent.mkdir(parents=True, exist_ok=True)
    need = wanted.bytes or 0
    free = shutil.disk_usage(target.parent).free
    if free < need:
        raise DataError(f"{wanted.path} needs {need:,} bytes and data/raw has {free:,} left; free some space")
    known = f"sha256:{wanted.sha256}" if wanted.sha256 else f"md5:{wanted.md5}" if wanted.md5 else None
    held = target if known else target.with_name(f".{target.name}.unchecked.partial")
    with _explained(wanted):
        pup = pooch.create(
            path=held.parent,
            base_url="",
            registry={held.name: known},
            urls={held.name: wanted.url},
            retry_if_failed=RETRIES,
        )
        pup.fetch(held.name, downloader=_downloader(wanted, progress))
    if not known:
        try:
            check(held, wanted, wanted.url, folders)
            held.replace(target)
        finally:
            held.unlink(missing_ok=True)
    return target


def find(file: File, offline: bool = False, progress: bool = False) -> tuple[list[Path], str]:
    """The checked files that stand for a registered one, downloaded where no place has it, and where they were found.

    Raises DataError where it cannot be had, or is not what the registry says.
    """
    if found := present(file):
        return found
    if offline:
        raise DataError(
            f"{file.path} is neither in data/raw nor in a mirror; run `make data PROFILE=full`, or set {MIRROR}"
        )
    wanted = file.originals or (file.download,)
    return [download(d, file.folders, progress) for d in wanted], "downloaded"


def fetch(sources: Sequence[Source], offline: bool = False, progress: bool = False) -> pd.DataFrame:
    """Make every file of the sources available; one row a source: source, licence, files, bytes, status, problem.

    A source that fails does not stop the others: its status is "missing" and `problem` says why.
    """
    rows = []
    for source in sources:
        places, problem = [], ""
        for file in source.files:
            try:
                places.append(find(file, offline, progress)[1])
            except DataError as error:
                problem = problem or str(error)
        status = "missing" if problem else ", ".join(dict.fromkeys(places))
        rows.append((source.name, source.licence, len(source.files), source.bytes, status, problem))
    return pd.DataFrame(rows, columns=["source", "licence", "files", "bytes", "status", "problem"])


def show(found: pd.DataFrame) -> str:
    """The table that `make data` prints: name, licence, size, status."""
    shown = found.assign(
        licence=[t if len(t) <= 44 else t[:41] + "..." for t in found["licence"]],
        size=[f"{b / 1e6:.2f} MB" for b in found["bytes"]],
    )
    total = f"{len(found)} sources, {found['files'].sum()} files, {found['bytes'].sum() / 1e6:.1f} MB"
    return f"{shown[['source', 'licence', 'size', 'status']].to_string(index=False)}\n{total}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 all there, 1 something is missing or damaged, 2 refused, 130 stopped by hand."""
    parser = argparse.ArgumentParser(prog="python -m metastudy.fetch", description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="full", help="fetch what this profile needs (default: full)")
    parser.add_argument("--only", nargs="+", metavar="SOURCE", help="these sources of data/registry.yaml")
    parser.add_argument("--offline", action="store_true", help="look in data/raw and the mirror only")
    options = parser.parse_args(arguments)
    try:
        known = registry.load()
        sources = [known[name] for name in options.only] if options.only else known.for_profile(options.profile)
        if not sources:
            print(f"profile {options.profile!r} needs no download: its data comes with the pinned packages")
            return 0
        found = fetch(sources, options.offline, progress=sys.stderr.isatty())
    except KeyboardInterrupt:
        print("stopped; run again to go on, complete files are kept", file=sys.stderr)
        return 130
    except MetastudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(show(found))
    for problem in found["problem"][found["problem"] != ""]:
        print(f"error: {problem}", file=sys.stderr)
    return int((found["status"] == "missing").any())


if __name__ == "__main__":
    sys.exit(main())

"""Zip and tar archives, read in memory and never unpacked to disk; hashes of what they hold.

A member whose path leaves its folder (absolute, or with ..), a link, a repeated name or an encrypted member is refused.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image, UnidentifiedImageError

from metastudy.errors import DataError

MAX_BYTES = 2**30
"""Content of one archive above which it is refused: the largest here holds 21 MB."""
TAR_OVERHEAD = 2**26  # headers and padding: 1.5 KB a member at most
COMPRESSORS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}


def safe_name(name: str, archive: str) -> str:
    """The member's path, with forward slashes. Raises DataError where it would leave its folder."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or (path.parts and ":" in path.parts[0]):
        raise DataError(f"{archive}: member {name!r} points outside its folder; the archive is not to be trusted")
    return path.as_posix()


def _too_large(path: Path, limit: int) -> DataError:
    return DataError(f"{path.name} holds more than {limit:,} bytes; expected less, so it is not what it says")


def _zip(path: Path, limit: int) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        if sum(info.file_size for info in archive.infolist()) > limit:
            raise _too_large(path, limit)
        for info in archive.infolist():
            if not info.is_dir():
                name = safe_name(info.filename, path.name)
                if info.flag_bits & 1:
                    raise DataError(f"{path.name}: member {name!r} is encrypted; expected plain data")
                yield name, archive.read(info)


def _tar(path: Path, limit: int) -> Iterator[tuple[str, bytes]]:
    # Unpacked to its very end first: tarfile stops before the compressor's checksum and would not see damage.
    with path.open("rb") as stream:
        magic = stream.read(6)
    opener = next((opened for start, opened in COMPRESSORS.items() if magic.startswith(start)), open)
    with opener(path, "rb") as stream:
        content = stream.read(limit + TAR_OVERHEAD + 1)
    if len(content) > limit + TAR_OVERHEAD:
        raise _too_large(path, limit)
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
        for info in archive:
            name = safe_name(info.name, path.name)
            if info.isdir():
                continue
            member = archive.extractfile(info) if info.isreg() else None
            if member is None:
                raise DataError(f"{path.name}: member {name!r} is a link or a device; expected plain files only")
            yield name, member.read()


def members(path: Path, limit: int = MAX_BYTES) -> dict[str, bytes]:
    """Every plain file of a zip or tar archive (gz, bz2, xz), by its path inside, in the archive's order.

    Raises DataError where it is damaged or cut short, unsafe (see above), or holds more than `limit` bytes.
    """
    found: dict[str, bytes] = {}
    try:
        for name, content in (_zip if zipfile.is_zipfile(path) else _tar)(path, limit):
            if name in found:
                raise DataError(f"{path.name}: member {name!r} occurs twice; expected once")
            found[name] = content
    except (tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError, OSError) as error:
        raise DataError(f"{path.name} is damaged or cut short ({error}); delete it and fetch it again") from error
    return found


def keep_folders(found: Mapping[str, bytes], folders: Sequence[str]) -> dict[str, bytes]:
    """Members inside any folder of these names, named from that folder on, so that packagings become comparable.

    "x/topics/a.txt" becomes "topics/a.txt". Raises DataError where one of the folders is absent.
    """
    kept: dict[str, bytes] = {}
    for name, content in found.items():
        parts = PurePosixPath(name).parts
        at = next((i for i, part in enumerate(parts[:-1]) if part in folders), None)
        if at is not None and parts[0] != "__MACOSX":
            kept["/".join(parts[at:])] = content
    present = {name.split("/")[0] for name in kept}
    if missing := [folder for folder in folders if folder not in present]:
        raise DataError(f"no folder {missing[0]!r} among the {len(found)} members; this is another archive")
    return kept


def pixels(png: bytes, name: str) -> np.ndarray:
    """A black and white picture as (H, W) bool, True where it is white. Raises DataError where it is no picture."""
    try:
        with Image.open(io.BytesIO(png)) as image:
            return np.asarray(image.convert("1"))
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise DataError(f"{name} is no readable picture ({error}); fetch its archive again") from None


def content_hash(found: Mapping[str, bytes], content: str = "bytes") -> str:
    """sha256 over the sorted names and what they hold: bytes, or decoded pixels, which survive another PNG encoder."""
    digest = hashlib.sha256()
    for name in sorted(found):
        held = found[name]
        if content == "pixels":
            image = pixels(held, name)
            held = repr(image.shape).encode() + np.packbits(image).tobytes()
        digest.update(name.encode() + b"\0" + hashlib.sha256(held).digest())
    return digest.hexdigest()


def git_tree_sha1(found: Mapping[str, bytes]) -> str:
    """The hash that git gives a folder of plain, non-executable files: it checks content, however it was packed."""
    folders: dict[str, dict[str, bytes]] = {}
    entries: list[tuple[bytes, bytes, bytes]] = []
    for name, content in found.items():
        head, _, rest = name.partition("/")
        if rest:
            folders.setdefault(head, {})[rest] = content
        else:
            blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).digest()
            entries.append((b"100644", head.encode(), blob))
    entries += [(b"40000", name.encode(), bytes.fromhex(git_tree_sha1(held))) for name, held in folders.items()]
    # git sorts a folder as if its name ended in a slash
    entries.sort(key=lambda e: e[1] + (b"/" if e[0] == b"40000" else b""))
    tree = b"".join(mode + b" " + name + b"\0" + digest for mode, name, digest in entries)
    return hashlib.sha1(b"tree %d\0" % len(tree) + tree, usedforsecurity=False).hexdigest()

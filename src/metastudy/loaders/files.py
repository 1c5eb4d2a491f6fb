"""What a loader reads from: the files of one source, by their registered paths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from metastudy import archives, fetch
from metastudy.errors import DataError
from metastudy.registry import File, Source


@dataclass(frozen=True)
class Files:
    """Files of the source `name` by path. From the registry they are verified; from a `folder` they are taken as
    they are, which is how tests hand over tiny files of their own."""

    name: str
    paths: tuple[str, ...]
    registered: Mapping[str, File] | None = None
    folder: Path | None = None
    offline: bool = False

    @classmethod
    def of(cls, source: Source, offline: bool = False) -> Files:
        """The registered, verified files of a source."""
        return cls(source.name, tuple(f.path for f in source.files), {f.path: f for f in source.files}, None, offline)

    @classmethod
    def in_folder(cls, folder: Path, name: str = "test") -> Files:
        """Every file below a folder, unverified, under its path relative to it."""
        paths = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
        return cls(name, tuple(paths), None, folder)

    @property
    def available(self) -> bool:
        """Whether all are there without a download."""
        return all(fetch.present(file) for file in (self.registered or {}).values())

    def _found(self, path: str) -> list[Path]:
        if path not in self.paths:
            raise DataError(f"source {self.name!r} has no file {path!r}; it has {', '.join(self.paths)}")
        if self.folder is not None:
            return [self.folder / path]
        return fetch.find(self.registered[path], self.offline)[0]

    def path(self, path: str) -> Path:
        """Where a plain file lies on this machine."""
        return self._found(path)[0]

    def text(self, path: str, encoding: str = "utf-8") -> str:
        """A whole text file, line ends as \\n. Raises DataError, naming the byte, where it is not in `encoding`."""
        return decode(self.path(path).read_bytes(), Path(path).name, encoding)

    def members(self, path: str) -> dict[str, bytes]:
        """What an archive holds, by path inside. A repack and its originals give the same, which is checked."""
        found = self._found(path)
        held = {name: content for archive in found for name, content in archives.members(archive).items()}
        file = (self.registered or {}).get(path)
        if file is None or file.packaging != "repack":
            return held
        held = archives.keep_folders(held, file.folders)
        if len(found) > 1 or found[0].name != Path(path).name:  # originals: the repack itself has its sha256
            digest = archives.content_hash(held, file.content or "bytes")
            if digest != file.content_sha256:
                raise DataError(
                    f"{', '.join(p.name for p in found)} of {self.name!r} hold content {digest}, expected "
                    f"{file.content_sha256}: another version than this study's"
                )
        return held


def decode(content: bytes, name: str, encoding: str = "utf-8") -> str:
    """Bytes to text, without a byte order mark, line ends as \\n. Raises DataError naming the first wrong byte."""
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name}: byte {error.start} (0x{content[error.start]:02x}) is not {encoding}; expected text in {encoding}"
        ) from None
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")

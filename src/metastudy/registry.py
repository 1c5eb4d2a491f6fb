"""The data registry: every public source of the study, typed and checked when it is read (`data/registry.yaml`)."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from metastudy.errors import DataError, ParameterError
from metastudy.parameters import nearest
from metastudy.project import find_root

Hex40 = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Md5 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
RelativePath = Annotated[str, Field(pattern=r"^(\w[\w.-]*/)*\w[\w.-]*$")]
Url = Annotated[str, Field(pattern=r"^https?://\S+$")]
FIELDS = ("images", "summarization", "medical", "search", "intents", "symptoms")
COMMIT = re.compile(r"/[0-9a-f]{40}(/|$)")


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Download(_Strict):
    """One file as it lies at its URL. It has a sha256 or md5 of its bytes, or, where a host packs anew on each
    request, the git tree hash of the folder inside that is used."""

    path: RelativePath
    url: Url
    bytes: Annotated[int, Field(gt=0)] | None = None
    sha256: Sha256 | None = None
    md5: Md5 | None = None
    git_tree_sha1: Hex40 | None = None

    @model_validator(mode="after")
    def _one_checksum(self) -> Download:
        if sum(c is not None for c in (self.sha256, self.md5, self.git_tree_sha1)) != 1:
            raise ValueError(f"{self.path}: expected one of sha256, md5 and git_tree_sha1")
        if not COMMIT.search(self.url):
            raise ValueError(f"{self.path}: the URL names no commit (40 hex digits), so what it holds may change")
        return self


class File(_Strict):
    """One file of a source, as a mirror has it; `path` is relative to data/raw and to a mirror.

    A repack has no URL of its own: it holds the content of its `originals`, and `content_sha256` is the hash of
    what both decode to (`archives.content_hash`): names with bytes, or with pixels where `content` says so, of the
    members inside `folders`.
    """

    path: RelativePath
    bytes: Annotated[int, Field(gt=0)]
    sha256: Sha256
    url: Url | None = None
    packaging: Literal["file", "repack"] = "file"
    originals: tuple[Download, ...] = Field(default=(), strict=False)
    folders: tuple[str, ...] = Field(default=(), strict=False)
    content: Literal["bytes", "pixels"] | None = None
    content_sha256: Sha256 | None = None

    @model_validator(mode="after")
    def _fits_packaging(self) -> File:
        of_repack = (bool(self.originals), bool(self.folders), self.content is not None, bool(self.content_sha256))
        if self.packaging == "repack" and not (all(of_repack) and self.url is None):
            raise ValueError(f"{self.path}: a repack needs originals, folders, content, content_sha256, and no url")
        if self.packaging == "file":
            if any(of_repack) or self.url is None:
                raise ValueError(f"{self.path}: a file needs a url; originals and content are for repacks")
            self.download  # noqa: B018  (checks the URL)
        return self

    @property
    def download(self) -> Download:
        """A plain file as its own download."""
        return Download(path=self.path, url=self.url or "", bytes=self.bytes, sha256=self.sha256)


class Source(_Strict):
    """One body of data: where it comes from, its terms, what is known to be wrong with it, and what reads it.

    `counts` is what its loader must find; `loader` the dotted name of a function of `metastudy.loaders`.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    title: str
    field: Literal["images", "summarization", "medical", "search", "intents", "symptoms"]
    loader: Annotated[str, Field(pattern=r"^metastudy\.loaders(\.\w+)+$")]
    what: str
    made_by: str
    licence: str
    citation: str
    counts: dict[str, int]
    traps: tuple[str, ...] = Field(strict=False)
    not_for: str
    files: Annotated[tuple[File, ...], Field(min_length=1, strict=False)]

    @property
    def bytes(self) -> int:
        """Size of its files as a mirror has them."""
        return sum(file.bytes for file in self.files)


class Registry(_Strict):
    """All sources, in the order in which they are shown. No name and no path occurs twice."""

    sources: Annotated[tuple[Source, ...], Field(min_length=1, strict=False)]

    @model_validator(mode="after")
    def _unique(self) -> Registry:
        paths = [d.path for s in self.sources for f in s.files for d in (f, *f.originals)]
        for what, found in (("source", [s.name for s in self.sources]), ("path", paths)):
            if repeated := sorted({name for name in found if found.count(name) > 1}):
                raise ValueError(f"{what} {repeated[0]!r} occurs twice; expected each once")
        return self

    def __getitem__(self, name: str) -> Source:
        """The source of a name. Raises ParameterError, with the nearest name, where there is none."""
        for source in self.sources:
            if source.name == name:
                return source
        names = [s.name for s in self.sources]
        raise ParameterError(f"no source {name!r} in data/registry.yaml{nearest(name, names)}; there are {len(names)}")

    def of_field(self, field: str) -> tuple[Source, ...]:
        """The sources of one field, in order."""
        return tuple(s for s in self.sources if s.field == field)

    def for_profile(self, profile: str) -> tuple[Source, ...]:
        """What a profile needs: nothing for `quick`, whose data comes with the pinned packages, else everything."""
        return () if profile == "quick" else self.sources


def read(path: Path) -> Registry:
    """The registry in a file. Raises DataError, naming every problem, where it does not fit the schema."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise DataError(f"{path.name} cannot be read ({error}); restore it from git") from None
    try:
        return Registry.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise DataError(f"{path.name}: {problems}. Mend the file") from None


@lru_cache(maxsize=1)
def load() -> Registry:
    """The project's registry, data/registry.yaml."""
    return read(find_root() / "data" / "registry.yaml")

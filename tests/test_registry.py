"""The registry: complete, strict, and the data's README written from it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from metastudy import datasheets, registry
from metastudy.errors import DataError, ParameterError
from metastudy.loaders import Files, check_counts
from metastudy.project import find_root
from metastudy.registry import FIELDS, Download, File

COMMIT = "0123456789abcdef0123456789abcdef01234567"
MANIFEST = Path(os.environ.get("METASTUDY_DATA_MIRROR", "")) / "MANIFEST.yaml"


def entry() -> dict:
    """A valid source, as it stands in the file."""
    return {
        "name": "tiny", "title": "Tiny", "field": "medical", "loader": "metastudy.loaders.medical.load",
        "what": "w", "made_by": "m", "licence": "MIT", "citation": "c", "counts": {"rows": 3}, "traps": ["t"],
        "not_for": "n",
        "files": [{"path": "a/b.csv", "bytes": 3, "sha256": "0" * 64, "url": f"https://x.org/{COMMIT}/b.csv"}],
    }  # fmt: skip


def written(tmp_path: Path, *entries: dict) -> Path:
    path = tmp_path / "registry.yaml"
    path.write_text(yaml.safe_dump({"sources": list(entries)}))
    return path


def test_the_registry_covers_what_the_study_needs() -> None:
    known = registry.load()
    assert len(known.sources) >= 30
    assert {s.field for s in known.sources} == set(FIELDS)
    assert [s for f in FIELDS for s in known.of_field(f)] == list(known.sources)
    assert known.for_profile("quick") == () and known.for_profile("full") == known.sources
    for source in known.sources:
        assert source.licence and source.citation and source.not_for and source.counts


@pytest.mark.skipif(not MANIFEST.is_file(), reason="no MANIFEST.yaml in METASTUDY_DATA_MIRROR")
def test_every_file_of_the_mirror_is_registered_with_its_hash_and_address() -> None:
    listed = {f["path"]: f for f in yaml.safe_load(MANIFEST.read_text())["files"]}
    files = {f.path: f for s in registry.load().sources for f in s.files}
    assert files.keys() == listed.keys()
    for path, file in files.items():
        assert (file.sha256, file.bytes) == (listed[path]["sha256"], listed[path]["bytes"])
        assert (file.packaging == "repack") == ("packaging" in listed[path])
        if file.url:
            assert listed[path]["commit"] in file.url and listed[path]["repo"] in file.url


def test_the_two_official_omniglot_archives_have_torchvision_s_checksums() -> None:
    originals = registry.load()["omniglot"].files[0].originals
    assert [o.md5 for o in originals] == ["68d2efa1b9178cc56df9314c21c6e718", "6b91aef0f799c5bb55b94e3f2daec811"]


def test_a_valid_entry_is_read(tmp_path: Path) -> None:
    found = registry.read(written(tmp_path, entry()))["tiny"]
    assert found.bytes == 3 and found.files[0].download.sha256 == "0" * 64


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"licence": None}, "licence"),
        ({"extra": 1}, "extra"),
        ({"field": "poetry"}, "field"),
        ({"loader": "os.system"}, "loader"),
        ({"counts": {"rows": "3"}}, "counts.rows"),
        ({"files": []}, "files"),
    ],
)
def test_a_wrong_entry_is_named(change: dict, says: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"sources.0.{says}"):
        registry.read(written(tmp_path, entry() | change))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"path": "../b.csv"}, "path"),
        ({"path": "/b.csv"}, "path"),
        ({"sha256": "0" * 63}, "sha256"),
        ({"bytes": 0}, "bytes"),
        ({"url": "https://x.org/main/b.csv"}, "names no commit"),
        ({"url": None}, "a file needs a url"),
        ({"content": "bytes"}, "for repacks"),
        ({"packaging": "repack"}, "a repack needs originals"),
    ],
)
def test_a_wrong_file_is_named(change: dict, says: str, tmp_path: Path) -> None:
    wrong = entry()
    wrong["files"][0] |= change
    with pytest.raises(DataError, match=says):
        registry.read(written(tmp_path, wrong))


def test_a_download_has_exactly_one_checksum() -> None:
    url = f"https://x.org/{COMMIT}/a"
    for sums in ({}, {"md5": "0" * 32, "sha256": "0" * 64}):
        with pytest.raises(ValueError, match="expected one of"):
            Download(path="a", url=url, **sums)


def test_nothing_occurs_twice(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="source 'tiny' occurs twice"):
        registry.read(written(tmp_path, entry(), entry()))
    with pytest.raises(DataError, match="path 'a/b.csv' occurs twice"):
        registry.read(written(tmp_path, entry(), entry() | {"name": "other"}))


def test_a_file_that_is_no_yaml_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "registry.yaml"
    path.write_text("sources: [")
    with pytest.raises(DataError, match="cannot be read"):
        registry.read(path)
    with pytest.raises(DataError, match="cannot be read"):
        registry.read(tmp_path / "absent.yaml")


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ParameterError, match="did you mean 'cranfield'"):
        registry.load()["cranfeild"]


def test_counts_are_compared_in_full() -> None:
    source = registry.load()["cranfield"]
    check_counts(source, dict(source.counts))
    for wrong, says in (
        (source.counts | {"queries": 224}, "queries 224, expected 225"),
        ({k: v for k, v in source.counts.items() if k != "queries"}, "queries not counted, expected 225"),
        (source.counts | {"pages": 1}, "pages 1, expected no such count"),
    ):
        with pytest.raises(DataError, match=says):
            check_counts(source, wrong)


def test_a_loader_is_given_only_its_own_files() -> None:
    files = Files.of(registry.load()["cranfield"])
    with pytest.raises(DataError, match="no file 'ir/cisi/cisi.tar.gz'; it has ir/cran/cran.tar.gz"):
        files.path("ir/cisi/cisi.tar.gz")


@pytest.mark.parametrize(
    ("content", "expected"), [(b"\xef\xbb\xbfa\r\nb\rc\n", "a\nb\nc\n"), ("grün".encode(), "grün")]
)
def test_text_is_read_without_its_marks(content: bytes, expected: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    assert Files.in_folder(tmp_path).text("a.txt") == expected


def test_text_in_another_encoding_is_named_by_its_byte(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"gr\xfcn")
    with pytest.raises(DataError, match=r"a.txt: byte 2 \(0xfc\) is not utf-8"):
        Files.in_folder(tmp_path).text("a.txt")
    assert Files.in_folder(tmp_path).text("a.txt", "latin-1") == "grün"


def test_the_readme_of_the_data_is_what_the_registry_says() -> None:
    committed = (find_root() / "data" / "README.md").read_text(encoding="utf-8")
    assert committed == datasheets.text(registry.load()), "run `make datasheets`"
    for source in registry.load().sources:
        sheet = datasheets.datasheet(source)
        assert sheet in committed and source.not_for.split()[0] in sheet
        assert all(f.path in sheet for file in source.files for f in (file, *file.originals))


def test_a_repack_s_sheet_names_its_originals() -> None:
    original = Download(path="o.zip", url=f"https://x.org/{COMMIT}/o.zip", md5="1" * 32)
    repack = File(
        path="r.tar.xz", bytes=5, sha256="0" * 64, packaging="repack", originals=(original,), folders=("f",),
        content="pixels", content_sha256="2" * 64,
    )  # fmt: skip
    sheet = datasheets.datasheet(registry.load()["omniglot"].model_copy(update={"files": (repack,)}))
    assert "repack of the below; content `2222222222222222…` (pixels)" in sheet and "md5 `1111111111111111…`" in sheet

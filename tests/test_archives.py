"""Archives: read whole or refused; hashes that do not depend on the packing."""

from __future__ import annotations

import io
import subprocess
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from at_hand import needs
from metastudy import archives
from metastudy.errors import DataError
from metastudy.loaders import Files
from metastudy.registry import load

INSIDE = {"a/one.txt": b"one", "a/b/two.txt": b"two", "three.bin": bytes(range(256))}


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def write_tar(path: Path, members: dict[str, bytes], kind: str) -> Path:
    with tarfile.open(path, f"w:{kind}") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("kind", ["zip", "gz", "xz", "bz2", ""])
def test_every_packing_gives_the_same_members(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "archive"
    write_zip(path, INSIDE) if kind == "zip" else write_tar(path, INSIDE, kind)
    assert archives.members(path) == INSIDE


@pytest.mark.parametrize("name", ["../out.txt", "a/../../out.txt", "/etc/passwd", "..\\out.txt", "C:\\out.txt"])
@pytest.mark.parametrize("kind", ["zip", "gz"])
def test_a_member_outside_its_folder_is_refused(name: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.archive"
    members = {"ok.txt": b"1", name: b"2"}
    write_zip(path, members) if kind == "zip" else write_tar(path, members, kind)
    with pytest.raises(DataError, match="bad.archive: member .* outside its folder"):
        archives.members(path)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(kind: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.tar"
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("link")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(DataError, match="link or a device"):
        archives.members(path)


@pytest.mark.parametrize("kind", ["zip", "gz", "xz"])
def test_a_truncated_or_damaged_archive_is_refused(kind: str, tmp_path: Path) -> None:
    noise = {"noise": np.random.default_rng(0).bytes(20_000)}
    path = write_zip(tmp_path / "x", noise) if kind == "zip" else write_tar(tmp_path / "x", noise, kind)
    whole = path.read_bytes()
    middle = bytes([whole[10_000] ^ 255])
    for content in (whole[:10_000], whole[:10_000] + middle + whole[10_001:], b"", b"no archive at all"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="x is damaged or cut short"):
            archives.members(path)


def test_an_archive_larger_than_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "TAR_OVERHEAD", 12_000)
    zeros = {"zeros": bytes(50_000)}
    for path in (write_zip(tmp_path / "bomb.zip", zeros), write_tar(tmp_path / "bomb.tar", zeros, "gz")):
        with pytest.raises(DataError, match="more than 40,000 bytes"):
            archives.members(path, limit=40_000)
        assert archives.members(path, limit=50_000) == zeros  # 10,240 of a tar are its headers and padding


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_repeated_name_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a", b"1")
        archive.writestr("a", b"2")
    with pytest.raises(DataError, match="'a' occurs twice"):
        archives.members(tmp_path / "x.zip")


def test_folders_are_found_at_any_depth() -> None:
    found = {"set/x/topics/a": b"1", "gold/b/c": b"2", "readme": b"3", "__MACOSX/topics/._a": b"4", "topics": b"5"}
    assert archives.keep_folders(found, ["topics", "gold"]) == {"topics/a": b"1", "gold/b/c": b"2"}
    with pytest.raises(DataError, match="no folder 'other' among the 5"):
        archives.keep_folders(found, ["topics", "other"])


def png(pixels: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", **options)
    return buffer.getvalue()


def test_pixels_are_hashed_whatever_the_encoder_and_bytes_are_not() -> None:
    picture = np.random.default_rng(0).random((7, 9)) < 0.5
    one, other = png(picture), png(picture.astype(np.uint8) * 255, compress_level=0)
    assert one != other and (archives.pixels(one, "x") == picture).all()
    assert archives.content_hash({"a": one}, "pixels") == archives.content_hash({"a": other}, "pixels")
    assert archives.content_hash({"a": one}) != archives.content_hash({"a": other})
    changed = picture.copy()
    changed[3, 3] ^= True
    for different in ({"a": png(changed)}, {"b": one}, {"a": png(picture.T)}):
        assert archives.content_hash(different, "pixels") != archives.content_hash({"a": one}, "pixels")
    with pytest.raises(DataError, match="a.png is no readable picture"):
        archives.pixels(one[:40], "a.png")


def test_the_order_of_members_does_not_matter() -> None:
    assert archives.content_hash(INSIDE) == archives.content_hash(dict(reversed(INSIDE.items())))


names = st.text("abc-.0", min_size=1, max_size=4).filter(lambda n: set(n) != {"."} and n.strip() == n)


@given(
    st.dictionaries(
        st.lists(names, min_size=1, max_size=3).map("/".join), st.binary(max_size=9), min_size=1, max_size=6
    )
)
def test_the_tree_hash_is_the_same_however_members_are_ordered(found: dict[str, bytes]) -> None:
    files = {n: c for n, c in found.items() if not any(other.startswith(f"{n}/") for other in found)}
    shuffled = dict(sorted(files.items(), key=lambda item: item[1]))
    assert archives.git_tree_sha1(files) == archives.git_tree_sha1(shuffled)


def test_the_tree_hash_is_git_s_own(tmp_path: Path) -> None:
    members = INSIDE | {"a.b": b"1", "a-b": b"2", "a0": b"3", "ab/c": b"4", "ä/ö ü": b"5"}
    for name, content in members.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    git = ["git", "-c", "core.autocrlf=false", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    tree = subprocess.run([*git, "write-tree"], check=True, capture_output=True, text=True).stdout.strip()
    assert archives.git_tree_sha1(members) == tree


@needs("bbc", "opinosis")
@pytest.mark.parametrize("name", ["bbc", "opinosis"])
def test_the_repacks_hold_the_registered_content(name: str) -> None:
    source = load()[name]
    file = source.files[0]
    held = Files.of(source, offline=True).members(file.path)
    assert archives.content_hash(held, file.content) == file.content_sha256
    if tree := file.originals[0].git_tree_sha1:
        assert archives.git_tree_sha1(held) == tree


@needs("omniglot", "omniglot_minimal")
def test_the_repack_of_omniglot_and_the_official_small_archives_decode_to_the_same_content() -> None:
    full = load()["omniglot"]
    held = Files.of(full, offline=True).members(full.files[0].path)
    assert archives.content_hash(held, "pixels") == full.files[0].content_sha256
    small = Files.of(load()["omniglot_minimal"], offline=True)
    for path in small.paths:
        official = {n.partition("/")[2]: c for n, c in small.members(path).items()}
        repacked = {n: held[f"images_background/{n}"] for n in official}
        assert archives.content_hash(official, "pixels") == archives.content_hash(repacked, "pixels")

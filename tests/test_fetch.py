"""Finding a registered file: the order of places, and every way in which a download can go wrong."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import pooch
import pytest

from metastudy import archives, fetch, registry
from metastudy.errors import DataError
from metastudy.loaders import Files
from metastudy.registry import Download, File, Source
from web_server import Site, serving

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CONTENT = b"a table of real data\n" * 3000


@pytest.fixture
def site():
    with serving() as running:
        yield running


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project, no mirror, and no patience."""
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.setenv("METASTUDY_ROOT", str(tmp_path))
    monkeypatch.delenv(fetch.MIRROR, raising=False)
    monkeypatch.setattr(fetch, "TIMEOUT", 0.3)
    monkeypatch.setattr(pooch.core.time, "sleep", lambda _: None)
    return tmp_path


def registered(site: Site, content: bytes = CONTENT, path: str = "tables/a.csv") -> File:
    """A file that the server has."""
    url = f"/{COMMIT}/{path}"
    site.content[url] = content
    return File(path=path, bytes=len(content), sha256=hashlib.sha256(content).hexdigest(), url=site.url + url)


def put(folder: Path, file: File, content: bytes = CONTENT) -> Path:
    path = folder / file.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def left(root: Path) -> list[str]:
    """Everything that lies in data/raw."""
    raw = root / "data" / "raw"
    return sorted(p.relative_to(raw).as_posix() for p in raw.rglob("*") if p.is_file())


def test_raw_goes_before_the_mirror_and_the_mirror_before_the_url(places, site, monkeypatch) -> None:
    file = registered(site)
    mirror = places / "mirror"
    mirror.mkdir()
    monkeypatch.setenv(fetch.MIRROR, str(mirror))
    assert fetch.find(file) == ([places / "data/raw" / file.path], "downloaded")
    assert len(site.requests) == 1
    in_mirror = put(mirror, file)
    assert fetch.find(file) == ([places / "data/raw" / file.path], "data/raw")
    (places / "data/raw" / file.path).unlink()
    assert fetch.find(file) == ([in_mirror], "the mirror")
    assert len(site.requests) == 1 and left(places) == []


def test_a_download_is_whole_and_alone(places, site) -> None:
    file = registered(site)
    paths, _ = fetch.find(file)
    assert paths[0].read_bytes() == CONTENT and left(places) == [file.path]


@pytest.mark.parametrize("behaviour", ["lie", "break", "cut", "stall", "refuse"])
def test_a_server_that_misbehaves_once_is_asked_again(behaviour, places, site) -> None:
    file = registered(site)
    site.behaviours[f"/{COMMIT}/{file.path}"] = [behaviour]
    paths, _ = fetch.find(file)
    assert paths[0].read_bytes() == CONTENT and left(places) == [file.path] and len(site.requests) == 2


@pytest.mark.parametrize(
    ("behaviour", "says"),
    [
        ("lie", "another checksum than the registry"),
        ("break", "cannot be read"),
        ("cut", "another checksum"),
        ("stall", "cannot be read|no byte from"),
        ("refuse", "answers 503"),
    ],
)
def test_a_server_that_always_misbehaves_leaves_nothing(behaviour, says, places, site, monkeypatch) -> None:
    monkeypatch.setattr(fetch, "RETRIES", 1)
    file = registered(site)
    site.behaviours[f"/{COMMIT}/{file.path}"] = [behaviour] * 9
    with pytest.raises(DataError, match=says) as caught:
        fetch.find(file)
    assert file.path in str(caught.value) and left(places) == [] and len(site.requests) == 2


def test_a_lie_names_what_was_expected_and_found(places, site, monkeypatch) -> None:
    monkeypatch.setattr(fetch, "RETRIES", 0)
    file = registered(site)
    site.behaviours[f"/{COMMIT}/{file.path}"] = ["lie"]
    wrong = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    with pytest.raises(DataError) as caught:
        fetch.find(file)
    assert file.sha256 in str(caught.value) and hashlib.sha256(wrong).hexdigest() in str(caught.value)


def test_a_server_without_end_is_stopped(places, site) -> None:
    file = registered(site)
    site.behaviours[f"/{COMMIT}/{file.path}"] = ["endless"]
    with pytest.raises(DataError, match=f"more than the expected {len(CONTENT):,} bytes"):
        fetch.find(file)
    assert left(places) == []


def test_a_file_that_is_gone_and_a_server_that_is_gone(places, monkeypatch) -> None:
    monkeypatch.setattr(fetch, "RETRIES", 1)
    with serving() as site:
        file = registered(site)
        del site.content[f"/{COMMIT}/{file.path}"]
        with pytest.raises(DataError, match="answers 404"):
            fetch.find(file)
    with pytest.raises(DataError, match="check the network"):
        fetch.find(file)
    assert left(places) == []


def test_offline_says_what_to_do(places, site) -> None:
    with pytest.raises(DataError, match="make data PROFILE=full.*METASTUDY_DATA_MIRROR"):
        fetch.find(registered(site), offline=True)
    assert site.requests == []


def test_a_mirror_that_is_no_folder_is_refused(places, site, monkeypatch) -> None:
    monkeypatch.setenv(fetch.MIRROR, str(places / "nowhere"))
    with pytest.raises(DataError, match="nowhere.*no folder"):
        fetch.find(registered(site))


@pytest.mark.parametrize("where", ["data/raw", "mirror"])
def test_a_damaged_file_is_refused_wherever_it_lies(where, places, site, monkeypatch) -> None:
    file = registered(site)
    put(places / where, file)
    monkeypatch.setenv(fetch.MIRROR, str(places / "mirror")) if where == "mirror" else None
    assert fetch.find(file)
    for damaged, says in ((CONTENT[:-1], "expected 63,000: it is cut short"), (CONTENT[:-1] + b"x", "has sha256")):
        path = put(places / where, file, damaged)
        os.utime(path, ns=(time.time_ns(), time.time_ns()))
        with pytest.raises(DataError, match=says):
            fetch.find(file)
    assert site.requests == []


def test_a_full_disk_is_seen_before_and_during_the_download(places, site, monkeypatch) -> None:
    file = registered(site)
    usage = fetch.shutil.disk_usage(places)
    with monkeypatch.context() as patch:
        patch.setattr(fetch.shutil, "disk_usage", lambda _: usage._replace(free=10))
        with pytest.raises(DataError, match="63,000 bytes and data/raw has 10 left"):
            fetch.find(file)
    assert site.requests == []

    def full(self, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fetch._Capped, "write", full)
    with pytest.raises(DataError, match="the disk is full"):
        fetch.find(file)
    assert left(places) == []


KILLED = """
import sys
from metastudy import fetch
from metastudy.registry import File
fetch.find(File(path="tables/a.csv", bytes={size}, sha256="{sha256}", url="{url}"))
"""


def test_a_killed_download_leaves_nothing_under_its_name(places, site) -> None:
    file = registered(site)
    site.behaviours[f"/{COMMIT}/{file.path}"] = ["stall"]
    code = KILLED.format(size=file.bytes, sha256=file.sha256, url=file.url)
    process = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"METASTUDY_ROOT": str(places)})
    deadline = time.monotonic() + 20
    while not any((places / "data").rglob("tmp*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    assert file.path not in left(places)
    assert fetch.find(file)[0][0].read_bytes() == CONTENT


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(members: dict[str, bytes], mode: str = "w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def repacked(site: Site, originals: dict[str, bytes], checksums: list[dict], content: str) -> File:
    downloads = []
    for (path, packed), checksum in zip(originals.items(), checksums, strict=True):
        site.content[f"/{COMMIT}/{path}"] = packed
        downloads.append(Download(path=path, url=f"{site.url}/{COMMIT}/{path}", **checksum))
    return File(
        path="all.tar.xz", bytes=1, sha256="0" * 64, packaging="repack", originals=tuple(downloads),
        folders=("topics", "gold"), content="bytes", content_sha256=content,
    )  # fmt: skip


INSIDE = {"topics/a.txt": b"one", "topics/b.txt": b"two", "gold/a/1.txt": b"sum"}


def test_a_repack_is_taken_first_and_its_originals_downloaded_where_it_is_not(places, site, monkeypatch) -> None:
    first = zipped({f"set/{k}": v for k, v in INSIDE.items() if k.startswith("topics")} | {"set/readme": b"x"})
    second = zipped({"__MACOSX/gold/x": b"junk", "gold/a/1.txt": b"sum"})
    sums = [{"md5": hashlib.md5(first).hexdigest()}, {"sha256": hashlib.sha256(second).hexdigest()}]
    file = repacked(site, {"one.zip": first, "two.zip": second}, sums, archives.content_hash(INSIDE))
    paths, where = fetch.find(file)
    assert where == "downloaded" and [p.name for p in paths] == ["one.zip", "two.zip"]
    assert fetch.find(file)[1] == "data/raw" and len(site.requests) == 2
    packed = tarred(INSIDE, "w:xz")
    own = file.model_copy(update={"bytes": len(packed), "sha256": hashlib.sha256(packed).hexdigest()})
    put(places / "mirror", own, packed)
    monkeypatch.setenv(fetch.MIRROR, str(places / "mirror"))
    assert fetch.find(own) == ([places / "mirror" / "all.tar.xz"], "the mirror")


def test_an_archive_packed_anew_on_each_request_is_checked_by_its_git_tree(places, site) -> None:
    tree = archives.git_tree_sha1(INSIDE)
    for attempt in (tarred(INSIDE | {"other": b"1"}), tarred({f"repo-1/{k}": v for k, v in INSIDE.items()})):
        file = repacked(site, {"repo.tar.gz": attempt}, [{"git_tree_sha1": tree}], archives.content_hash(INSIDE))
        assert fetch.find(file)[1] == "downloaded"
        assert left(places) == ["repo.tar.gz"]
        (places / "data/raw/repo.tar.gz").unlink()
    changed = tarred(INSIDE | {"topics/a.txt": b"One"})
    file = repacked(site, {"repo.tar.gz": changed}, [{"git_tree_sha1": tree}], archives.content_hash(INSIDE))
    with pytest.raises(DataError, match=f"git tree .* expected {tree}"):
        fetch.find(file)
    assert left(places) == []


def source(name: str, *files: File) -> Source:
    return Source(
        name=name, title=name, field="medical", loader="metastudy.loaders.medical.load", what="w", made_by="m",
        licence="a very long licence text that goes on and on and on", citation="c", counts={"rows": 1}, traps=(),
        not_for="n", files=files,
    )  # fmt: skip


def test_one_failing_source_does_not_stop_the_others(places, site, monkeypatch) -> None:
    monkeypatch.setattr(fetch, "RETRIES", 0)
    good, gone = registered(site), registered(site, b"other", "b.csv")
    del site.content[f"/{COMMIT}/b.csv"]
    found = fetch.fetch([source("gone", gone), source("good", good)])
    assert found["status"].tolist() == ["missing", "downloaded"]
    assert "answers 404" in found["problem"][0] and found["problem"][1] == ""
    table = fetch.show(found)
    assert "a very long licence text that goes on and..." in table and "2 sources, 2 files, 0.1 MB" in table


def test_the_command_prints_a_table_and_says_by_its_exit_code_how_it_went(places, site, monkeypatch, capsys) -> None:
    monkeypatch.setattr(fetch, "RETRIES", 0)
    good, gone = source("good", registered(site)), source("gone", registered(site, b"other", "b.csv"))
    del site.content[f"/{COMMIT}/b.csv"]
    monkeypatch.setattr(registry, "load", lambda: registry.Registry(sources=(good, gone)))
    assert fetch.main(["--profile", "full"]) == 1
    out, err = capsys.readouterr()
    assert "good" in out and "downloaded" in out and "missing" in out and "b.csv" in err
    assert fetch.main(["--only", "good", "--offline"]) == 0
    assert "data/raw" in capsys.readouterr().out
    assert fetch.main(["--only", "god"]) == 2
    assert "did you mean 'good'" in capsys.readouterr().err
    assert fetch.main(["--profile", "quick"]) == 0
    assert "needs no download" in capsys.readouterr().out


def test_ctrl_c_is_answered_with_a_word(places, site, monkeypatch, capsys) -> None:
    monkeypatch.setattr(registry, "load", lambda: registry.Registry(sources=(source("good", registered(site)),)))
    monkeypatch.setattr(fetch, "find", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert fetch.main([]) == 130 and "stopped" in capsys.readouterr().err


def test_a_loader_gets_the_same_from_a_repack_and_from_its_originals(places, site, monkeypatch) -> None:
    first, second = zipped({"set/topics/a.txt": b"one", "set/topics/b.txt": b"two"}), zipped({"gold/a/1.txt": b"sum"})
    sums = [{"sha256": hashlib.sha256(packed).hexdigest()} for packed in (first, second)]
    file = repacked(site, {"one.zip": first, "two.zip": second}, sums, archives.content_hash(INSIDE))
    assert Files.of(source("texts", file)).members("all.tar.xz") == INSIDE
    other = file.model_copy(update={"content_sha256": "1" * 64})
    with pytest.raises(DataError, match=f"hold content {archives.content_hash(INSIDE)}, expected {'1' * 64}"):
        Files.of(source("texts", other)).members("all.tar.xz")
    packed = tarred({f"packed/{name}": content for name, content in INSIDE.items()}, "w:xz")
    own = file.model_copy(update={"bytes": len(packed), "sha256": hashlib.sha256(packed).hexdigest()})
    put(places / "mirror", own, packed)
    monkeypatch.setenv(fetch.MIRROR, str(places / "mirror"))
    assert Files.of(source("texts", own)).members("all.tar.xz") == INSIDE


def test_pictures_of_two_packings_are_compared_as_they_look(places, site) -> None:
    from PIL import Image

    picture = Image.new("1", (9, 7))
    picture.putpixel((2, 3), 1)
    one, other = io.BytesIO(), io.BytesIO()
    picture.save(one, "PNG")
    picture.convert("L").save(other, "PNG", compress_level=0)
    assert one.getvalue() != other.getvalue()
    packed = zipped({"topics/a.png": other.getvalue(), "gold/b.png": other.getvalue()})
    expected = archives.content_hash({"topics/a.png": one.getvalue(), "gold/b.png": one.getvalue()}, "pixels")
    file = repacked(site, {"a.zip": packed}, [{"md5": hashlib.md5(packed).hexdigest()}], expected)
    file = file.model_copy(update={"content": "pixels"})
    assert set(Files.of(source("pictures", file)).members("all.tar.xz")) == {"topics/a.png", "gold/b.png"}

"""`make check-data`: every source read, counted, and told when it is not as registered."""

from __future__ import annotations

import json

import pytest

from at_hand import needs
from metastudy import loaders, registry
from metastudy.errors import DataError, ParameterError
from metastudy.loaders import __main__ as command
from metastudy.loaders import symptoms
from metastudy.loaders.files import Files

ALL = tuple(s.name for s in registry.load().sources)


class Held:
    def __init__(self, **counts: int) -> None:
        self.counts = counts


def test_a_source_that_is_not_as_registered_stops_no_other(monkeypatch, capsys) -> None:
    def load(name: str, offline: bool) -> Held:
        if name == "cisi":
            raise DataError("cisi is cut short")
        return Held(documents_found=1400)

    monkeypatch.setattr(command, "load", load)
    assert command.main(["--only", "cisi", "cranfield"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "refused: cisi is cut short" in lines[1]
    assert "cranfield documents found 1,400 as registered" in " ".join(lines[2].split())
    assert lines[3].startswith("1 of 2 sources as registered, all held at once; ")
    assert command.main(["--only", "cranfield"]) == 0


def test_an_unknown_source_and_ctrl_c_have_their_own_exit_codes(monkeypatch, capsys) -> None:
    assert command.main(["--only", "cranfeld"]) == 2
    assert "did you mean 'cranfield'" in capsys.readouterr().err
    monkeypatch.setattr(command, "load", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert command.main(["--only", "cranfield"]) == 130


def test_loading_compares_what_is_counted_with_the_registry(monkeypatch) -> None:
    source = registry.load()["symptom2disease"]
    monkeypatch.setattr(symptoms, "load", lambda files: Held(**source.counts))
    assert loaders.load("symptom2disease").counts == source.counts
    monkeypatch.setattr(symptoms, "load", lambda files: Held(**(source.counts | {"texts": 1199})))
    with pytest.raises(DataError, match="'symptom2disease': found texts 1199, expected 1200"):
        loaders.load("symptom2disease")
    with pytest.raises(ParameterError, match="did you mean"):
        loaders.load("symptom2diseases")


def test_without_the_file_it_says_what_to_do(tmp_path, monkeypatch) -> None:
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.setenv("METASTUDY_ROOT", str(tmp_path))
    monkeypatch.delenv("METASTUDY_DATA_MIRROR", raising=False)
    source = registry.load()["symptom2disease"]
    assert not Files.of(source, offline=True).available
    with pytest.raises(DataError, match="make data PROFILE=full"):
        Files.of(source, offline=True).path(source.files[0].path)


LIGHT = [s for s in ALL if registry.load()[s].field in ("medical", "intents", "symptoms")]


@pytest.mark.parametrize("name", LIGHT)
def test_every_real_source_of_short_rows_is_as_registered(name: str) -> None:
    if not loaders.available(name):
        pytest.skip(f"no {name} in data/raw or METASTUDY_DATA_MIRROR")
    assert loaders.load(name, offline=True).counts == registry.load()[name].counts


@needs(*ALL)
def test_every_file_of_the_study_is_there_and_right() -> None:
    assert all(Files.of(s, offline=True).available for s in registry.load().sources)


def test_every_loader_that_is_registered_exists() -> None:
    from importlib import import_module

    for source in registry.load().sources:
        module, _, function = source.loader.rpartition(".")
        assert callable(getattr(import_module(module), function)), json.dumps(source.loader)

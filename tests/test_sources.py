"""What the data notebook says about its sources is what is installed."""

from __future__ import annotations

from email.message import Message

import pytest

from metastudy import corpus, sources
from metastudy.families.digits import Digits
from metastudy.families.tables import TABLES, MedicalTables


def declared(monkeypatch: pytest.MonkeyPatch, *fields: tuple[str, str]) -> str:
    """The licence that a distribution with these metadata fields is said to have."""
    message = Message()
    for name, value in fields:
        message[name] = value
    monkeypatch.setattr(sources.importlib.metadata, "metadata", lambda _: message)
    return sources.licence("some-package")


def test_the_expression_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    assert declared(monkeypatch, ("License", "old words"), ("License-Expression", "MIT")) == "MIT"
    assert declared(monkeypatch, ("License", "BSD 3-Clause")) == "BSD 3-Clause"


def test_a_whole_licence_text_is_replaced_by_the_classifiers(monkeypatch: pytest.MonkeyPatch) -> None:
    text = ("License", "Copyright\n        All rights")
    named = [("Classifier", f"License :: OSI Approved :: {name}") for name in ("BSD License", "MIT License")]
    assert declared(monkeypatch, text, ("Classifier", "Topic :: X"), *named) == "BSD License; MIT License"
    assert declared(monkeypatch, text) == "see its LICENSE file" == declared(monkeypatch)


def test_a_long_line_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    assert declared(monkeypatch, ("License", "x" * 100)) == "x" * 60


@pytest.mark.parametrize("distribution", corpus.PACKAGES.values())
def test_every_licence_is_one_short_line(distribution: str) -> None:
    found = sources.licence(distribution)
    assert 0 < len(found) <= 60 and found == found.strip() and len(found.splitlines()) == 1


def test_documentation_is_counted_as_the_corpus_holds_it() -> None:
    found, entries = sources.documentation().set_index("package"), corpus.load().entries
    assert list(found.columns) == ["version", "licence", "entries", "queries", "links", "sentences"]
    assert list(found.index) == list(corpus.PACKAGES)
    assert found["version"].to_dict() == corpus.versions()
    assert found["entries"].sum() == len(entries)
    for package in corpus.PACKAGES:
        own = [e for e in entries if e.package == package]
        counts = [len(own), len([e for e in own if len(e.see_also) > 0])]
        counts += [len([link for e in own for link in e.see_also]), len([s for e in own for s in e.body])]
        assert found.loc[package, ["entries", "queries", "links", "sentences"]].tolist() == counts
    assert (found["queries"] <= found["entries"]).all() and (found["queries"] <= found["links"]).all()


def test_embedded_sources_carry_the_hashes_that_task_lists_rely_on() -> None:
    found = sources.embedded().set_index("source")
    assert list(found.columns) == ["what", "licence", "sha256"] and len(found) == 2 + len(TABLES)
    assert found.loc["handwritten digits", "sha256"] == Digits().content_hash()[:16]
    assert found.loc["breast cancer", "sha256"] == MedicalTables().content_hash()[:16]
    assert found.loc["library documentation", "sha256"] == corpus.load().content_hash()[:16]
    for name, (values, labels) in MedicalTables().data.items():
        what = found.loc[name.replace("_", " "), "what"]
        assert what.startswith(f"{len(labels)} patients, {values.shape[1]} columns, ") and "%" in what
    assert f"{len(corpus.load().entries):,} docstrings" in found.loc["library documentation", "what"]

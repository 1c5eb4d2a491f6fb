"""Files of documents are read as they are meant, and refused by line where they cannot be."""

from __future__ import annotations

import json

import pytest

from metastudy.errors import DataError
from metastudy.own_data import documents_file
from metastudy.own_data.documents_file import read_asked, read_labelled

GOOD = {"document": "One stone. Two rivers.", "summary": "A stone."}


def written(folder, *lines, name="own.jsonl"):
    path = folder / name
    content = [line if isinstance(line, bytes) else (line if isinstance(line, str) else json.dumps(line)).encode()
               for line in lines]  # fmt: skip
    path.write_bytes(b"\n".join(content) + b"\n")
    return path


def test_texts_lists_and_names(tmp_path):
    rows = read_labelled(
        written(
            tmp_path,
            {**GOOD, "domain": "a", "id": 7, "group": " g "},
            "",
            {"document": ["One.", "Two."], "summary": ["Ones.", "Twos."], "domain": "b", "id": "x|y", "more": None},
            {"document": "Three.", "summary": "3", "domain": "b", "group": None},
        )
    )
    assert [(r.where, r.id, r.domain, r.group) for r in rows] == [
        ("own.jsonl line 1", "7", "a", "g"),
        ("own.jsonl line 3", "x¦y", "b", ""),
        ("own.jsonl line 4", "line 4", "b", ""),
    ]
    assert [r.document for r in rows] == [GOOD["document"], ("One.", "Two."), "Three."]
    assert [r.summaries for r in rows] == [("A stone.",), ("Ones.", "Twos."), ("3",)]
    assert [r.characters for r in rows] == [22, 8, 6]


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path):
    (row,) = read_labelled(written(tmp_path, b"\xef\xbb\xbf" + json.dumps(GOOD).encode() + b"\r"))
    assert row.document == GOOD["document"]


def test_a_document_that_comes_again_adds_its_summary(tmp_path):
    again = {"document": "One stone.\n Two  rivers.", "summary": "Rivers."}
    rows = read_labelled(written(tmp_path, GOOD, {"document": "Else.", "summary": "So."}, again, GOOD))
    assert [(r.id, r.summaries) for r in rows] == [("line 1", ("A stone.", "Rivers.")), ("line 2", ("So.",))]
    assert [r.lines for r in rows] == [3, 1]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([GOOD, "{"], "own.jsonl line 2 is no JSON"),
        (["[", GOOD, "]"], "line 1 is no JSON.*without brackets"),
        ([[GOOD]], "line 1 is JSON, but a list; expected an object"),
        ([b'{"document": "\xe9t\xe9"}'], r"line 1: byte 15 \(0xe9\) is no UTF-8"),
        ([{"documents": "One.", "summary": "One."}], "line 1 has no 'document'; did you mean 'documents'"),
        ([GOOD, {"document": "One."}], "line 2 has no 'summary'; found 'document'"),
        ([{**GOOD, "summary": 3}], r"line 1: 'summary' is a int \(3\)"),
        ([{**GOOD, "document": ["One.", None]}], r"line 1: 'document' holds a NoneType \(None\)"),
        ([{**GOOD, "document": " "}], "line 1: 'document' is empty"),
        ([{**GOOD, "summary": []}], "line 1: 'summary' is empty"),
        ([{**GOOD, "id": [1]}], r"line 1: 'id' is a list \(\[1\]\); expected a name"),
        ([{**GOOD, "id": "a"}, GOOD, {**GOOD, "id": "a"}], "line 3: id 'a' stands on own.jsonl line 1 too"),
        ([{**GOOD, "domain": "a"}, GOOD], "line 2 has no 'domain', and own.jsonl line 1 has one"),
        ([{**GOOD, "domain": "all"}], "domain 'all' would be taken"),
        (['{"document": "\\ud83d", "summary": "a"}'], r"line 1: 'document' holds \\ud83d, half of a character"),
        (["[" * 100_000], "line 1 is no JSON"),
        (["", " "], "own.jsonl holds no document"),
    ],
)
def test_what_cannot_be_read_is_refused_by_line(tmp_path, lines, told):
    with pytest.raises(DataError, match=told):
        read_labelled(written(tmp_path, *lines))


def test_no_file_a_folder_and_too_large_a_file(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"gone.jsonl is no file"):
        read_labelled(tmp_path / "gone.jsonl")
    with pytest.raises(DataError, match="is a folder"):
        read_labelled(tmp_path)
    monkeypatch.setattr(documents_file, "LIMIT", 1e-6)
    with pytest.raises(DataError, match="at most"):
        read_labelled(written(tmp_path, GOOD))


def test_what_is_asked_about_needs_no_summary_and_may_be_a_plain_text(tmp_path):
    rows = read_asked(written(tmp_path, {"document": "One."}, {"document": "One.", "id": "b"}))
    assert [(r.id, r.document, r.summaries) for r in rows] == [("line 1", "One.", ()), ("b", "One.", ())]
    path = written(tmp_path, "One stone.", "", "Two\u2028rivers.", name="a letter.txt")
    (row,) = read_asked(path)
    assert (row.id, row.document) == ("a letter", "One stone.\n\nTwo\u2028rivers.")
    with pytest.raises(DataError, match="line 2: byte 1"):
        read_asked(written(tmp_path, "One.", b"\xff", name="a.txt"))

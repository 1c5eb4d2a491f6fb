"""People's own collections in BEIR's layout: read as they are, or refused by file, line and reason."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metastudy.beir import CORPUS, HEADER, QUERIES, read_corpus, read_qrels, read_queries, read_query_ids
from metastudy.errors import DataError
from metastudy.loaders.collections import read_beir, write_beir
from toy_collections import toy, write

PAGES = [
    {"_id": "d1", "title": "Wings", "text": "A wing stalls."},
    {"_id": "d2", "text": "Heat flows.", "metadata": {}},
]
QUESTIONS = [{"_id": "q1", "text": "how does a wing stall"}, {"_id": "q2", "text": "heat", "metadata": {"year": 1963}}]
HEAD = "\t".join(HEADER) + "\n"


def lines(rows) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def folder(tmp_path):
    rows = "q1\td1\t2\nq1\td2\t0\nq2\td2\t1\n"
    write(tmp_path / "mine", {CORPUS: lines(PAGES), QUERIES: lines(QUESTIONS), "qrels/test.tsv": HEAD + rows})
    return tmp_path / "mine"


def test_what_is_written_is_what_is_read(folder):
    corpus, queries = read_corpus(folder), read_queries(str(folder))
    assert corpus == {"d1": ("Wings", "A wing stalls."), "d2": ("", "Heat flows.")}
    assert queries == {"q1": "how does a wing stall", "q2": "heat"}
    assert read_qrels(folder) == {"q1": {"d1": 2, "d2": 0}, "q2": {"d2": 1}}
    assert read_qrels(folder, "test", queries, corpus) == read_qrels(folder)


def test_a_collection_of_the_study_is_read_alike(tmp_path):
    """Against the reader of what the study downloads, which is stricter about what a collection is."""
    write_beir(toy("toy", 0), tmp_path)
    expected = read_beir(tmp_path, "toy")
    assert read_corpus(tmp_path) == {i: (d.title, d.text) for i, d in expected.documents.items()}
    assert list(read_corpus(tmp_path)) == list(expected.documents), "in this order"
    assert read_queries(tmp_path) == expected.queries and read_qrels(tmp_path) == expected.qrels


@given(st.dictionaries(st.text(min_size=1), st.tuples(st.text(), st.text()), min_size=1))
def test_any_text_survives(tmp_path_factory, pages):
    folder = tmp_path_factory.mktemp("any")
    rows = [{"_id": i, "title": title, "text": text} for i, (title, text) in pages.items()]
    for escaped in (True, False):
        content = "".join(json.dumps(row, ensure_ascii=escaped) + "\r\n" for row in rows)
        (folder / CORPUS).write_bytes(b"\xef\xbb\xbf" * escaped + content.encode())
        assert read_corpus(folder) == pages


def test_marks_blank_lines_and_negative_grades_are_read(folder):
    write(folder, {QUERIES: "\ufeff" + lines(QUESTIONS).replace("\n", "\r\n\r\n")})
    assert read_queries(folder) == {"q1": "how does a wing stall", "q2": "heat"}
    write(folder, {"qrels/dev.tsv": "\ufeff" + (HEAD + "q1\td1\t-1\n\nq1\td2\t1").replace("\n", "\r\n")})
    assert read_qrels(folder, "dev") == {"q1": {"d1": -1, "d2": 1}}, "as TREC-COVID has them"
    write(folder, {CORPUS: lines([{"_id": "d", "title": None, "text": ""}])})
    assert read_corpus(folder) == {"d": ("", "")}


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (
            '{"_id": "d2", "text": "Heat',
            r"corpus.jsonl line 2 is no JSON \(Unterminated string.*expected one object a line",
        ),
        ("Heat flows.", "corpus.jsonl line 2 is no JSON"),
        ('["d2", "Heat"]', "corpus.jsonl line 2 is JSON, but a list; expected an object a line"),
        ("3", "line 2 is JSON, but a int"),
        ('{"id": "d2", "text": "Heat"}', "line 2 has no '_id', only 'id', 'text'; expected a string under it"),
        ('{"Id": "d2", "text": "Heat"}', "has no '_id', only 'Id', 'text'; expected a string under it$"),
        ('{"_id": "d2", "txt": "Heat"}', "line 2 has no 'text', only '_id', 'txt'.*; did you mean 'txt'"),
        ('{"_ids": "d2", "text": "Heat"}', "line 2 has no '_id'.*; did you mean '_ids'"),
        ("{}", "line 2 has no '_id', only nothing"),
        ('{"_id": "d2", "title": "Heat"}', "line 2 has no 'text', only '_id', 'title'"),
        ('{"_id": 2, "text": "Heat"}', r"line 2: '_id' is a int \(2\); expected a string, in quotes"),
        ('{"_id": null, "text": "Heat"}', r"line 2: '_id' is a NoneType"),
        ('{"_id": "d2", "text": null}', r"line 2: 'text' is a NoneType \(None\)"),
        ('{"_id": "d2", "text": ["Heat"]}', "line 2: 'text' is a list"),
        ('{"_id": "d2", "title": 7, "text": "Heat"}', r"line 2: 'title' is a int \(7\)"),
        ('{"_id": "d1", "text": "Heat"}', "line 2: id 'd1' stands on line 1 too; expected each id once"),
        (r'{"_id": "d2", "text": "\ud83d"}', r"line 2: 'text' holds \\ud83d, half of a character"),
        (b'{"_id": "d2", "text": "Caf\xe9"}', r"line 2: byte 27 \(0xe9\) is no UTF-8; save the file as UTF-8"),
    ],
)
def test_a_page_that_cannot_be_read_is_named_by_line(folder, second, message):
    second = second if isinstance(second, bytes) else second.encode()
    write(folder, {CORPUS: lines(PAGES[:1]).encode() + second + b"\n"})
    with pytest.raises(DataError, match=message):
        read_corpus(folder)


def test_files_of_another_kind_are_refused(folder):
    write(folder, {CORPUS: lines(PAGES).encode("utf-16")})
    with pytest.raises(DataError, match=r"corpus.jsonl line 1: byte 1 \(0xff\) is no UTF-8"):
        read_corpus(folder)
    write(folder, {CORPUS: json.dumps(PAGES, indent=1)})
    with pytest.raises(DataError, match="corpus.jsonl line 1 is no JSON"):
        read_corpus(folder)
    for nothing in ("", "\n\n"):
        write(folder, {CORPUS: nothing, QUERIES: nothing})
        with pytest.raises(DataError, match="corpus.jsonl holds no page; expected at least one"):
            read_corpus(folder)
        with pytest.raises(DataError, match="queries.jsonl holds no query"):
            read_queries(folder)


def test_a_missing_file_or_folder_is_named(folder, tmp_path):
    (folder / CORPUS).unlink()
    with pytest.raises(DataError, match=r"mine has no corpus.jsonl \(found: qrels, queries.jsonl\); expected BEIR's"):
        read_corpus(folder)
    with pytest.raises(DataError, match=r"nowhere has no queries.jsonl \(found: no such folder\)"):
        read_queries(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty has no corpus.jsonl \(found: nothing\)"):
        read_corpus(tmp_path / "empty")


def test_a_query_without_text_is_refused(folder):
    write(folder, {QUERIES: lines([QUESTIONS[0], {"_id": "q2", "text": " \n"}])})
    with pytest.raises(DataError, match="queries.jsonl line 2: query 'q2' has no text; expected some"):
        read_queries(folder)


def test_absent_judgements_are_told_apart(folder):
    with pytest.raises(DataError, match="mine has no qrels/dev.tsv; name one of test as part"):
        read_qrels(folder, "dev")
    write(folder, {"qrels/train.tsv": HEAD})
    with pytest.raises(DataError, match="mine has no qrels/dev.tsv; name one of test, train as part"):
        read_qrels(folder, "dev")
    with pytest.raises(DataError, match="qrels/train.tsv holds no judgement"):
        read_qrels(folder, "train")
    for path in (folder / "qrels").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="mine has no qrels/test.tsv; expected judgements, such as qrels/test.tsv"):
        read_qrels(folder)
    (folder / "qrels").rmdir()
    with pytest.raises(DataError, match="mine has no qrels/test.tsv; expected judgements"):
        read_qrels(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("q1\td1\t1\n", r"test.tsv line 1: 'q1\\td1\\t1'; expected the header query-id, corpus-id, score, with tabs"),
        ("query-id corpus-id score\n", "line 1: 'query-id corpus-id score'; expected the header"),
        ("", "qrels/test.tsv holds no judgement"),
        (f"{HEAD}q1 d1 1\n", "line 2: 1 columns in 'q1 d1 1', expected 3 with tabs between"),
        (f"{HEAD}q1\t0\td1\t1\n", r"line 2: 4 columns in 'q1\\t0\\td1\\t1', expected 3"),
        (f"{HEAD}q1\td1\t1\nq1\td2\tyes\n", "line 3: grade 'yes', expected a whole number"),
        (f"{HEAD}q1\td1\t0.5\n", "line 2: grade '0.5'"),
        (f"{HEAD}q1\td1\tnan\n", "line 2: grade 'nan'"),
        (f"{HEAD}q1\td1\t\n", "line 2: grade ''"),
        (f"{HEAD}q1\td1\t1\nq2\td1\t1\nq1\td1\t1\n", "line 4: query 'q1' and page 'd1' are judged twice"),
        (f"{HEAD}q1\td1\t1\nd1\tq1\t1\n", "line 3: query 'd1' is unknown; is it of this collection, in this column"),
        (f"{HEAD}q1\td7\t1\n", "line 2: page 'd7' is unknown"),
        (HEAD.encode() + b"q\xfc\td1\t1\n", r"line 2: byte 2 \(0xfc\) is no UTF-8"),
    ],
)
def test_a_judgement_that_cannot_be_read_is_named_by_line(folder, content, message):
    write(folder, {"qrels/test.tsv": content})
    with pytest.raises(DataError, match=message):
        read_qrels(folder, "test", read_queries(folder), read_corpus(folder))


def test_ids_are_only_looked_up_where_they_are_given(folder):
    write(folder, {"qrels/test.tsv": f"{HEAD}q9\td7\t1\n"})
    assert read_qrels(folder) == {"q9": {"d7": 1}}
    with pytest.raises(DataError, match="query 'q9' is unknown"):
        read_qrels(folder, queries=read_queries(folder))


def test_an_unknown_id_is_set_beside_one_that_is_like_it(folder, monkeypatch):
    write(folder, {"qrels/test.tsv": f"{HEAD}q1\td1\t1\nq1\tdd2\t1\n"})
    with pytest.raises(DataError, match="line 3: page 'dd2' is unknown.*in this column\\?; did you mean 'd2'"):
        read_qrels(folder, "test", read_queries(folder), read_corpus(folder))
    monkeypatch.setattr("metastudy.beir.LOOKED_THROUGH", 1)
    with pytest.raises(DataError, match="page 'dd2' is unknown; is it of this collection, in this column\\?$"):
        read_qrels(folder, "test", read_queries(folder), read_corpus(folder))
    write(folder, {"qrels/train.tsv": HEAD})
    with pytest.raises(DataError, match="name one of test, train as part; did you mean 'train'"):
        read_qrels(folder, "tran")


def test_some_of_the_queries_are_named_by_their_ids(folder):
    queries = read_queries(folder)
    write(folder, {"ids.txt": "\ufeffq2\r\n\n q1 \nq2\n", "some.jsonl": '{"_id": "q2", "text": "other"}\n'})
    assert read_query_ids(folder / "ids.txt", queries) == ["q2", "q1"]
    assert read_query_ids(folder / "some.jsonl", queries) == ["q2"]
    write(
        folder, {"ids.txt": "q1\nq22\n", "some.jsonl": '{"id": "q2"}\n', "none.txt": " \n", "bad.txt": b"q1\nq\xfc\n"}
    )
    for name, message in (
        ("ids.txt", "ids.txt line 2: query 'q22' is none of queries.jsonl; expected their ids; did you mean 'q2'"),
        ("some.jsonl", "some.jsonl line 1 has no '_id', only 'id'"),
        ("none.txt", "none.txt holds no query"),
        ("bad.txt", r"bad.txt line 2: byte 2 \(0xfc\) is no UTF-8"),
        ("absent.txt", "has no absent.txt"),
    ):
        with pytest.raises(DataError, match=message):
            read_query_ids(folder / name, queries)

"""Search collections from tiny files of our own: what is read, what is mended, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from metastudy.errors import DataError, ParameterError
from metastudy.loaders.collections import (
    Document,
    SearchCollection,
    cisi,
    cranfield,
    cystic_fibrosis,
    medline,
    nfcorpus,
    npl,
    read_beir,
    scifact,
    write_beir,
)
from metastudy.loaders.collections.smart import records
from metastudy.loaders.collections.tabular import printed_sentences
from metastudy.loaders.files import Files
from toy_collections import tar, toy, write, zipped

CRAN = {
    "cran.all.1400": ".I 1\n.T\nlift of\n a wing .\n.A\nb,m.\n.B\nj. 1958\n.W\nlift of a wing .\n  we study\nwings .\n"
    ".I 2\n.T\n.A\n.B\n.W\n\n"
    ".I 3\n.T\nheat .\n.A\nx\n.B\ny\n.W\nheat .\nflow of heat\n.A\nin air\n.W\nand gas\n",
    "cran.qry": ".I 001\r\n.W\r\nwhat is lift .\r\n.I 007\r\n.W\r\nhow does heat\r\nflow .\r\n",
    "cranqrel": "1 1 1 \n1 3 4 \n2 3  2\n2 1 -1\n",
}


def a_cranfield(folder, **changed):
    tar(folder / "ir/cran/cran.tar.gz", {k: v for k, v in (CRAN | changed).items() if v is not None})
    return Files.in_folder(folder)


def a_smart(folder, name, **changed):
    upper = {"cisi": "CISI", "med": "MED"}[name]
    plain = {
        "ALL": ".I 1\r\n.T\r\nBooks\r\n.A\r\nX\r\n.W\r\nA text.\r\n.X\r\n1\t5\t1\r\n"
        ".I 2\r\n.W\r\nTwo.\r\n.K \r\nkey\r\n",
        "QRY": ".I 1\r\n.W\r\nA question?\r\n.I 5\r\n.T\r\nA title\r\n.W\r\nand more\r\n",
        "REL": "     1      2\t0\t0.000000\r\n" if name == "cisi" else "1 0 2 1\n5 0 1 1\n",
    } | changed
    tar(folder / f"ir/{name}/{name}.tar.gz", {f"{upper}.{k}": v for k, v in plain.items()})
    return Files.in_folder(folder)


NPL = {
    "doc-text": "\n1\ncompact memories  a storage\nsystem\n   /\n3\npulse\n   /\n",
    "query-text": "1\nPULSE LOGIC\n/\n2\nMEMORIES\n/\n",
    "rlv-ass": "1\n    3\n   /\n2\n    1     3\n   /\n",
}


def an_npl(folder, **changed):
    write(folder, {f"ir/npl/{k}": v for k, v in (NPL | {k.replace("_", "-"): v for k, v in changed.items()}).items()})
    return Files.in_folder(folder)


PAPER = "PN 74001\nRN 0000{n} \nAN 1\nTI A title\n   that goes on.\nMJ X.\n{rest}RF   001   AB C\n\n"
CF = {
    **{f"cf{year}": PAPER.format(n=year - 73, rest=f"EX Extract of {year}.\n") for year in range(75, 80)},
    "cf74": PAPER.format(n=1, rest="AB An abstract\nmaximal\n   end.\n") + "\n\x1a\x1a\n",
    "cfquery": "QN 00001 \nQU What of\n   CF?\nNR 00002\nRD    1 1222    6 0001\n \n"
    "QN 00002\nQU And?\nNR 00001\nRD 2 2222\n  ",
}


def a_cystic_fibrosis(folder, **changed):
    write(folder, {f"ir/cf/{k}": v for k, v in (CF | changed).items()})
    return Files.in_folder(folder)


CORPUS = (
    "doc_id,title,abstract,structured\n"
    "11,One,\"['First sentence.'\n 'Second (p = 1).']\",False\n"
    r"""12,"Two, too","[""It's third."" 'a \'b\' c\n']",True"""
    "\n"
)
SCIFACT = {
    "beir_queries.jsonl": '{"_id": "1", "text": "A claim.", "metadata": {}}\n{"_id": "2", "text": "B"}\n',
    "beir_qrels_train.tsv": "query-id\tcorpus-id\tscore\r\n1\t11\t1\r\n",
    "beir_qrels_test.tsv": "query-id\tcorpus-id\tscore\r\n2\t11\t1\r\n2\t12\t1\r\n",
}


def a_scifact(folder, corpus=CORPUS, member="corpus_train.csv", **changed):
    write(folder, {f"ir/scifact/{k}": v for k, v in SCIFACT.items()} | changed)
    zipped(folder / "ir/scifact/scifact.zip", {member: corpus, "claims_train.csv": "id\n"})
    return Files.in_folder(folder)


NFCORPUS = {
    "test.docs": "MED-1\tstatin breast cancer\nMED-2\tdiet\n",
    "test.titles.queries": "PLAIN-1\tstatins ?\nPLAIN-2\tdiet\nPLAIN-3\tunjudged\n",
    "test.nontopic-titles.queries": "PLAIN-1\tstatins ?\n",
    "test.vid-desc.queries": "PLAIN-2\tthe twin vicious “cycles”\n",
    "test.2-1-0.qrel": "PLAIN-1\t0\tMED-1\t2\nPLAIN-1\t0\tMED-2\t1\nPLAIN-2\t0\tMED-2\t2\n",
}


def an_nfcorpus(folder, changed=None):
    write(folder, {f"ir/nfcorpus/{k}": v for k, v in (NFCORPUS | (changed or {})).items()})
    return Files.in_folder(folder)


def test_cranfield_joins_by_place_and_the_best_code_gets_the_highest_grade(tmp_path):
    found = cranfield(a_cranfield(tmp_path))
    assert found.queries == {"1": "what is lift .", "2": "how does heat flow ."}
    assert found.qrels == {"1": {"1": 4, "3": 1}, "2": {"3": 3, "1": 0}}
    assert found.relevant() == {"1": {"1": 4, "3": 1}, "2": {"3": 3}}
    assert found.documents["1"] == Document("lift of a wing .", "we study wings .")
    assert found.documents["3"] == Document("heat .", "flow of heat in air and gas"), "stray marks inside the text"
    assert found.without_text == ("2",)
    assert found.counts == {
        "documents": 3, "queries": 2, "judged_queries": 2, "judgements": 4,
        "not_relevant": 1, "documents_without_text": 1,
    }  # fmt: skip


def test_cisi_and_medline(tmp_path):
    found = cisi(a_smart(tmp_path / "a", "cisi"))
    assert found.documents == {"1": Document("Books", "A text."), "2": Document("", "Two.")}
    assert found.queries == {"1": "A question?", "5": "A title and more"}
    assert found.qrels == {"1": {"2": 1}} and found.counts["judged_queries"] == 1
    assert medline(a_smart(tmp_path / "b", "med")).qrels == {"1": {"2": 1}, "5": {"1": 1}}


def test_npl(tmp_path):
    found = npl(an_npl(tmp_path))
    assert found.documents == {"1": Document("", "compact memories a storage system"), "3": Document("", "pulse")}
    assert found.queries == {"1": "PULSE LOGIC", "2": "MEMORIES"}
    assert found.qrels == {"1": {"3": 1}, "2": {"1": 1, "3": 1}}


def test_cystic_fibrosis(tmp_path):
    found = cystic_fibrosis(a_cystic_fibrosis(tmp_path))
    assert found.documents["1"] == Document("A title that goes on.", "An abstract maximal end.")
    assert found.documents["6"].text == "Extract of 79."
    assert found.queries == {"1": "What of CF?", "2": "And?"}
    assert found.qrels == {"1": {"1": 7, "6": 1}, "2": {"2": 8}}


def test_scifact(tmp_path):
    found = scifact(a_scifact(tmp_path))
    assert found.documents["11"] == Document("One", "First sentence. Second (p = 1).")
    assert found.documents["12"] == Document("Two, too", "It's third. a 'b' c")
    assert found.parts == {"train": ("1",), "test": ("2",)}
    assert found.relevant("test") == {"2": {"11": 1, "12": 1}} and len(found.relevant()) == 2
    assert found.counts["test_judgements"] == 2 and found.counts["train_judgements"] == 1


def test_nfcorpus(tmp_path):
    files = an_nfcorpus(tmp_path)
    found = nfcorpus(files)
    assert found.counts == {
        "documents": 2, "queries": 3, "judged_queries": 2, "judgements": 3, "grade_2": 2, "grade_1": 1
    }  # fmt: skip
    assert nfcorpus(files, "vid-desc").queries == {"PLAIN-2": "the twin vicious “cycles”"}
    assert nfcorpus(files, "vid-desc").qrels == {"PLAIN-2": {"MED-2": 2}}
    with pytest.raises(ParameterError, match="'transcript'; expected one of titles, nontopic-titles, vid-desc"):
        nfcorpus(files, "transcript")


@pytest.mark.parametrize(
    ("make", "load", "problem"),
    [
        (lambda f: a_cranfield(f, cranqrel="1 1 1\n9 1 2\n"), cranfield, "judgements of query '9'.*2 queries.*joined"),
        (lambda f: a_cranfield(f, cranqrel="1 1 1\n1 77 2\n"), cranfield, "document '77'.*not among the 3 documents"),
        (lambda f: a_cranfield(f, cranqrel="1 1 1\n1 3 6\n"), cranfield, "cranqrel line 2: code 6, expected one of"),
        (lambda f: a_cranfield(f, cranqrel="1 1 1\n1 3\n"), cranfield, "cranqrel line 2: 2 columns.*expected 3.*fetch"),
        (lambda f: a_cranfield(f, cranqrel="1 1 x\n"), cranfield, "cranqrel line 1: 'x', expected a whole number"),
        (lambda f: a_cranfield(f, cranqrel="1 1 1\n1 1 2\n"), cranfield, "'1' and document '1' are judged twice"),
        (lambda f: a_cranfield(f, cranqrel=None), cranfield, "no member 'cranqrel'; it holds cran.all.1400, cran.qry"),
        (
            lambda f: a_cranfield(f, **{"cran.all.1400": ".I 1\n.W\na\n.I 1\n.W\nb\n"}),
            cranfield,
            "cran.all.1400: document '1' occurs twice",
        ),
        (lambda f: a_cranfield(f, **{"cran.qry": ".I 1\n.W\n\n.I 2\n.W\nx\n"}), cranfield, "query '1' has no text"),
        (
            lambda f: a_cranfield(f, **{"cran.qry": b".I 1\n.W\ncaf\xe9\n"}),
            cranfield,
            r"cran.qry: byte 11 \(0xe9\) is not utf-8",
        ),
        (lambda f: a_smart(f, "cisi", ALL=".I 1\n.T\nBooks\n"), cisi, "CISI.ALL line 1: record 1 has no .W; it is cut"),
        (lambda f: a_smart(f, "cisi", ALL="Books\n"), cisi, "CISI.ALL line 1: 'Books' belongs to no record"),
        (lambda f: a_smart(f, "med", REL="1 2 1\n"), medline, "MED.REL line 1: 3 columns.*expected 4"),
        (lambda f: an_npl(f, doc_text="1\ntext\n   /\n2\nmore"), npl, "doc-text line 4: the record.*has no slash"),
        (lambda f: an_npl(f, doc_text="1\na\n/\nx\nb\n/\n"), npl, "doc-text line 4: 'x', expected a whole number"),
        (lambda f: an_npl(f, doc_text="1\na\n/\n/\n"), npl, "doc-text line 4: a slash with no record"),
        (lambda f: an_npl(f, query_text="1\nA\n/\n1\nB\n/\n"), npl, "query-text: query '1' occurs twice"),
        (lambda f: an_npl(f, query_text="1\n/\n2\nB\n/\n"), npl, "query '1' has no text"),
        (
            lambda f: a_cystic_fibrosis(f, cfquery=CF["cfquery"].replace("NR 00002", "NR 00003")),
            cystic_fibrosis,
            "cfquery line 1: 2 judgements, NR says 3; it is cut short",
        ),
        (
            lambda f: a_cystic_fibrosis(f, cfquery=CF["cfquery"].replace("0001", "0003")),
            cystic_fibrosis,
            "judgement '0003', expected four digits from 0 to 2",
        ),
        (
            lambda f: a_cystic_fibrosis(f, cf75="PN 75001\nRN 00002\nAN 1\n"),
            cystic_fibrosis,
            "cf75 line 1: the record that begins here has no TI; it is cut short",
        ),
        (
            lambda f: a_cystic_fibrosis(f, cf75=CF["cf74"]),
            cystic_fibrosis,
            r"cf74 to cf79: paper \(RN\) '1' occurs twice",
        ),
        (
            lambda f: a_cystic_fibrosis(f, cf75=CF["cf75"].replace("MJ", "TI")),
            cystic_fibrosis,
            "cf75 line 6: TI comes twice in the record of line 1",
        ),
        (lambda f: a_scifact(f, member="other.csv"), scifact, "no member 'corpus_train.csv'; it holds claims_train"),
        (
            lambda f: a_scifact(f, corpus=CORPUS.replace("abstract", "summary")),
            scifact,
            "no column 'abstract'; it has doc_id, title, summary",
        ),
        (lambda f: a_scifact(f, corpus=CORPUS + "13,x\n"), scifact, "corpus_train.csv line 5: 2 columns, expected 4"),
        (lambda f: a_scifact(f, corpus=CORPUS + '13,"x\n'), scifact, "corpus_train.csv line 5 is no CSV"),
        (
            lambda f: a_scifact(f, corpus=CORPUS + "13,x,\"['a' b]\",False\n"),
            scifact,
            "line 5: ' b' in an abstract is no quoted text",
        ),
        (lambda f: a_scifact(f, corpus=CORPUS + "13,x,abc,False\n"), scifact, "line 5: abstract 'abc', expected a "),
        (
            lambda f: a_scifact(f, **{"ir/scifact/beir_queries.jsonl": '{"_id": "1", "text": "A"}\n{"_id": "2"\n'}),
            scifact,
            "beir_queries.jsonl line 2 is no JSON",
        ),
        (
            lambda f: a_scifact(f, **{"ir/scifact/beir_queries.jsonl": '{"_id": "1", "text": "A"}\n{"_id": "2"}\n'}),
            scifact,
            "beir_queries.jsonl line 2 has no text under 'text'",
        ),
        (
            lambda f: a_scifact(f, **{"ir/scifact/beir_qrels_test.tsv": "2\t11\t1\n"}),
            scifact,
            "beir_qrels_test.tsv line 1.*expected the columns query-id, corpus-id, score",
        ),
        (
            lambda f: a_scifact(f, **{"ir/scifact/beir_qrels_test.tsv": SCIFACT["beir_qrels_train.tsv"]}),
            scifact,
            "query of two parts '1' occurs twice",
        ),
        (lambda f: an_nfcorpus(f, {"test.docs": "MED-1 no tab\n"}), nfcorpus, "test.docs line 1: 1 columns.*expected"),
        (
            lambda f: an_nfcorpus(f, {"test.vid-desc.queries": "PLAIN-9\tx\n"}),
            nfcorpus,
            "vid-desc.queries: query 'PLAIN-9' is not in test.titles.queries",
        ),
        (
            lambda f: an_nfcorpus(f, {"test.2-1-0.qrel": "PLAIN-1\t0\tMED-1\t-1\n"}),
            nfcorpus,
            "grade -1; expected 0.*translate",
        ),
        (
            lambda f: an_nfcorpus(f, {"test.docs": b"MED-1\tcaf\xe9\n"}),
            nfcorpus,
            r"test.docs: byte 9 \(0xe9\) is not utf-8",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_input_is_one_clear_error(tmp_path, make, load, problem):
    with pytest.raises(DataError, match=problem):
        load(make(tmp_path))


def test_a_missing_file_is_named(tmp_path):
    write(tmp_path, {"ir/npl/doc-text": NPL["doc-text"]})
    with pytest.raises(DataError, match="no file 'ir/npl/query-text'; it has ir/npl/doc-text"):
        npl(Files.in_folder(tmp_path))


def test_an_archive_cut_short(tmp_path):
    a_cranfield(tmp_path)
    path = tmp_path / "ir/cran/cran.tar.gz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="cran.tar.gz is damaged or cut short"):
        cranfield(Files.in_folder(tmp_path))


def test_a_stray_mark_is_text_only_where_it_is_asked_for():
    content = b".I 1\n.W\none\n.A\ntwo\n"
    assert [records(content, "x", text_to_end=stray)[0].text("W") for stray in (True, False)] == ["one two", "one"]


def test_sentences_as_numpy_prints_them():
    text = """['a "quoted" word.'\n 'It\\'s' "isn't it" 'tab\\tand \\\\ slash']"""
    assert printed_sentences(text, "x") == ['a "quoted" word.', "It's", "isn't it", "tab\tand \\ slash"]
    assert printed_sentences("[]", "x") == []
    for code in ("['a' + 'b']", "[__import__('os')]", "['a', 'b']", "['a", "['\\x']", "['a'"):
        with pytest.raises(DataError, match="^here: "):
            printed_sentences(code, "here")


def test_beir_layout_keeps_everything(tmp_path):
    first = replace(toy("toy", 1, queries=4, documents=9), parts={"train": ("0", "2"), "test": ("1", "3")})
    write_beir(first, tmp_path)
    assert sorted(p.name for p in tmp_path.rglob("*.*")) == ["corpus.jsonl", "queries.jsonl", "test.tsv", "train.tsv"]
    again = read_beir(tmp_path, "toy")
    assert dict(again.documents) == dict(first.documents) and again.qrels == first.qrels
    assert dict(again.queries) == dict(first.queries) and dict(again.parts) == dict(first.parts)
    assert json.loads((tmp_path / "corpus.jsonl").read_text().splitlines()[0]).keys() == {"_id", "title", "text"}
    assert (tmp_path / "qrels" / "test.tsv").read_text().splitlines()[0] == "query-id\tcorpus-id\tscore"
    bytes_before = (tmp_path / "corpus.jsonl").read_bytes()
    write_beir(again, tmp_path)
    assert (tmp_path / "corpus.jsonl").read_bytes() == bytes_before


def test_one_s_own_data_in_beir_layout(tmp_path):
    write(tmp_path, {"corpus.jsonl": '{"_id": "d", "title": "", "text": "t\\u2028u"}\n', "queries.jsonl": ""})
    with pytest.raises(DataError, match="'mine' has no qrels"):
        read_beir(tmp_path, "mine")
    write(tmp_path, {"qrels/test.tsv": "query-id\tcorpus-id\tscore\n"})
    with pytest.raises(DataError, match="1 documents, 0 queries, 0 judged ones; expected some of each"):
        read_beir(tmp_path, "mine")
    write(
        tmp_path,
        {"queries.jsonl": '{"_id": "q", "text": "x"}\n', "qrels/test.tsv": "query-id\tcorpus-id\tscore\nq\td\t2\n"},
    )
    assert read_beir(tmp_path, "mine").documents["d"].text == "t\u2028u", "only a line feed ends a line"
    write(tmp_path, {"corpus.jsonl": '{"_id": "d", "title": "", "text": "x"}\n' * 2})
    with pytest.raises(DataError, match="corpus.jsonl: document 'd' occurs twice"):
        read_beir(tmp_path, "mine")


def test_what_no_collection_may_be():
    documents, queries, qrels = {"d": Document("", "x")}, {"q": "text"}, {"q": {"d": 1}}
    for bad, problem in (
        ({"documents": {"d e": Document("", "x")}}, "document id 'd e'; expected no space"),
        ({"queries": {"q": "text", "a|b": "text"}}, r"query id 'a\|b'; expected no space and no \|"),
        ({"parts": {"test": ("q", "q")}}, "parts test hold 2 queries, expected each of the 1 judged ones once"),
        ({"qrels": {"q": {}}}, "expected some of each"),
        ({"queries": {"q": " \n"}}, "query 'q' has no text"),
    ):
        with pytest.raises(DataError, match=problem):
            SearchCollection("x", **({"documents": documents, "queries": queries, "qrels": qrels} | bad))


def test_content_hash_sees_every_part():
    one = toy("toy", 1, queries=4, documents=9)
    others = [
        toy("toy", 1, queries=4, documents=10),
        toy("toy", 2, queries=4, documents=9),
        replace(one, qrels=one.qrels | {"0": {"0": 1}}),
        replace(one, queries=one.queries | {"0": "other"}),
        replace(one, parts={"train": tuple(one.qrels)}),
    ]
    assert len({c.content_hash() for c in (one, *others)}) == 6
    assert one.content_hash() == toy("again", 1, queries=4, documents=9).content_hash()

"""News articles and letters: headlines and subjects are never input."""

import io

import openpyxl
import pytest
from summary_files import only, put, tar_xz

from metastudy.errors import DataError
from metastudy.loaders import Files, summaries
from metastudy.loaders.summaries.articles import BBC, CNN, MEQSUM


def news(**changed):
    members = {
        "News Articles/tech/001.txt": b"The Headline\n\nFirst line. Second one.\n\nThird one here.\n",
        "Summaries/tech/001.txt": b"Third one here.First line.",
        "News Articles/sport/001.txt": b"Other\n\nIt cost \xa33m.\n\nReally so.",
        "Summaries/sport/001.txt": "It cost £3m.".encode(),
        "News Articles/sport/002.txt": b"Another headline\n\nFirst line.\n\nSecond one. Third one here.",
        "Summaries/sport/002.txt": b"First line.",
    }
    return tar_xz({f"BBC News Summary/{k}": v for k, v in (members | changed).items()})


def test_bbc_joins_by_name_and_drops_headlines_and_repeated_articles(tmp_path):
    put(tmp_path, BBC, news())
    found = summaries.bbc(Files.in_folder(tmp_path))
    assert found.counts == {"documents": 3, "tech": 1, "sport": 2}
    assert [d.id for d in found.documents] == ["bbc/sport/001", "bbc/sport/002"]  # tech/001 is sport/002 again
    assert found.documents[1].units == ("First line.", "Second one.", "Third one here.")
    assert found.documents[0].units == ("It cost £3m.", "Really so.")
    assert found.repairs == {"not UTF-8": ("News Articles/sport/001.txt",), "duplicate": ("bbc/tech/001",)}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"Summaries/tech/001.txt": None}, r"tech/001.txt has no summary of its name \(1 of 3"),
        ({"News Articles/tech/001.txt": None}, r"tech/001.txt has no article of its name"),
        ({"News Articles/tech/001.txt": b"No headline. Text at once.\nMore."}, r"tech/001.txt does not begin with"),
        ({"Summaries/tech/001.txt": b" "}, r"'bbc/tech/001' has 1 summaries, and not all hold a word"),
        ({"Summaries/tech/001.txt": b"\x81 is in no code page"}, r"tech/001.txt: byte 0 \(0x81\) is not cp1252"),
    ],
)
def test_bbc_refuses(tmp_path, changed, message):
    put(tmp_path, BBC, news(**changed))
    with pytest.raises(DataError, match=message):
        summaries.bbc(Files.in_folder(tmp_path))


def test_cnn_joins_its_highlights_and_names_a_missing_column(tmp_path):
    put(tmp_path, CNN, ',text,y\n7,"By. A man. |. He said, ""Go!""","He went.\nTwice."\n')
    document = only(summaries.cnn_dailymail(Files.in_folder(tmp_path)))
    assert document.units[-1].startswith("He said,") and "|." not in document.units
    assert document.references == ("He went. Twice.",)
    put(tmp_path, CNN, ",texts,y\n1,a,b\n")
    with pytest.raises(DataError, match=r"cnn_dailymail.csv has no column 'text'; did you mean 'texts'"):
        summaries.cnn_dailymail(Files.in_folder(tmp_path))
    put(tmp_path, CNN, "")
    with pytest.raises(DataError, match="cnn_dailymail.csv is no table"):
        summaries.cnn_dailymail(Files.in_folder(tmp_path))


def sheet(folder, rows, header=("File", "CHQ", "Summary", None)):
    book = openpyxl.Workbook()
    for row in (header, *rows):
        book.active.append(row)
    buffer = io.BytesIO()
    book.save(buffer)
    put(folder, MEQSUM, buffer.getvalue())
    return Files.in_folder(folder)


@pytest.mark.parametrize(
    ("question", "units"),
    [
        ("SUBJECT: pain\nMESSAGE: It hurts. What can\nI do?", ("It hurts.", "What can I do?")),
        ('SUBJECT: "pain\n"\nMESSAGE: It hurts.', ("It hurts.",)),
        ("From: me\nSubject: pain\nIt hurts.", ("From: me It hurts.",)),
        ("Name:\nSubject:\nI have pain\nMessage:\nIt hurts.", ("Name: It hurts.",)),
        ("Pain in the neck.\n It hurts.", ("It hurts.",)),
        ("MESSAGE: It hurts.\n Why?", ("It hurts.", "Why?")),
        ("It hurts.\nThe subject: pain.", ("It hurts.", "The subject: pain.")),
    ],
)
def test_meqsum_subjects_are_no_input(tmp_path, question, units):
    found = summaries.meqsum(sheet(tmp_path, [("1.txt", question, "What is it?")]))
    assert only(found).units == units
    assert found.repairs == (
        {} if "MESSAGE: It hurts.\n" in question or "The" in question else {"subject removed": ("meqsum/1.txt",)}
    )


def test_meqsum_refuses_another_sheet(tmp_path):
    with pytest.raises(DataError, match=r"row 3 has no text in column 'Summary'"):
        summaries.meqsum(sheet(tmp_path, [("1", "It hurts.", "Why?"), ("2", "It aches.", None)]))
    with pytest.raises(DataError, match=r"first row is \['File', 'Question', 'Summary'\].*expected \['File', 'CHQ'"):
        summaries.meqsum(sheet(tmp_path, [("1", "It hurts.", "Why?")], ("File", "Question", "Summary")))
    put(tmp_path, MEQSUM, b"File,CHQ,Summary\n")
    with pytest.raises(DataError, match="is no Excel file"):
        summaries.meqsum(Files.in_folder(tmp_path))
    assert (
        only(summaries.meqsum(sheet(tmp_path, [("Why?", "1", "It hurts.")], ("Summary", "File", "CHQ")))).id
        == "meqsum/1"
    )

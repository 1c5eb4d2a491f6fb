"""Texts by one author: abstracts of papers, news articles, and letters that ask a medical question."""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import openpyxl
from openpyxl.utils.exceptions import InvalidFileException

from metastudy import archives
from metastudy.errors import DataError
from metastudy.loaders.files import Files
from metastudy.loaders.summaries import reading
from metastudy.loaders.summaries.reading import decode_old, field, json_rows, one_line, sentences, with_words
from metastudy.loaders.summaries.schema import SourceDocument, Split, Summaries, cached, checked
from metastudy.parameters import nearest

SCITLDR: dict[Split, str] = {"train": "train", "validation": "dev", "test": "test"}
BBC = "summarization/bbc_news/bbc_news_summary.tar.xz"
BBC_FOLDERS = ("News Articles", "Summaries")
CNN = "summarization/cnn_dm_sample_news/cnn_dailymail.csv"
MEQSUM = "summarization/meqsum_medical/MeQSum_ACL2019_BenAbacha_Demner-Fushman.xlsx"
MEQSUM_COLUMNS = ("File", "CHQ", "Summary")
SUBJECT = re.compile(  # marked; marked anywhere else; or a first line that ends in a full stop, the next one indented
    r"(?ims)\A\s*SUBJECT:.*?(?=^MESSAGE:)|^SUBJECT:[ \t]*\n?[^\n]*|\A(?!MESSAGE:)[^\n]+\.\n(?= )"
)


@cached
def scitldr(files: Files) -> Summaries:
    """SciTLDR-A (Cachola et al. 2020): abstracts as sentences, already split; one summary in train, 1 to 4 elsewhere.

    The title is not read. Raises DataError for a malformed line, a missing field, or an empty text.
    """
    documents, counts = [], {}
    for split, name in SCITLDR.items():
        for where, row in json_rows(files, f"summarization/scitldr_science/{name}.jsonl"):
            units = with_words(reading.texts(row, "source", where))
            references = tuple(one_line(target) for target in reading.texts(row, "target", where))
            name_of = f"scitldr/{field(row, 'paper_id', str, where)}"
            documents.append(SourceDocument(name_of, "scitldr", units, "sentences", references, split))
        counts[split] = sum(d.split == split for d in documents)
    return checked(documents, {"documents": len(documents)} | counts, {})


def _joined(members: Mapping[str, bytes]) -> list[str]:
    """Names that both folders have. Raises DataError where a name lacks its other half."""
    articles, summaries = (
        {name.split("/", 1)[1] for name in members if name.startswith(f"{folder}/")} for folder in BBC_FOLDERS
    )
    if alone := sorted(articles ^ summaries):
        raise DataError(
            f"{alone[0]} has no {'summary' if alone[0] in articles else 'article'} of its name ({len(alone)} of "
            f"{len(articles | summaries)} names lack one); expected one of each: {reading.RESTORE}"
        )
    return sorted(articles)


@cached
def bbc(files: Files) -> Summaries:
    """BBC News Summary: articles of five sections, each joined by its name to an extractive summary.

    The first line is the headline and not read as input. Articles that are equal below it are kept once. Raises
    DataError for a name without its other half, and a file that is not headline, empty line, text.
    """
    held = archives.keep_folders(files.members(BBC), BBC_FOLDERS)
    documents, old, sections = [], [], Counter[str]()
    for name in _joined(held):
        article, summary = (decode_old(held[f"{folder}/{name}"], name) for folder in BBC_FOLDERS)
        old += [f"{f}/{name}" for f, found in zip(BBC_FOLDERS, (article, summary), strict=True) if found[1]]
        headline, _, rest = article[0].partition("\n")
        if not headline.strip() or not rest.startswith("\n"):
            raise DataError(f"{name} does not begin with a headline and an empty line; expected them above the text")
        units = tuple(s for paragraph in rest.split("\n") for s in sentences(paragraph))
        documents.append(
            SourceDocument(f"bbc/{name.removesuffix('.txt')}", "bbc", units, "sentences", (one_line(summary[0]),))
        )
        sections[name.split("/")[0]] += 1
    return checked(documents, {"documents": len(documents)} | sections, {"not UTF-8": old})


@cached
def cnn_dailymail(files: Files) -> Summaries:
    """200 articles of CNN/DailyMail; a reference is the highlights (column y), one a line.

    Raises DataError for a missing column.
    """
    rows = reading.table(files, CNN, ("text", "y"))
    documents = [
        SourceDocument(f"cnn_dailymail/{i}", "cnn_dailymail", sentences(row["text"]), "sentences",
                       (one_line(row["y"]),))
        for i, row in enumerate(rows)
    ]  # fmt: skip
    return checked(documents, {"documents": len(documents)}, {})


def _sheet(path: Path) -> list[tuple[str, str, str]]:
    try:
        book = openpyxl.load_workbook(path, read_only=True)
    except (zipfile.BadZipFile, InvalidFileException, KeyError, OSError) as error:
        raise DataError(f"{path.name} is no Excel file ({error}); {reading.RESTORE}") from None
    rows = list(book.worksheets[0].iter_rows(max_col=len(MEQSUM_COLUMNS), values_only=True))
    book.close()
    header = [str(cell) for cell in rows[0]] if rows else []
    if missing := [name for name in MEQSUM_COLUMNS if name not in header]:
        raise DataError(
            f"{path.name}: the first row is {header}{nearest(missing[0], header)}; expected {list(MEQSUM_COLUMNS)}"
        )
    at = [header.index(name) for name in MEQSUM_COLUMNS]
    found = []
    for number, row in enumerate(rows[1:], 2):
        values = tuple(row[i] for i in at)
        if wrong := [c for c, v in zip(MEQSUM_COLUMNS, values, strict=True) if not isinstance(v, str) or not v.strip()]:
            raise DataError(f"{path.name} row {number} has no text in column {wrong[0]!r}; expected one in each")
        found.append(values)
    return found


@cached
def meqsum(files: Files) -> Summaries:
    """MeQSum (Ben Abacha and Demner-Fushman 2019): questions to a library of medicine, each with a short one.

    Subject lines are removed, and so is the word MESSAGE. About a hundred letters have their subject as a first
    sentence that nothing tells apart; it stays. Raises DataError for another sheet and for an empty cell.
    """
    documents, subjects = [], []
    for file, question, summary in _sheet(files.path(MEQSUM)):
        body, removed = SUBJECT.subn("", question)
        units = sentences(re.sub(r"^\s*MESSAGE:", "", body, flags=re.IGNORECASE | re.MULTILINE))
        name = f"meqsum/{file.strip()}"
        subjects += [name] * bool(removed)
        documents.append(SourceDocument(name, "meqsum", units, "sentences", (one_line(summary),)))
    return checked(documents, {"documents": len(documents)}, {"subject removed": subjects})

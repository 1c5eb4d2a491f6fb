"""What several people said or wrote to each other, and what others made of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from metastudy.errors import DataError
from metastudy.loaders.files import Files, decode
from metastudy.loaders.summaries.reading import RESTORE, field, json_rows, one_line, sentences, with_words
from metastudy.loaders.summaries.schema import SourceDocument, Split, Summaries, cached, checked

DIALOGSUM: dict[Split, str] = {"validation": "dev", "test": "test"}
SPEAKER = re.compile(r"#Person\d+#:")
QMSUM = ("Academic", "Committee", "Product")
SCOPES = ("general", "specific")
PUNCTUATION = re.compile(r"\s+([.,?!;:])")
NOISE = re.compile(r"\{\w+\}")  # {vocalsound}, {disfmarker}
CONVOSUMM = "summarization/convosumm_email/vanilla-20230109T143631Z-001.zip"
CONVOSUMM_PARTS: dict[Split, str] = {"train": "train", "validation": "val", "test": "email.test"}
MARKERS = ".remove_markers_simple_separator.txt"
CONVOSUMM_FILES = {  # where the two halves of a part are
    "train": ("train.source", "train.target"),
    "val": ("val.source", "val.target"),
    "email.test": (f"email.test.source{MARKERS}", f"email.test.target{MARKERS}"),
    "email.val": (f"email.val.source{MARKERS}", f"email.val.target{MARKERS}"),
    "email.all": (f"email.all.newsumms.source{MARKERS}", f"email.all.newsumms.target{MARKERS}"),
}
MESSAGE = "</s>"
HEADER = re.compile(r'\s*Name: .*?\s+Email: .*?\s+To: .*?\s+Subject: ".*?"(?=\s{2}|\s*$)', re.DOTALL)
PARAGRAPH = re.compile(r"\s{6,}")  # a line break became three spaces, so an empty line became six


T = TypeVar("T")


@cached
def dialogsum(files: Files) -> Summaries:
    """DialogSum (Chen et al. 2021): turns with their speaker ("#Person1#: ..."); one summary, or three in test.

    Raises DataError for a malformed line, a missing field, or a turn without a speaker.
    """
    documents, counts = [], {}
    for split, name in DIALOGSUM.items():
        wanted = ("summary",) if split == "validation" else ("summary1", "summary2", "summary3")
        for where, row in json_rows(files, f"summarization/dialogsum_dialogue/dialogsum.{name}.jsonl"):
            turns = with_words(field(row, "dialogue", str, where).split("\n"))
            if lost := [turn for turn in turns if not SPEAKER.match(turn)]:
                raise DataError(f"{where}: turn {lost[0][:60]!r} has no speaker; expected '#Person1#: ...' in each")
            references = tuple(one_line(field(row, summary, str, where)) for summary in wanted)
            name_of = f"dialogsum/{field(row, 'fname', str, where)}"
            documents.append(SourceDocument(name_of, "dialogsum", turns, "turns", references, split))
        counts[split] = sum(d.split == split for d in documents)
    return checked(documents, {"documents": len(documents)} | counts, {})


def _said(turn: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """Sentences of one turn, without marks of sounds; its text is tokenised, so full stops are put back in place."""
    return sentences(PUNCTUATION.sub(r"\1", NOISE.sub(" ", field(turn, "content", str, where))))


def _within(turns: Sequence[T], spans: Any, where: str) -> list[T]:
    """Turns of the spans (first and last, both counted from 0), each once and in order."""
    chosen: set[int] = set()
    for span in spans:
        try:
            first, last = (int(end) for end in span)
        except (TypeError, ValueError):
            raise DataError(f"{where}: relevant_text_span holds {span!r}; expected two numbers of turns") from None
        if not 0 <= first <= last < len(turns):
            raise DataError(f"{where}: span {first} to {last} is not within the meeting's {len(turns)} turns")
        chosen |= set(range(first, last + 1))
    return [turns[i] for i in sorted(chosen)]


def _queries(meeting: str, row: Mapping[str, Any], where: str) -> Iterator[SourceDocument]:
    turns = [_said(turn, where) for turn in field(row, "meeting_transcripts", list, where)]
    for scope in SCOPES:
        for i, asked in enumerate(field(row, f"{scope}_query_list", list, where)):
            inside = turns
            if scope == "specific":
                inside = _within(turns, field(asked, "relevant_text_span", list, where), where)
            yield SourceDocument(
                id=f"qmsum/{meeting}/{scope}{i}",
                domain="qmsum",
                units=tuple(sentence for turn in inside for sentence in turn),
                form="sentences",
                references=(one_line(field(asked, "answer", str, where)),),
                split="test",
                query=field(asked, "query", str, where),
                group=meeting,
            )


@cached
def qmsum(files: Files) -> Summaries:
    """QMSum (Zhong et al. 2021): a document is a query about a meeting, its group is the meeting.

    Its units are the sentences of the turns that annotators marked as relevant, so finding these is no part of the
    task; where the query is general ("general" in its id) they are the whole meeting. Turns are no units, since one
    may take 400 words, and who speaks is left out. Raises DataError for a malformed line, a missing field, or a span
    outside the meeting.
    """
    documents: list[SourceDocument] = []
    for kind in QMSUM:
        for i, (where, row) in enumerate(json_rows(files, f"summarization/qmsum_meetings/{kind}_test.jsonl")):
            documents += _queries(f"{kind}-{i}", row, where)
    of_scope = {scope: sum(f"/{scope}" in d.id for d in documents) for scope in SCOPES}
    counts = {"meetings": len({d.group for d in documents}), "documents": len(documents)} | of_scope
    return checked(documents, counts, {})


def _thread(text: str, where: str) -> tuple[str, ...]:
    """Sentences of a thread. The header of each message (names, addresses, subject) is no input."""
    found: list[str] = []
    for message in text.split(MESSAGE):
        body, headers = HEADER.subn("", message, count=1)
        if not headers:
            raise DataError(f"{where}: message {message.strip()[:60]!r} does not begin with Name, Email, To, Subject")
        found += [s for paragraph in PARAGRAPH.split(body) for s in sentences(paragraph)]
    return tuple(found)


def _pairs(members: Mapping[str, bytes], part: str) -> list[tuple[str, str]]:
    """Thread and summary of each line, runs of spaces kept. Raises DataError where the two files differ in length."""
    halves = []
    for name in CONVOSUMM_FILES[part]:
        if f"vanilla/{name}" not in members:
            raise DataError(f"the archive has no vanilla/{name}; it has {', '.join(members)[:200]}: {RESTORE}")
        halves.append(decode(members[f"vanilla/{name}"], name).rstrip("\n").split("\n"))
    if len(halves[0]) != len(halves[1]):
        raise DataError(f"{part}: {len(halves[0])} threads but {len(halves[1])} summaries; expected one a thread")
    return list(zip(*halves, strict=True))


@cached
def convosumm_email(files: Files) -> Summaries:
    """ConvoSumm (Fabbri et al. 2021): email threads as sentences of their messages, one summary each.

    email.val is train and val again and email.all is everything: they are compared, not counted. Raises DataError
    where they are anything else, for a missing file, and for a message without its header.
    """
    members = files.members(CONVOSUMM)
    parts = {part: _pairs(members, part) for part in CONVOSUMM_FILES}

    def same(part: str, of: Sequence[str]) -> None:
        whole, expected = (
            sorted(tuple(one_line(text) for text in pair) for name in names for pair in parts[name])
            for names in ((part,), of)
        )
        if whole != expected:
            raise DataError(f"{part} is not {' and '.join(of)} together; expected the same threads in both: {RESTORE}")

    same("email.val", ("train", "val"))
    same("email.all", ("email.val", "email.test"))
    documents, counts = [], {}
    for split, part in CONVOSUMM_PARTS.items():
        for i, (thread, summary) in enumerate(parts[part]):
            units = _thread(thread, f"{part} line {i + 1}")
            references = (one_line(summary),)
            name = f"convosumm_email/{split}-{i}"
            documents.append(SourceDocument(name, "convosumm_email", units, "sentences", references, split))
        counts[split] = len(parts[part])
    return checked(documents, {"documents": len(documents)} | counts, {})

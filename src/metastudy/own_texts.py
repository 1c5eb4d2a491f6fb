"""People's own texts and examples as the study's documents, or one error that says which of them it cannot read.

A word is a run of the letters a to z and digits, as in ROUGE and in every feature of a sentence (`text.words`). So
texts in other languages that use these letters can be read, with words cut at letters such as ü or é; how good their
summaries are was never measured. Texts that are mostly in another script (Chinese, Arabic, Russian) are refused:
sentences could not be told apart, and a summary would be of the numbers and foreign names in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set

import numpy as np
import torch

from metastudy import text
from metastudy.errors import DataError, ParameterError
from metastudy.families.summary_family import Document

BLANK_LINE = re.compile(r"\n\s*\n")
STRETCH = 2000
"""Characters that are split into sentences at once: the time that pysbd takes grows with the square."""


def read_texts(texts: object) -> list[tuple[str, ...]]:
    """The sentences of each text: a string, which is split, or a sequence of sentences, which stay as they are.

    Raises ParameterError for other types,
    DataError for a text that `check_words` refuses.
    """
    if isinstance(texts, str | bytes | Mapping | Set) or not isinstance(texts, Iterable):
        raise ParameterError(f"texts is a {type(texts).__name__}; expected a list of texts: for one, write [text]")
    return [read(one, f"texts[{i}]") for i, one in enumerate(texts)]


def read(one: object, name: str) -> tuple[str, ...]:
    """The sentences of one text, which messages call `name`."""
    if isinstance(one, str):
        found = tuple(sentences(one))
    else:
        found = _strings(one, name, "a list of sentences")
    check_words(found, name)
    return found


def read_examples(support: object) -> list[Document]:
    """Documents with their summaries, and how well each sentence agrees with them (ROUGE-1 F1, 0 to 1); sentences
    without a word are dropped.

    `support` holds pairs of a text and its summary, which is a string or a sequence of strings by several people. A
    summary may be longer than its text. Raises ParameterError for none and for other types, DataError for a text or a
    summary that `check_words` refuses, and where no sentence has a word in common with its summary.
    """
    if isinstance(support, str | bytes | Mapping | Set) or not isinstance(support, Iterable):
        raise ParameterError(f"support is a {type(support).__name__}; expected a list of pairs (text, summary)")
    found = [_example(pair, f"support[{i}]") for i, pair in enumerate(support)]
    if not found:
        raise ParameterError(
            "support is empty; expected at least one pair (text, summary): from it the methods learn what such a "
            "summary says"
        )
    if not any(float(document.gains.max()) > 0 for document in found):
        raise DataError(
            f"no sentence of the {len(found)} texts in support has a word in common with its own summary, so there is "
            "nothing to learn; check that each summary stands beside its text"
        )
    return found


def _example(pair: object, name: str) -> Document:
    if isinstance(pair, str | bytes) or not isinstance(pair, Sequence) or len(pair) != 2:
        kind = type(pair).__name__
        size = f" of {len(pair)}" if isinstance(pair, Sequence) and not isinstance(pair, str | bytes) else ""
        raise ParameterError(f"{name} is a {kind}{size}; expected a pair (text, summary)")
    found = tuple(filter(has_word, read(pair[0], f"the text of {name}")))
    summaries = (
        (pair[1],) if isinstance(pair[1], str) else _strings(pair[1], f"the summary of {name}", "a list of them")
    )
    if not summaries:
        raise DataError(f"{name} has no summary; expected at least one")
    for summary in summaries:
        check_words((summary,), f"the summary of {name}")
    gains = np.array([text.rouge1(s, summaries) / 100 for s in found], dtype=np.float32)
    return Document(name, "", found, summaries, torch.from_numpy(gains), name)


def _strings(value: object, name: str, expected: str) -> tuple[str, ...]:
    if isinstance(value, bytes) or not isinstance(value, Sequence | np.ndarray):
        raise ParameterError(f"{name} is a {type(value).__name__}; expected a string, or {expected}")
    if wrong := [v for v in value if not isinstance(v, str)]:
        raise ParameterError(f"{name} holds a {type(wrong[0]).__name__}; expected a string, or {expected}")
    return tuple(map(str, value))


def has_word(sentence: str) -> bool:
    """Whether anything in it can be seen: else it is decoration, such as a row of dashes."""
    return text.WORD.search(sentence.lower()) is not None


def check_words(parts: Sequence[str], name: str) -> None:
    """Raises DataError where nothing is written, where no word can be seen, or where most letters are not a to z."""
    if not any(part.strip() for part in parts):
        raise DataError(f"{name} is empty; expected words: leave it out")
    if not any(map(has_word, parts)):
        raise DataError(f"{name} holds no word of the letters a to z or digits, and others are not seen; leave it out")
    letters = sum(sum(map(str.isalpha, part)) for part in parts)
    seen = sum(len(part) - len(re.sub("[A-Za-z]", "", part)) for part in parts)
    if 2 * seen < letters:
        raise DataError(
            f"{name} is mostly in letters other than a to z ({letters - seen} of {letters}), and these are not seen; "
            "leave it out, or translate it"
        )


def sentences(written: str) -> Iterator[str]:
    """Sentences of a text, in order, each on one line.

    Paragraphs end at blank lines; a single line break is then a space. In a text without blank lines every line is a
    paragraph. `text.split_sentences` does the rest, on stretches of about `STRETCH` characters.
    """
    written = "\n".join(written.splitlines()).strip()
    paragraphs = BLANK_LINE.split(written) if BLANK_LINE.search(written) else written.split("\n")
    for paragraph in paragraphs:
        for stretch in stretches(" ".join(paragraph.split())):
            yield from text.split_sentences(stretch)


def stretches(paragraph: str) -> Iterator[str]:
    """A paragraph in parts of at most `STRETCH` characters, or up to where a sentence can end, if that is later.

    Cut where a sentence surely ends (`text.CLEAR`), else where one could (`text.BOUNDARY`).
    """
    start = 0
    while len(paragraph) - start > STRETCH:
        clear = [
            m.end() for m in text.CLEAR.finditer(paragraph, start, start + STRETCH) if m[1] not in text.ABBREVIATIONS
        ]
        open_ = [m.end() - 1 for m in text.BOUNDARY.finditer(paragraph, start, start + STRETCH)] if not clear else []
        if clear or open_:
            end = (clear or open_)[-1]
        elif later := text.BOUNDARY.search(paragraph, start + STRETCH - 3):
            end = later.end() - 1
        else:
            break
        yield paragraph[start:end]
        start = end
    yield paragraph[start:]

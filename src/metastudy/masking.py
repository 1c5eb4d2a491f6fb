"""Hiding the names of documented objects in text, so that search cannot find a page by its name alone."""

from __future__ import annotations

import re
from collections.abc import Iterable

MASK = "NAME"
IDENTIFIER = re.compile(
    r"(?P<code>`[^`]*`)"  # a code span: names inside are masked one by one
    r"|(?P<dotted>~?\b[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+)"
    r"|(?P<word>\b[A-Za-z_]\w*\b)(?P<call>\()?"
)
PART = re.compile(r"~?[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")


def names_of(ids: Iterable[str]) -> frozenset[str]:
    """Names to hide: the last component of each id, and a method's class (DataFrame in pandas.DataFrame.join)."""
    names: set[str] = set()
    for id_ in ids:
        parts = id_.split(".")
        names.add(parts[-1])
        names |= {part for part in parts[1:-1] if part[0].isupper()}
    return frozenset(names)


def is_code_like(word: str) -> bool:
    """Whether a bare word cannot be plain English: an underscore, a digit, or a capital after a small letter."""
    return "_" in word or any(c.isdigit() for c in word) or re.search(r"[a-z][A-Z]|[A-Z]{2}[a-z]", word) is not None


def mask_names(text: str, names: frozenset[str]) -> str:
    """Replace identifiers that name a documented object by NAME; plain English words stay.

    An identifier is a dotted path, something in backticks, a word before "(", or a code-like word (`is_code_like`,
    also in the plural). It is masked where one of its parts is in `names`.
    """

    def masked(identifier: str) -> str:
        parts = identifier.lstrip("~").split(".")
        return MASK if any(p in names or p.removesuffix("s") in names for p in parts) else identifier

    def replace(match: re.Match[str]) -> str:
        if match["code"]:
            return PART.sub(lambda m: masked(m[0]), match["code"])
        if match["dotted"]:
            return masked(match["dotted"])
        word, call = match["word"], match["call"] or ""
        marked = "`" in (text[match.start() - 1 : match.start()], text[match.end() : match.end() + 1])  # unpaired
        return (masked(word) if call or marked or is_code_like(word) else word) + call

    return IDENTIFIER.sub(replace, text)

"""Reading one docstring: the summary line, the human prose below it, and its See Also names.

numpydoc (https://numpydoc.readthedocs.io/en/latest/format.html) and Google sections (as torch writes them) are
understood. Whatever is not prose is dropped: examples, references, code, doctests, tables, maths, directives.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass

from metastudy.text import split_sentences

PROSE = {"", "notes", "note", "explanation", "description", "extended summary", "details", "warning", "warnings"}
FIELDS = {
    "parameters", "other parameters", "args", "arguments", "keyword args", "keyword arguments", "keyword parameters",
    "returns", "return", "yields", "attributes", "inputs", "outputs",
}  # fmt: skip
PROSE_DIRECTIVES = {"note", "warning", "tip", "important", "caution", "hint", "attention"}
UNDERLINE = re.compile(r"([-=~])\1{2,}\s*$")
GOOGLE_HEADER = re.compile(r"([A-Z][A-Za-z]+(?: [A-Za-z]+)?)\s*::?\s*$")
GOOGLE_NAMES = PROSE | FIELDS | {
    "example", "examples", "usage", "raises", "references", "reference", "see also", "shape", "shapes", "todo",
    "variables", "constants", "methods", "todos",
}  # fmt: skip
DIRECTIVE = re.compile(r"\.\. +([\w-]+(?::[\w-]+)?)::\s*(.*)$")
EXPLICIT = re.compile(r"\.\.(\s|$)")  # a comment, a footnote, a target
BULLET = re.compile(r"([-*+•]|\(?\d{1,2}[.)]|\([a-z]\)) +(?=\S)")
FIELD_LIST = re.compile(r":(param|arg|return|returns|type|rtype|raises?|var)\b[^:]*: *")
GOOGLE_FIELD = re.compile(r"\*{0,2}[\w.,* ]{1,40}(?: *\([^)]*\)+)? *: +(?=\S)")
ROLE = re.compile(r":[a-zA-Z][\w:+-]*:`~?([^`]+?)(?: +<[^`<>]*>)?`")
LINK = re.compile(r"`([^`<]+?) *<[^`>]+>`_{1,2}")
TEMPLATE = re.compile(r"%\(\w+|%s|\{\w*\}|\{\{")
NAME = re.compile(r"~?([A-Za-z_]\w*(?:\.\w+)*)")


@dataclass(frozen=True)
class Docstring:
    """Paragraphs of prose, the first with the summary line (or ""), and See Also names as written."""

    paragraphs: tuple[str, ...]
    see_also: tuple[str, ...]

    def summary_and_body(self) -> tuple[str, tuple[str, ...]]:
        """The first sentence, and the other ones that are prose, each once."""
        sentences = [s for p in self.paragraphs for s in split_sentences(p)]
        if not self.paragraphs[0]:
            return "", tuple(sentences)
        body = dict.fromkeys(s for s in sentences[1:] if is_prose(s) and s != sentences[0])
        return sentences[0], tuple(body)


def parse(docstring: str) -> Docstring:
    """Split a raw docstring. Never raises: text without prose gives a single empty paragraph."""
    sections = split_sections(inspect.cleandoc(docstring).splitlines())
    head = sections[0][1]
    if len(head) > 1 and re.fullmatch(r"[\w.]+\(.*\)( ->.*)?", head[0].strip()):
        head[:] = head[1:]  # a call signature above the summary line
    paragraphs: list[str] = prose(head) or [""]
    see_also: list[str] = []
    for name, lines in sections[1:]:
        if name == "see also":
            see_also += see_also_names(lines)
        elif name in PROSE:
            paragraphs += prose(lines)
        elif name in FIELDS:
            paragraphs += prose(field_descriptions(lines))
    return Docstring(tuple(paragraphs), tuple(dict.fromkeys(see_also)))


def split_sections(lines: list[str]) -> list[tuple[str, list[str]]]:
    """[(lower-case header, lines)]: the first has the header "" and holds the summary."""
    sections: list[tuple[str, list[str]]] = [("", [])]
    google = False
    for i, line in enumerate(lines):
        following = lines[i + 1] if i + 1 < len(lines) else ""
        header = GOOGLE_HEADER.match(line)
        if line and not line[0].isspace() and UNDERLINE.match(following) and not UNDERLINE.match(line):
            sections.append((line.strip().rstrip(":").lower(), []))
            google = False
        elif i and UNDERLINE.match(line) and lines[i - 1] and not sections[-1][1]:
            continue
        elif header and header[1].lower() in GOOGLE_NAMES and (not following.strip() or following[0].isspace()):
            sections.append((header[1].lower(), []))
            google = True
        elif google and line and not line[0].isspace():
            sections.append(("", [line]))
            google = False
        else:
            sections[-1][1].append(line)
    return sections


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def prose(lines: list[str]) -> list[str]:
    """Paragraphs of running text; blocks that are not prose are skipped by their indentation."""
    paragraphs: list[list[str]] = [[]]
    skip_deeper: int | None = None  # inside a literal block or directive: drop lines indented deeper than this
    doctest = False
    for line in lines:
        text, indent = line.strip(), _indent(line)
        if not text:
            doctest = False
            paragraphs.append([])
            continue
        if skip_deeper is not None and indent > skip_deeper:
            continue
        skip_deeper = None
        directive = DIRECTIVE.match(text)
        if directive or EXPLICIT.match(text):
            paragraphs.append([])
            if directive and directive[1].lower() in PROSE_DIRECTIVES:
                paragraphs[-1] += [directive[2]] if directive[2] else []
            else:
                skip_deeper = indent
            continue
        doctest = doctest or text.startswith((">>>", "In ["))
        if doctest or UNDERLINE.match(text) or text.startswith(("|", "+-", "$$", "```")) or " | " in text:
            paragraphs.append([])
            continue
        if BULLET.match(text):
            paragraphs.append([])
            text = BULLET.sub("", text, count=1)
        if (field := FIELD_LIST.match(text)) is not None:
            paragraphs.append([])
            text = "" if "type" in field[1] or "raise" in field[1] else text[field.end() :]
        if text.endswith("::"):
            skip_deeper, text = indent, text[:-1].rstrip(":").rstrip()
        if text:
            paragraphs[-1].append(text)
    return [clean for p in paragraphs if (clean := plain(" ".join(p)))]


def field_descriptions(lines: list[str]) -> list[str]:
    """The descriptions in a Parameters or Returns section, without the `name : type` lines."""
    filled = [line for line in lines if line.strip()]
    base = min((_indent(line) for line in filled), default=0)
    if base:  # Google: `name (type): description`, continued at a deeper indent
        kept = []
        for line in lines:
            if line.strip() and _indent(line) == base:
                kept += ["", " " * base + GOOGLE_FIELD.sub("", line.strip(), count=1)]
            else:
                kept.append(line[:base] + line[base:].lstrip() if line.strip() else line)
        return kept
    return ["" if line and not line[0].isspace() else line for line in lines]


def plain(text: str) -> str:
    """RST inline markup to text; code stays marked by single backticks, so that names can be found later."""
    text = LINK.sub(r"\1", ROLE.sub(r"`\1`", text))
    text = re.sub(r"\[[\w.-]+\]_", "", text.replace("``", "`"))
    text = re.sub(r"(?<![\w*`])\*{1,2}(?=[^\s*`])([^*`]+?)(?<=[^\s*])\*{1,2}(?![\w*`])", r"\1", text)
    text = re.sub(r"`_{1,2}(?!\w)", "`", text).replace("\\ ", "").replace("|", " ")
    return re.sub(r"\s+([.,;:](?:\s|$))", r"\1", re.sub(r"\s+", " ", text)).strip()


def is_prose(sentence: str) -> bool:
    """At least three words, mostly letters, no unfilled template."""
    words = re.findall(r"[A-Za-z]{2,}", sentence)
    letters = sum(c.isalpha() or c.isspace() for c in sentence)
    return len(words) >= 3 and letters >= 0.6 * len(sentence) and not TEMPLATE.search(sentence)


def see_also_names(lines: list[str]) -> list[str]:
    """Names listed in a See Also section: `a, b : text`, one per line, with or without roles."""
    names: list[str] = []
    base = min((_indent(line) for line in lines if line.strip()), default=0)
    for line in lines:
        if line.strip() and _indent(line) == base and not EXPLICIT.match(line.strip()):
            listed = re.split(r"\s:(?:\s|$)|(?<=[`\w]):\s", plain(line.strip()), maxsplit=1)[0]
            parts = [part.strip(" `.*-()") for part in listed.split(",")]
            names += [m[1] for part in parts if (m := NAME.fullmatch(part))]
    return names

"""Documents for people: which sentences each method chose, shown in the document, with what that was worth.

What tells methods apart never rests on colour alone: each has a letter and its own style of underline. Styles are
inline and of a few kinds, since JupyterLab removes style sheets and scripts from a notebook that it does not trust;
text keeps the colour of the theme, on tints that let the theme's background through.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby

import numpy as np

from metastudy.errors import DataError, ParameterError
from metastudy.families.summary_family import Document
from metastudy.figures import G_COLOUR, PALETTE

LETTERS = "ABC"
LINES = ("solid", "dashed", "dotted")
COLOURS = (PALETTE[0], PALETTE[2], PALETTE[3])  # those of the palette that show as a line on white and on black
TINT = 0.25  # opacity of a background; up to three lie on each other
CONTEXT = 2  # sentences around a chosen one that stay open
MIN_FOLD = 3  # fewer take no more room than the line that stands for them
DIGITS = 1  # of scores
Legend = list[tuple[tuple[int, ...], str]]  # which methods, and what their mark means


@dataclass(frozen=True, repr=False)
class Html:
    """A page for a notebook and the same as plain text; a program shows the one that it can."""

    html: str
    text: str

    def _repr_html_(self) -> str:
        return self.html

    def _repr_markdown_(self) -> str:
        """The text in a fence longer than any within it: nothing in it is markup, formula or HTML."""
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", self.text)), default=0))
        return f"{fence}text\n{self.text}\n{fence}"

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__  # what a notebook stores as text/plain


def highlighted(
    document: Document, choices: Mapping[str, Sequence[int]], scores: Mapping[str, float], metric: str = "ROUGE-1"
) -> Html:
    """The document with the sentences that one to three methods chose, their scores, and which is better.

    `choices`: method -> indices of sentences, from 0; `scores`: method -> `metric` on a scale of 0 to 100, of which
    more is better. Sentences are numbered from 1. Three or more in a row that are more than two away from any chosen
    one are folded; the plain text only counts them. Raises ParameterError for no method or more than three, DataError
    for a method without a finite score, a sentence that the document lacks, and a document without a summary.
    """
    names = list(choices)
    if not 1 <= len(names) <= len(LETTERS):
        raise ParameterError(f"choices of {len(names)} methods {names}; expected one to three: leave some out")
    if set(scores) != set(names) or not all(math.isfinite(v) for v in scores.values()):
        raise DataError(f"scores {dict(scores)} for methods {names}; expected one finite score of each of them")
    if not document.summaries:
        raise DataError(f"document {document.id!r} has no human summary; expected one to show beside the choices")
    by: list[list[int]] = [[] for _ in document.sentences]  # of each sentence the methods that chose it
    for m, name in enumerate(names):
        for i in _indices(document, name, choices[name]):
            by[i].append(m)
    legend: Legend = [
        ((m,), _flat(f"{name}: {metric} {scores[name]:.{DIGITS}f}, {_count(len(choices[name]), 'sentence')}"))
        for m, name in enumerate(names)
    ]
    if several := [tuple(methods) for methods in by if len(methods) > 1]:
        many = "chosen by both" if len(names) == 2 else "chosen by more than one: the letters and lines of each"
        legend.append((several[0], many))
    verdict = _verdict(scores, metric)
    return Html(_page(document, names, by, legend, verdict), _plain(document, by, legend, verdict))


def differing(
    documents: Collection[str],
    choices: Mapping[str, Mapping[str, Sequence[int]]],
    scores: Mapping[str, Mapping[str, float]],
    n: int,
    seed: int = 0,
) -> list[str]:
    """Ids of n documents (all, where there are fewer) for which two methods chose other sentences, drawn fairly.

    `choices` and `scores`: method -> document id -> indices, score (more is better). No cherry-picking: documents on
    which the first method wins, loses and ties come in the proportion in which they occur among those that differ
    (largest remainders, so each within one of its share). Which of them, and in which order, `seed` draws.
    `documents` are those that can be shown: ids, or a mapping by id. Raises ParameterError for n below 1, DataError
    unless both methods have choices and finite scores for the same documents, all of them among `documents`.
    """
    if n < 1:
        raise ParameterError(f"n = {n} documents to draw; expected 1 or more")
    if len(choices) != 2 or set(scores) != set(choices):
        raise DataError(f"choices of {list(choices)}, scores of {list(scores)}; expected the same two methods in both")
    first, second = choices
    ids = sorted(choices[first])
    for what, table in (("choices", choices), ("scores", scores)):
        for method, found in table.items():
            if odd := set(found) ^ set(ids):
                raise DataError(
                    f"{what} of {method} and choices of {first} are of other documents, such as {min(odd)!r}; expected "
                    "the same ones: leave out those that one lacks"
                )
    if missing := [i for i in ids if i not in documents]:
        raise DataError(f"document {missing[0]!r} is not among the {len(documents)} that can be shown; expected all")
    won: list[str] = []
    lost: list[str] = []
    tied: list[str] = []
    for i in ids:
        a, b = scores[first][i], scores[second][i]
        if not (math.isfinite(a) and math.isfinite(b)):
            raise DataError(f"document {i!r} has scores {a} and {b}; expected finite numbers")
        if set(choices[first][i]) != set(choices[second][i]):
            (tied if _equal(a, b) else won if a > b else lost).append(i)
    return _proportional((won, lost, tied), n, np.random.default_rng(seed))


def _proportional(strata: Sequence[Sequence[str]], n: int, rng: np.random.Generator) -> list[str]:
    """n items, or all, from each stratum in proportion to its size, in random order."""
    strata = [strata[k] for k in rng.permutation(len(strata))]  # equal remainders favour none
    total = sum(map(len, strata))
    n = min(n, total)
    sizes, rest = np.divmod([n * len(s) for s in strata], max(1, total))
    sizes[np.argsort(-rest, kind="stable")[: n - sizes.sum()]] += 1
    drawn = [s[j] for s, size in zip(strata, sizes, strict=True) for j in rng.permutation(len(s))[:size]]
    return [drawn[j] for j in rng.permutation(len(drawn))]


def _indices(document: Document, name: str, chosen: Sequence[int]) -> list[int]:
    found, n = [operator.index(i) for i in chosen], len(document.sentences)
    if len(set(found)) < len(found) or not all(0 <= i < n for i in found):
        raise DataError(
            f"{name} chose sentences {found} of document {document.id!r}, which has {n}; expected different indices "
            f"from 0 to {n - 1}"
        )
    return found


def _equal(a: float, b: float) -> bool:
    """Whether two scores from 0 to 100 are the same but for rounding errors."""
    return abs(a - b) < 1e-9


def _verdict(scores: Mapping[str, float], metric: str) -> str:
    """Which method is best and by how much, or that they are equal; empty for one method.

    Differences are those of the scores as shown, so that a reader who subtracts finds the same.
    """
    top = max(scores.values())
    best = [name for name, score in scores.items() if _equal(score, top)]
    gaps = {m: round(top, DIGITS) - round(score, DIGITS) for m, score in scores.items() if m not in best}
    least = 10**-DIGITS
    shown = {m: f"{gap:.{DIGITS}f}" if gap > least / 2 else f"less than {least:g}" for m, gap in gaps.items()}
    parts = [f"{', '.join(best[:-1])} and {best[-1]} are equal"] if len(best) > 1 else []
    if shown:
        by_how_much = " and ".join(f"than {name} by {gap}" for name, gap in shown.items())
        parts.append(f"{'' if parts else f'{best[0]} is '}better {by_how_much}")
    return _flat(f"{metric}: {', and '.join(parts)}.") if parts else ""


def _runs(by: Sequence[Sequence[int]]) -> Iterator[tuple[bool, list[int]]]:
    """Sentences in their order, in runs: whether folded, and their indices."""
    near = {j for i, methods in enumerate(by) if methods for j in range(i - CONTEXT, i + CONTEXT + 1)}
    folded: list[bool] = []
    for is_near, group in groupby(range(len(by)), key=near.__contains__):
        size = len(list(group))
        folded += [not is_near and size >= MIN_FOLD] * size
    for fold, group in groupby(range(len(by)), key=folded.__getitem__):
        yield fold, list(group)


def _tag(methods: Sequence[int]) -> str:
    return f"[{' '.join(LETTERS[m] for m in methods)}]" if methods else ""


def _count(n: int, thing: str) -> str:
    return f"{n} {thing}" if n == 1 else f"{n} {thing[:-1] + 'ies' if thing.endswith('y') else thing + 's'}"


def _flat(text: str) -> str:
    return " ".join(text.split())


def _plain(document: Document, by: Sequence[Sequence[int]], legend: Legend, verdict: str) -> str:
    """One sentence a line, numbered and tagged."""
    first, *more = map(_flat, document.summaries)
    lines = [_flat(f"{document.id} ({document.domain})"), f"human summary: {first}"]
    lines += [f"[{_count(len(more), 'more summary')}]"] if more else []
    lines += [f"{_tag(methods)} {meaning}" for methods, meaning in legend]
    lines += [verdict, ""] if verdict else [""]
    digits, width = len(str(len(by))), max((len(_tag(methods)) for methods in by), default=0)
    for folded, run in _runs(by):
        if folded:
            lines.append(f"[{_count(len(run), 'sentence')}]")
        else:
            lines += [f"{i + 1:{digits}} {_tag(by[i]):{width}} {_flat(document.sentences[i])}".rstrip() for i in run]
    return "\n".join(lines)


def _page(document: Document, names: Sequence[str], by: Sequence[Sequence[int]], legend: Legend, verdict: str) -> str:
    """The same as HTML: `details` for what is folded, classes that keep MathJax from making formulas of dollars.

    Not `mark`: it brings a text colour of its own, and JupyterLab removes the style that would undo it.
    """
    rest = iter(COLOURS)
    colours = [G_COLOUR if name == "g" else next(rest) for name in names]

    def marked(methods: Sequence[int], text: str) -> str:
        """Text with the tint and the underline of each method, one line below the other."""
        inner = f"<b>{_tag(methods)}</b> {escape(_flat(text))}" if methods else escape(_flat(text))
        for place, m in enumerate(methods):
            r, g, b = bytes.fromhex(colours[m][1:])
            style = f"background-color:rgba({r},{g},{b},{TINT});padding-bottom:{1 + 3 * place}px;"
            inner = f'<span style="{style}border-bottom:2px {LINES[m]} {colours[m]}">{inner}</span>'
        return inner

    def listed(run: Sequence[int]) -> str:
        items = "".join(f"<li>{marked(by[i], document.sentences[i])}</li>" for i in run)
        return f'<ol start="{run[0] + 1}" style="margin:0.3em 0;padding-left:3em">{items}</ol>'

    def unfolding(label: str, content: str) -> str:
        return f'<details><summary style="cursor:pointer">[{label}]</summary>{content}</details>'

    first, *more = (escape(_flat(s)) for s in document.summaries)
    parts = [f"<div><b>{escape(_flat(document.id))}</b> ({escape(_flat(document.domain))})</div>"]
    parts.append(f"<div><b>human summary:</b> {first}</div>")
    if more:
        parts.append(unfolding(_count(len(more), "more summary"), "".join(f"<div>{s}</div>" for s in more)))
    parts += [f"<div>{marked(methods, meaning)}</div>" for methods, meaning in legend]
    parts += [f"<div><b>{escape(verdict)}</b></div>"] if verdict else []
    for folded, run in _runs(by):
        parts.append(unfolding(_count(len(run), "sentence"), listed(run)) if folded else listed(run))
    return f'<div class="tex2jax_ignore mathjax_ignore" style="max-width:60em;line-height:2">{"".join(parts)}</div>'

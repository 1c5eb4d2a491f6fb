"""Highlighted documents say who chose what, on any theme and to any eye, and nothing in a document becomes markup."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from IPython.core.formatters import DisplayFormatter

from metastudy.errors import DataError, ParameterError
from metastudy.families.summary_family import Document
from metastudy.highlight import COLOURS, Html, differing, highlighted

NAMES = ("g", "lead", "lexrank")
STRUCTURE = {"div", "b", "ol", "li", "span", "details", "summary"}
NASTY = "<script>alert('x')</script> costs $5 & $6, \\(a\\) ``` \\begin{a} <!-- <b title=\"q\"> **x** &amp; ]( ~~~"


def document(sentences: int | tuple[str, ...] = 5, summaries: tuple[str, ...] = ("What it does.",)) -> Document:
    if isinstance(sentences, int):
        sentences = tuple(f"Sentence s{i}." for i in range(1, sentences + 1))
    return Document("lib.f", "lib", sentences, summaries, torch.zeros(len(sentences)), "lib.f")


def shown(sentences: int, *chosen: list[int], scores: tuple[float, ...] = (45.0, 40.0, 30.0)) -> Html:
    names = NAMES[: len(chosen)]
    found = dict(zip(names, chosen, strict=True))
    return highlighted(document(sentences), found, dict(zip(names, scores, strict=False)))


@dataclass
class Item:
    """A sentence as a reader finds it: its number, letters and text, whether folded, styles from inside out."""

    number: int
    folded: bool
    letters: str = ""
    text: str = ""
    styles: list[str] = field(default_factory=list)


class Page(HTMLParser):
    """Reads a page: balanced, of known elements only, and what each sentence, fold and line says."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.items: list[Item] = []
        self.folds: list[str] = []
        self.lines: list[str] = []  # texts of <div> without elements that are not inline
        self.classes = ""
        self.number = 0
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in STRUCTURE and {name for name, _ in attrs} <= {"class", "style", "start"}
        found = dict(attrs)
        self.classes = self.classes or found.get("class") or ""
        if tag == "ol":
            self.number = int(found["start"])
        elif tag == "li":
            self.items.append(Item(self.number, "details" in self.open))
            self.number += 1
        elif tag == "span" and "li" in self.open:
            self.items[-1].styles.insert(0, found["style"])
        elif tag == "div":
            self.lines.append("")
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "summary" in self.open:
            self.folds.append(data)
        elif "li" not in self.open:
            self.lines[-1] += data
        elif "b" in self.open:
            self.items[-1].letters += data
        else:
            self.items[-1].text += data


def flat(text: str) -> str:
    return " ".join(text.split())


choices = st.integers(1, 25).flatmap(
    lambda n: st.tuples(
        st.lists(st.text(max_size=12) | st.just(NASTY), min_size=n, max_size=n),
        st.lists(st.sets(st.integers(0, n - 1), max_size=3), min_size=1, max_size=3),
    )
)


@given(choices)
@settings(max_examples=150, deadline=None)
def test_every_sentence_is_there_once_in_order_with_the_letters_of_those_who_chose_it(case) -> None:
    sentences, chosen = case
    names = NAMES[: len(chosen)]
    picks = {name: sorted(c) for name, c in zip(names, chosen, strict=True)}
    found = highlighted(document(tuple(sentences)), picks, dict.fromkeys(names, 1.0))
    items = Page(found.html).items
    assert [i.number for i in items] == list(range(1, len(sentences) + 1))
    assert [i.text.strip() for i in items] == [flat(s) for s in sentences]
    for i, item in enumerate(items):
        by = [letter for letter, c in zip("ABC", chosen, strict=False) if i in c]
        assert item.letters == (f"[{' '.join(by)}]" if by else "")
        assert len(item.styles) == len(by)


@given(st.integers(1, 40), st.lists(st.sets(st.integers(0, 39), max_size=3), min_size=1, max_size=3))
@settings(max_examples=150, deadline=None)
def test_what_is_far_from_any_choice_is_folded_and_counted(n: int, chosen: list[set[int]]) -> None:
    picks = [[i for i in c if i < n] for c in chosen]
    found = shown(n, *picks)
    page = Page(found.html)
    far = ["f" if all(abs(i - j) > 2 for c in picks for j in c) else "n" for i in range(n)]
    runs = [match.span() for match in re.finditer("f{3,}", "".join(far))]
    inside = {i for start, end in runs for i in range(start, end)}
    assert [item.folded for item in page.items] == [i in inside for i in range(n)]
    labels = [f"[{end - start} sentences]" for start, end in runs]
    assert page.folds == labels
    body = found.text.split("\n\n", 1)[1].splitlines()
    assert [line for line in body if line.startswith("[")] == labels, "the plain text counts the same"
    assert [int(line.split()[0]) - 1 for line in body if not line.startswith("[")] == sorted(set(range(n)) - inside)


def test_the_plain_text_of_two_methods() -> None:
    found = highlighted(
        document(12, ("What  it\ndoes.", "And why.", "Or not.")), {"g": [1], "lead": np.array([0, 1])},
        {"g": 45.26, "lead": 40.0},
    )  # fmt: skip
    head = (
        "lib.f (lib)\nhuman summary: What it does.\n[2 more summaries]\n[A] g: ROUGE-1 45.3, 1 sentence\n"
        "[B] lead: ROUGE-1 40.0, 2 sentences\n[A B] chosen by both\nROUGE-1: g is better than lead by 5.3."
    )
    body = " 1 [B]   Sentence s1.\n 2 [A B] Sentence s2.\n 3       Sentence s3.\n 4       Sentence s4.\n[8 sentences]"
    assert str(found) == repr(found) == found.text == f"{head}\n\n{body}"
    page = Page(found.html)
    assert page.folds == ["[2 more summaries]", "[8 sentences]"]
    lines = head.splitlines()
    lines[2:3] = ["And why.", "Or not."]  # on the page they are there, folded
    assert page.lines == ["", *lines]


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ((40.0, 45.25), "ROUGE-1: lead is better than g by 5.2."),
        ((27.26, 29.64), "ROUGE-1: lead is better than g by 2.3."),  # 29.6 - 27.3, as shown; not 2.38
        ((45.0, 45.0 + 1e-13), "ROUGE-1: g and lead are equal."),
        ((45.04, 45.0), "ROUGE-1: g is better than lead by less than 0.1."),
        ((45.0, 40.0, 44.0), "ROUGE-1: g is better than lead by 5.0 and than lexrank by 1.0."),
        ((40.0, 45.0, 45.0), "ROUGE-1: lead and lexrank are equal, and better than g by 5.0."),
        ((0.0, 0.0, 0.0), "ROUGE-1: g, lead and lexrank are equal."),
    ],
)
def test_it_says_which_is_better_by_how_much_or_that_they_are_equal(scores: tuple[float, ...], expected: str) -> None:
    found = shown(5, *([i] for i in range(len(scores))), scores=scores)
    assert expected in found.text.splitlines() and expected in Page(found.html).lines


def test_one_method_is_compared_with_none() -> None:
    found = shown(4, [2])
    assert "better" not in found.text and "equal" not in found.text and "chosen by" not in found.text
    assert found.text.startswith("lib.f (lib)\nhuman summary: What it does.\n[A] g: ROUGE-1 45.0, 1 sentence\n\n1 ")


def test_nothing_in_a_document_becomes_markup_or_a_formula() -> None:
    strange = dataclasses.replace(document((NASTY, "b"), (NASTY, NASTY)), id=NASTY, domain=NASTY)
    found = highlighted(strange, {NASTY: [0], "b": [1]}, {NASTY: 1.0, "b": 0.0}, metric=NASTY)
    page = Page(found.html)  # which refuses unknown elements and attributes
    assert [i.text.strip() for i in page.items] == [NASTY, "b"]
    assert sum(line.count(NASTY) for line in page.lines) == 2 + 2 + 2 + 1 + 2, "names, summaries, scores, verdict"
    assert {"tex2jax_ignore", "mathjax_ignore"} <= set(page.classes.split()), "MathJax 2 and 3 leave it alone"


@given(st.lists(st.text("`~$\\<>*_ a\n", max_size=15), min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
def test_markdown_is_one_block_of_the_plain_text(sentences: list[str]) -> None:
    found = highlighted(document(tuple(sentences)), {"g": [0]}, {"g": 1.0})
    first, *rest = found._repr_markdown_().split("\n")
    fence = re.match("`{3,}", first).group()
    ends = [i for i, one in enumerate(rest) if re.fullmatch(rf" {{0,3}}{fence}`*[ \t]*", one)]  # CommonMark 4.5
    assert ends == [len(rest) - 1] and "\n".join(rest[:-1]) == found.text
    assert fence not in found.text, "nor does it end for a reader that is less strict"


def test_a_notebook_stores_the_page_and_the_text() -> None:
    found = shown(5, [0], [1])
    bundle, _ = DisplayFormatter().format(found)
    assert bundle == {"text/html": found.html, "text/markdown": found._repr_markdown_(), "text/plain": found.text}


# How it looks: read back from the styles in the page


def styles(*chosen: list[int], names: tuple[str, ...] = NAMES) -> list[Item]:
    found = dict(zip(names, chosen, strict=False))
    return Page(highlighted(document(3), found, dict.fromkeys(found, 1.0)).html).items


def line(style: str) -> tuple[str, str]:
    """Style and colour of the underline."""
    return re.search(r"border-bottom:2px (\w+) (#\w{6})$", style).groups()


def linear(colour: np.ndarray) -> np.ndarray:
    """sRGB 0 to 1 to linear light (IEC 61966-2-1)."""
    return np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)


def contrast(a: np.ndarray, b: np.ndarray) -> float:
    """WCAG 2 contrast ratio, 1 to 21."""
    low, high = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (a, b))
    return (high + 0.05) / (low + 0.05)


def rgb(colour: str) -> np.ndarray:
    return np.array(list(bytes.fromhex(colour[1:]))) / 255


THEMES = {"light": ("#FFFFFF", "#212121"), "dark": ("#111111", "#E0E0E0")}  # JupyterLab's page; text no stronger


@pytest.mark.parametrize("names", [NAMES, ("a", "b", "c")])
@pytest.mark.parametrize("theme", THEMES)
def test_text_and_underlines_have_contrast_on_both_themes(theme: str, names: tuple[str, ...]) -> None:
    page, ink = map(rgb, THEMES[theme])
    for item in styles([0, 1, 2], [1, 2], [2], names=names):
        tint = page
        for style in reversed(item.styles):  # from outside in
            r, g, b, opacity = map(float, re.search(r"background-color:rgba\(([\d.,]+)\)", style).group(1).split(","))
            tint = (1 - opacity) * tint + opacity * np.array([r, g, b]) / 255
            assert contrast(rgb(line(style)[1]), page) >= 3, "WCAG 2.1, 1.4.11: graphics"
            assert " color:" not in f" {style}", "text has the colour of the theme"
        assert contrast(ink, tint) >= 4.5 and contrast(tint, page) > 1.1, "WCAG 2.1, 1.4.3: text"


# Machado, Oliveira, Fernandes 2009, table 1, severity 1.0: on linear light
BLIND = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


def lab(light: np.ndarray) -> np.ndarray:
    """CIELAB of linear light under D65."""
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ light
    t = xyz / [0.9505, 1, 1.089]
    f = np.where(t > 0.008856, np.cbrt(t), 7.787 * t + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("kind", BLIND)
@pytest.mark.parametrize("names", [NAMES, ("a", "b", "c")])
def test_colours_differ_to_colour_blind_eyes_and_lines_without_colour(kind: str, names: tuple[str, ...]) -> None:
    lines = [line(item.styles[0]) for item in styles([0], [1], [2], names=names)]
    assert len({shape for shape, _ in lines}) == 3
    seen = [lab(np.clip(np.array(BLIND[kind]) @ linear(rgb(colour)), 0, 1)) for _, colour in lines]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 15  # 2 is just noticeable


def test_g_has_its_colour_and_a_sentence_of_several_has_the_lines_of_each_apart() -> None:
    both, second, first = styles([0, 2], [0, 1])
    assert [line(s) for s in both.styles] == [("solid", "#D55E00"), ("dashed", COLOURS[0])]
    assert both.styles[0] == first.styles[0] and line(both.styles[1]) == line(second.styles[0])
    gaps = [int(re.search(r"padding-bottom:(\d+)px", s).group(1)) for s in both.styles]
    assert gaps[1] >= gaps[0] + 2 + 1, "the second line lies below the first, which is 2 px thick"


# What is refused


def test_methods_that_cannot_be_told_apart_are_refused() -> None:
    with pytest.raises(ParameterError, match="choices of 4 methods .* expected one to three"):
        highlighted(document(), {n: [0] for n in "abcd"}, dict.fromkeys("abcd", 1.0))
    with pytest.raises(ParameterError, match="choices of 0 methods"):
        highlighted(document(), {}, {})


@pytest.mark.parametrize("chosen", [[5], [-1], [2, 2]])
def test_sentences_that_are_not_there_or_twice_are_refused(chosen: list[int]) -> None:
    message = rf"lead chose sentences {re.escape(str(chosen))} of document 'lib.f', which has 5; .* from 0 to 4"
    with pytest.raises(DataError, match=message):
        shown(5, [0], chosen)


@pytest.mark.parametrize("scores", [{"g": 1.0}, {"g": 1.0, "b": 1.0}, {"g": 1.0, "a": float("nan")}])
def test_a_method_without_a_score_is_refused(scores: dict[str, float]) -> None:
    with pytest.raises(DataError, match=r"for methods \['g', 'a'\]; expected one finite score of each"):
        highlighted(document(), {"g": [0], "a": [1]}, scores)


def test_a_document_without_a_summary_is_refused() -> None:
    with pytest.raises(DataError, match=r"'lib.f' has no human summary"):
        highlighted(document(2, ()), {"g": [0]}, {"g": 1.0})


# Which documents to show

OUTCOMES = {"win": (2.0, 1.0), "loss": (1.0, 2.0), "tie": (1.0, 1.0 + 1e-13), "same": (3.0, 3.0)}


def compared(outcomes: list[str], order: list[int] | None = None) -> tuple[dict, dict, dict[str, str]]:
    """Choices, scores and outcome of documents d00, d01, ..., entered in some order."""
    order = order or list(range(len(outcomes)))
    chosen = {"g": {}, "lead": {}}
    scores = {"g": {}, "lead": {}}
    for i in order:
        name = f"d{i:02}"
        chosen["g"][name], chosen["lead"][name] = (1, 0), (0, 1) if outcomes[i] == "same" else (0, 2)
        scores["g"][name], scores["lead"][name] = OUTCOMES[outcomes[i]]
    return chosen, scores, {f"d{i:02}": outcome for i, outcome in enumerate(outcomes)}


cases = st.lists(st.sampled_from(list(OUTCOMES)), max_size=30)


@given(cases, st.integers(1, 12), st.integers(0, 5), st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_wins_losses_and_ties_come_in_the_proportion_in_which_they_occur(outcomes, n, seed, random) -> None:
    chosen, scores, outcome = compared(outcomes)
    drawn = differing(outcome, chosen, scores, n, seed)
    sizes = Counter(o for o in outcomes if o != "same")
    total = sum(sizes.values())
    assert len(set(drawn)) == len(drawn) == min(n, total)
    found = Counter(outcome[i] for i in drawn)
    assert "same" not in found

    def misfit(counts: dict[str, int]) -> float:
        return sum(abs(counts[o] - len(drawn) * sizes[o] / total) for o in sizes)

    if total:
        every = itertools.product(*(range(sizes[o] + 1) for o in sizes))
        best = min(misfit(dict(zip(sizes, c, strict=True))) for c in every if sum(c) == len(drawn))
        assert misfit(found) == pytest.approx(best, abs=1e-9)
    shuffled = random.sample(range(len(outcomes)), len(outcomes))
    assert differing(list(outcome), *compared(outcomes, shuffled)[:2], n, seed) == drawn


def test_documents_of_one_outcome_and_equal_remainders_are_drawn_alike() -> None:
    chosen, scores, outcome = compared(["win"] * 4 + ["loss"] * 4)
    drawn = [differing(outcome, chosen, scores, 1, seed)[0] for seed in range(800)]
    counts = Counter(drawn)
    assert len(counts) == 8 and all(60 <= c <= 140 for c in counts.values())  # 100 each; sd 9.4
    orders = [[outcome[i] for i in differing(outcome, chosen, scores, 4, seed)] for seed in range(400)]
    assert 150 <= sum(order[0] == "win" for order in orders) <= 250, "wins do not come first"  # 200; sd 10
    assert 90 <= sum(order[0] == order[1] for order in orders) <= 177, "nor in a block"  # 133; sd 9.4


def test_what_cannot_be_compared_is_refused() -> None:
    chosen, scores, outcome = compared(["win", "loss"])
    with pytest.raises(ParameterError, match="n = 0 documents"):
        differing(outcome, chosen, scores, 0)
    with pytest.raises(DataError, match="expected the same two methods in both"):
        differing(outcome, chosen | {"b": chosen["g"]}, scores | {"b": scores["g"]}, 1)
    with pytest.raises(DataError, match="expected the same two methods in both"):
        differing(outcome, chosen, {"g": scores["g"], "b": scores["lead"]}, 1)
    with pytest.raises(DataError, match=r"'d01' is not among the 1 that can be shown"):
        differing(["d00"], chosen, scores, 1)
    for table, what in ((chosen, "choices"), (scores, "scores")):
        kept = table["lead"].pop("d01")
        with pytest.raises(DataError, match=f"{what} of lead and choices of g are of other documents, such as 'd01'"):
            differing(outcome, chosen, scores, 1)
        table["lead"]["d01"] = kept
    scores["lead"]["d01"] = float("inf")
    with pytest.raises(DataError, match=r"'d01' has scores 1.0 and inf; expected finite"):
        differing(outcome, chosen, scores, 1)

"""Names are hidden where they are identifiers, and nowhere else."""

import re

import pytest

from metastudy import corpus
from metastudy.masking import MASK, is_code_like, mask_names, names_of

NAMES = names_of(
    ["pandas.DataFrame.join", "numpy.linalg.norm", "scipy.signal.find_peaks", "sklearn.KMeans", "scipy.expm1"]
)


def test_names_are_last_components_and_classes():
    assert {"DataFrame", "join", "norm", "find_peaks", "KMeans", "expm1"} == NAMES


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("See numpy.linalg.norm for it.", "See NAME for it."),
        ("Use `norm` and `x`.", "Use NAME and `x`.".replace("NAME", "`NAME`")),
        ("The norm of a join is plain English.", "The norm of a join is plain English."),
        ("Call norm(x) now.", "Call NAME(x) now."),
        ("Like find_peaks, KMeans or expm1.", "Like NAME, NAME or NAME."),
        ("Two DataFrames and a DataFrame.join", "Two NAME and a NAME"),
        ("`~numpy.linalg.norm(x, ord)` of x", "`NAME(x, ord)` of x"),
        ("Other find_things and numpy.array stay, e.g. here.", "Other find_things and numpy.array stay, e.g. here."),
    ],
)
def test_masking(before, after):
    assert mask_names(before, NAMES) == after


def test_masking_twice_changes_nothing():
    text = "Use `norm`, find_peaks() or numpy.linalg.norm."
    assert mask_names(mask_names(text, NAMES), NAMES) == mask_names(text, NAMES)


@pytest.mark.parametrize("package", ["numpy", "pandas", "sklearn"])
def test_no_identifier_survives_in_the_real_corpus(package):
    entries = corpus.load().by_package()[package]
    names = names_of(e.id for e in entries)
    code_like = {n for n in names if is_code_like(n)}
    for e in entries:
        masked = mask_names(" ".join((e.summary, *e.body)), names)
        assert not code_like & set(re.findall(r"\w+", masked)), e.id
        assert not names & {m.split(".")[-1] for m in re.findall(r"`([\w.]+)`", masked)}, e.id
    assert any(MASK in mask_names(" ".join(e.body), names) for e in entries)

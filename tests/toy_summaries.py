"""A small family of summaries of made-up sentences."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch

from metastudy.families.base import Fold
from metastudy.families.summary_family import Document, SummaryFamily
from metastudy.text import rouge1

WORDS = ["stone", "river", "cloud", "green", "walks", "seven", "paper", "light", "under", "music", "table", "house"]


class TinyFamily(SummaryFamily):
    """Three domains of 26 documents of five sentences; summaries are of the words of two of them."""

    settings = ()

    def __init__(self, **changes):
        super().__init__(26, 5, draws=1, queries=4, shots=(1, 3), **changes)

    def folds(self):
        return tuple(Fold(f"fold{i}", (a,), (b,), (c,)) for i, (a, b, c) in enumerate(("abc", "bca", "cab")))

    def content_hash(self):
        return "tiny"

    @cached_property
    def documents(self):
        rng, found = np.random.default_rng(0), {}
        for domain in "abc":
            for i in range(26):
                own = tuple(" ".join(rng.choice(WORDS, 5)) + f" {domain}{i % 3}." for _ in range(5))
                summaries = (f"{own[1]} {own[3]}", "Nothing alike.")
                gains = torch.tensor([rouge1(s, summaries) / 100 for s in own])
                found[f"{domain}{i}"] = Document(f"{domain}{i}", domain, own, summaries, gains, f"{domain}{i}")
        return found

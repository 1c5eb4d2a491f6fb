"""Documents with human summaries from ten public sources, in one schema: a loader for each source.

A title, a subject line and a headline are never input: they are nearly the summary.
"""

from __future__ import annotations

from metastudy.loaders.summaries.articles import bbc, cnn_dailymail, meqsum, scitldr
from metastudy.loaders.summaries.conversations import convosumm_email, dialogsum, qmsum
from metastudy.loaders.summaries.reviews import fewsum_amazon, fewsum_yelp, opinosis
from metastudy.loaders.summaries.schema import SourceDocument, Summaries

__all__ = [
    "SourceDocument", "Summaries", "bbc", "cnn_dailymail", "convosumm_email", "dialogsum", "fewsum_amazon",
    "fewsum_yelp", "meqsum", "opinosis", "qmsum", "scitldr",
]  # fmt: skip

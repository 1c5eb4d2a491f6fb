"""The kinds of data that there are. Each is imported when it is asked for: a command that lists them starts at once."""

from __future__ import annotations

import importlib
from difflib import get_close_matches
from typing import TYPE_CHECKING

from metastudy.errors import ParameterError

if TYPE_CHECKING:
    from metastudy.own_data.kind import Kind

KINDS = {
    "search": ("metastudy.own_data.search", "SearchKind"),
    "summarization": ("metastudy.own_data.summarization", "SummarizationKind"),
    "diagnosis": ("metastudy.own_data.diagnosis", "DiagnosisKind"),
    "classification": ("metastudy.own_data.classification", "ClassificationKind"),
}


def kind_of(name: str) -> Kind:
    """The kind of that name. Raises ParameterError naming them all."""
    if name not in KINDS:
        close = get_close_matches(name, KINDS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ParameterError(f"kind {name!r} is none of {', '.join(KINDS)}{hint}")
    module, found = KINDS[name]
    return getattr(importlib.import_module(module), found)()

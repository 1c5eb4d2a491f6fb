"""Subgroups name rows as the tasks do."""

from __future__ import annotations

import pytest

from at_hand import needs
from metastudy import loaders
from metastudy.clinical.sex_and_age import subgroups
from metastudy.errors import ParameterError
from metastudy.families.diseases import DISEASES, Diseases, tables_of
from metastudy.loaders.medical import TABLES

SOURCES = sorted({"heart" if t.startswith("heart_") and t not in TABLES else t for d in DISEASES for t in tables_of(d)})


def test_another_kind_is_refused() -> None:
    with pytest.raises(ParameterError, match="subgroups by 'height' are unknown; expected 'sex' or 'age'"):
        subgroups("height")


@needs(*SOURCES)
def test_rows_are_those_of_the_tasks() -> None:
    data = Diseases().data
    for kind, names in (("sex", {"female", "male"}), ("age", {"below 60", "60 or older"})):
        found = subgroups(kind)
        assert set(found["subgroup"]) == names and found["table"].nunique() > 5
        assert not found[["table", "row"]].duplicated().any()
        for table, rows in found.groupby("table")["row"]:
            assert rows.max() < len(data[table].diagnosis)
    heart = loaders.load("heart")
    cleveland = subgroups("sex").query("table == 'heart_cleveland'").set_index("row")["subgroup"]
    column = data["heart_cleveland"].columns.index("sex")
    assert heart.sex is not None
    coded = data["heart_cleveland"].x[cleveland.index.to_numpy(), column]
    assert ((coded == 1) == (cleveland == "male").to_numpy()).all()

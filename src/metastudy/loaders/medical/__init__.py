"""Medical tables: what is declared (`tables`), read (`cells`) and typed (`typed`); one loader for all of them."""

from __future__ import annotations

from metastudy.errors import ParameterError
from metastudy.loaders.files import Files
from metastudy.loaders.medical import cells, typed
from metastudy.loaders.medical.schema import MedicalTable, TableSpec
from metastudy.loaders.medical.tables import HOSPITALS, TABLES
from metastudy.parameters import nearest

__all__ = ["HOSPITALS", "TABLES", "MedicalTable", "TableSpec", "load"]


def load(files: Files) -> MedicalTable:
    """The medical table of the source `files.name`, typed and repaired.

    Raises ParameterError for a source that is none of `TABLES`, DataError where a file is not as declared there.
    """
    if files.name not in TABLES:
        raise ParameterError(
            f"no medical table {files.name!r}{nearest(files.name, list(TABLES))}; there are {len(TABLES)}"
        )
    spec = TABLES[files.name]
    return typed.build(files.name, spec, [cells.read(files, path, spec.columns) for path in spec.files])

"""Real public data in tests: used where data/raw or a mirror has it, skipped by name where it has not."""

from __future__ import annotations

import pytest

from metastudy import loaders


def needs(*sources: str) -> pytest.MarkDecorator:
    """Marks a test that reads these sources of data/registry.yaml."""
    missing = [name for name in sources if not loaders.available(name)]
    return pytest.mark.skipif(bool(missing), reason=f"no {', '.join(missing)} in data/raw or METASTUDY_DATA_MIRROR")

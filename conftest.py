"""For tests and notebooks alike: results go to a temporary copy, and what nbval cannot compare is left out."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent
NOT_COMPARED = ("text/html", "stderr", "application/javascript")
folder = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """Notebooks run by nbval write here, and find the committed results of the notebooks before them."""
    os.environ.pop("METASTUDY_STEP_KEY", None)
    if "METASTUDY_RESULTS" in os.environ:
        return
    config.stash[folder] = tempfile.mkdtemp(prefix="metastudy-results-")
    results = Path(config.stash[folder]) / "results"
    if (ROOT / "results").is_dir():
        shutil.copytree(ROOT / "results", results, ignore=shutil.ignore_patterns("notebooks", ".lock", ".partial"))
    os.environ["METASTUDY_RESULTS"] = str(results)


def pytest_unconfigure(config: pytest.Config) -> None:
    if folder in config.stash:
        shutil.rmtree(config.stash[folder], ignore_errors=True)
        os.environ.pop("METASTUDY_RESULTS", None)


def pytest_collectstart(collector: pytest.Collector) -> None:
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += NOT_COMPARED


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked `after_notebooks` come last: they read what the notebooks of this session wrote."""
    items.sort(key=lambda item: item.get_closest_marker("after_notebooks") is not None)

"""A bar only where somebody looks on, and it shows loss, validation and time left."""

from __future__ import annotations

import io
import sys

import joblib
import pytest

from metastudy import progress
from metastudy.progress import Bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def draw(show: bool | None) -> None:
    with Bar("toy", 5, 2, show) as bar:
        for loss in (0.5, 0.25):
            bar.step(loss)
            bar.validated(0.75)
        bar._bar.refresh()


def test_it_shows_loss_validation_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    draw(None)
    assert "toy:" in terminal.getvalue() and "4/5" in terminal.getvalue()
    assert "loss 0.25, validation 0.75" in terminal.getvalue() and "<00:00" in terminal.getvalue()


def test_it_is_silent_unless_asked_where_nobody_looks_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", pipe := io.StringIO())
    draw(None)
    assert pipe.getvalue() == ""
    draw(True)
    assert "loss 0.25" in pipe.getvalue()
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    draw(False)
    assert terminal.getvalue() == ""


def _watched_with_a_terminal() -> bool:
    sys.stderr = Terminal()
    return progress.watched()


def test_workers_are_silent_even_at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert progress.watched()
    for backend in ("threading", "loky"):
        found = joblib.Parallel(n_jobs=2, backend=backend)(joblib.delayed(_watched_with_a_terminal)() for _ in range(2))
        assert found == [False, False], backend
    monkeypatch.setattr(sys, "stderr", None)
    assert not progress.watched()

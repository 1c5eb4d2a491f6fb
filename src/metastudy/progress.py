"""A bar on stderr while training: loss, last validation loss, time left. It reads numbers and changes none."""

from __future__ import annotations

import multiprocessing
import sys
import threading
from types import TracebackType

from tqdm import tqdm


def watched() -> bool:
    """Whether somebody looks on: a terminal, and not a worker (whose bars would be drawn over each other)."""
    alone = multiprocessing.current_process().name == "MainProcess"
    alone = alone and threading.current_thread() is threading.main_thread()
    return alone and sys.stderr is not None and sys.stderr.isatty()


class Bar:
    """`show`: True in a notebook that wants one, False never, None where somebody looks on."""

    def __init__(self, label: str, total: int, done: int = 0, show: bool | None = None) -> None:
        shown = watched() if show is None else show
        self._bar = tqdm(
            desc=label or "training",
            total=total,
            initial=done,
            disable=not shown,
            unit="step",
            leave=False,
            file=sys.stderr,
        )
        self._validation = ""

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.close()

    def step(self, loss: float) -> None:
        """One step is done."""
        if not self._bar.disable:
            self._bar.set_postfix_str(f"loss {loss:.4g}{self._validation}", refresh=False)
            self._bar.update()

    def validated(self, loss: float) -> None:
        """A validation is done; it shows from the next step on."""
        self._validation = f", validation {loss:.4g}"

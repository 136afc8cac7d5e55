"""Messages of a run for Python programs: printed in a notebook, and as warnings elsewhere."""

import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from advcli.runtime.reporter import Reporter

PAUSE = 0.1  # seconds between two states of a bar
WIDTH = 30  # characters of a bar


class PrintingReporter(Reporter):
    """Prints notes, warnings and progress as plain text; a notebook, a terminal and a log can show it."""

    def __init__(self, stream: TextIO | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = stream, clock

    def _write(self, text: str) -> None:
        stream = self._stream or sys.stderr
        stream.write("".join(one if one.isprintable() or one in "\r\n" else ascii(one)[1:-1] for one in text))
        stream.flush()

    def note(self, text: str) -> None:
        self._write(f"{text}\n")

    def warn(self, text: str) -> None:
        self._write(f"warning: {text}\n")

    @contextmanager
    def progress(self, what: str, total: int, unit: str) -> Iterator[Callable[[int, str], None]]:
        """One line that is written over; its last state stays."""
        done, shown, longest, last = 0, -PAUSE, 0, ""

        def draw() -> None:
            nonlocal longest
            full = WIDTH * min(done, total) // max(1, total)
            line = f"{what} [{'#' * full}{'.' * (WIDTH - full)}] {done}/{total} {unit} {last}".rstrip()
            longest = max(longest, len(line))
            self._write(f"\r{line:{longest}}")

        def tick(more: int, word: str = "") -> None:
            nonlocal done, shown, last
            done, last = done + more, word
            if (now := self._clock()) - shown >= PAUSE:
                shown = now
                draw()

        draw()
        try:
            yield tick
        finally:
            draw()
            self._write("\n")


class WarningReporter(Reporter):
    """Passes warnings on as Python's own; silent otherwise."""

    def warn(self, text: str) -> None:
        warnings.warn(text, UserWarning, stacklevel=2)


def reporter_for_python() -> Reporter:
    """The messages of a call that works in memory: printed in a notebook, else warnings alone."""
    return PrintingReporter() if in_notebook() else WarningReporter()


def in_notebook() -> bool:
    """True where a kernel of Jupyter runs the program."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"

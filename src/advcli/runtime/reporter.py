"""Messages of a run: notes, warnings, progress. Silent by default; the command line prints them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Reporter:
    """Discards all messages; the command line has a reporter that prints them."""

    def note(self, text: str) -> None:
        """Something the user would like to know: what was chosen, what was found."""

    def warn(self, text: str) -> None:
        """Something the user must not overlook."""

    @contextmanager
    def progress(self, what: str, total: int, unit: str) -> Iterator[Callable[[int, str], None]]:
        """A bar; the function that it gives takes how much was done more, and a word about it."""
        yield no_progress


class OnceReporter(Reporter):
    """Passes on every note and every warning once, however many models it concerns."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter, self._said = reporter, set[str]()

    def note(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._reporter.note(text)

    def warn(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._reporter.warn(text)

    @contextmanager
    def progress(self, what: str, total: int, unit: str) -> Iterator[Callable[[int, str], None]]:
        with self._reporter.progress(what, total, unit) as tick:
            yield tick


def no_progress(done: int, word: str = "") -> None:
    """Progress that is not shown."""


SILENT = Reporter()

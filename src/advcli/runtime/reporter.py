"""What a run says while it works: notes, warnings, progress. Silent here; the command line gives it a voice."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Reporter:
    """Says nothing. The command line gives it a voice."""

    def note(self, text: str) -> None:
        """Something the user would like to know: what was chosen, what was found."""

    def warn(self, text: str) -> None:
        """Something the user must not overlook."""

    @contextmanager
    def progress(self, what: str, total: int, unit: str) -> Iterator[Callable[[int, str], None]]:
        """A bar; the function that it gives takes how much was done more, and a word about it."""
        yield no_progress


class OnceReporter(Reporter):
    """Says every note and every warning once, however many models it concerns."""

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
    """Progress that nobody watches."""


SILENT = Reporter()

"""What a run says while it works: notes, warnings, progress. Silent here; the command line gives it a voice."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Talk:
    """Says nothing. The command line gives it a voice."""

    def note(self, text: str) -> None:
        """Something the user would like to know: what was chosen, what was found."""

    def warn(self, text: str) -> None:
        """Something the user must not overlook."""

    @contextmanager
    def progress(self, what: str, total: int, unit: str) -> Iterator[Callable[[int, str], None]]:
        """A bar; the function that it gives takes how much was done more, and a word about it."""
        yield unheard


class Once(Talk):
    """Says every note and every warning once, however many models it concerns."""

    def __init__(self, talk: Talk) -> None:
        self._talk, self._said = talk, set[str]()

    def note(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._talk.note(text)

    def warn(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._talk.warn(text)

    @contextmanager
    def progress(self, what: str, total: int, unit: str) -> Iterator[Callable[[int, str], None]]:
        with self._talk.progress(what, total, unit) as tick:
            yield tick


def unheard(done: int, word: str = "") -> None:
    """Progress that nobody watches."""


SILENT = Talk()

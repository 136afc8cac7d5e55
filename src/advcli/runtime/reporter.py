"""What a run says while it works: notes, warnings, progress. Silent here; the command line gives it a voice."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Talk:
    """Says nothing. Subclassed once, by the command line."""

    def note(self, text: str) -> None:
        """Something the user would like to know: what was chosen, what was found."""

    def warn(self, text: str) -> None:
        """Something the user must not overlook."""

    @contextmanager
    def progress(self, what: str, total: int, unit: str) -> Iterator[Callable[[int, str], None]]:
        """A bar; the function that it gives takes how much was done more, and a word about it."""
        yield unheard


def unheard(done: int, word: str = "") -> None:
    """Progress that nobody watches."""


SILENT = Talk()

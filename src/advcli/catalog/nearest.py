"""The name that somebody probably meant."""

from collections.abc import Iterable

LIKE = 0.65  # from 0, nothing alike, to 1, the same


def nearest(name: str, known: Iterable[str]) -> str:
    """` (did you mean X?)` for a name that is like a known one, else nothing."""
    import difflib  # only an error needs it

    found = difflib.get_close_matches(name.lower(), list(known), 1, LIKE)
    return f" (did you mean {found[0]}?)" if found else ""

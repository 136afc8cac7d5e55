"""The cells of the tables of `stats`."""

from collections.abc import Sequence
from typing import Any

SHOWN = ("set", "epsilon", "label", "target", "prediction", "rows", "of", "n", "mean", "std", "min", "median", "max")


def printed(found: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """The rows of these tables for people: the usual columns, five digits."""
    named = [{**one, "of": one["norm"] or one["of"]} for one in found]
    return [{key: cell(one[key]) for key in SHOWN if key in one} for one in named]


def cell(value: Any) -> str:
    return "" if value is None else f"{value:.5g}" if isinstance(value, float) else str(value)

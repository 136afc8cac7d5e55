"""Groups of the rows of a report, and which of them are shown if there are too many to read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from advcli.evaluation.cells import rounded

if TYPE_CHECKING:  # the help must not wait for torch
    from advcli.evaluation.rows import Row

CELL = ("model", "set", "epsilon")


def together(rows: Iterable[Row], keys: Sequence[str] = CELL) -> Iterator[list[Row]]:
    """Rows with equal values of some keys, in the order of their first."""
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        found.setdefault((*(getattr(row, key) for key in keys), row.threat.pixels), []).append(row)
    yield from found.values()


def of_set(row: Row) -> tuple[str, ...]:
    """The key of a row without its budget."""
    return (row.model, row.set, rounded(row))


def of_worst_case(row: Row) -> tuple[str, ...]:
    """The key of a worst-case row without its budget."""
    return (row.model, str(row.threat.norm), rounded(row))


def at_strongest_budget(rows: Sequence[Row], what: Callable[[Row], tuple[str, ...]], accuracies: Sequence[Row]) -> list[Row]:
    """The rows at the budget with the fewest correct images, for each model, set and metric."""
    right = {(what(row), row.epsilon): row.value for row in accuracies if not row.about}
    budgets: dict[tuple[str, ...], list[float | None]] = {}
    for row in rows:
        budgets.setdefault(what(row), []).append(row.epsilon)
    lowest = {
        one: min((right.get((one, eps), 2.0), -place, eps) for place, eps in enumerate(each)) for one, each in budgets.items()
    }
    return [row for row in rows if row.epsilon == lowest[what(row)][2]]

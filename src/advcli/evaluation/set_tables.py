"""The tables of `stats`: outcomes, norms, values, and the cost of the attack, one row for every group."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from advcli.evaluation.outcomes import FAILURE, KEPT, NEVER, SUCCESS, WRONG
from advcli.evaluation.selected_rows import NORMS, SelectedRows
from advcli.numerics.arrays import Array
from advcli.numerics.moments import row, summary

Row = dict[str, Any]
COSTS = ("queries", "gradients")
SUMMED = "all"  # in the place of a budget or a class: what was paid once for several


def counts(rows: SelectedRows) -> list[Row]:
    """The number of rows of every group that were not attacked, failed or succeeded, before any selection by outcome."""
    keys, of_row = rows.groups.keys, rows.groups.of_row
    whole = np.bincount(of_row, minlength=len(keys))
    found = [rows.groups.key(k) | {"n": int(whole[k])} for k in range(len(keys))]
    wrong = (("wrong_before", WRONG),) if rows.outcome is not None and (rows.outcome == WRONG).any() else ()
    for name, code in (("never_attacked", NEVER), ("failures", FAILURE), ("successes", SUCCESS), *wrong):
        if rows.outcome is not None:
            each = np.bincount(of_row[rows.outcome == code], minlength=len(keys))
            found = [one | {name: int(each[k])} for k, one in enumerate(found)]
    return _with_rows(found)


def norms(rows: SelectedRows) -> list[Row]:
    """The norms of the selected rows of every group."""
    each = {norm: summary(rows.group, rows.measured.norms[norm], len(rows.groups.keys)) for norm in NORMS}
    return _with_rows(
        rows.groups.key(k) | {"rows": rows.rows, "of": "norm", "norm": norm} | row(columns, k)
        for k in range(len(rows.groups.keys))
        for norm, columns in each.items()
    )


def values(rows: SelectedRows) -> list[Row]:
    """The values of pixels of the selected rows of every group."""
    each = {kind: moments.columns() | grid.columns() for kind, (moments, grid) in rows.measured.values.items()}
    return _with_rows(
        rows.groups.key(k) | {"rows": rows.rows, "of": kind, "norm": None} | row(columns, k)
        for k in range(len(rows.groups.keys))
        for kind, columns in each.items()
    )


def costs(rows: SelectedRows, asked: str | None) -> list[Row]:
    """The cost of each image, over the attacked images or the selected rows.

    It is charged to the image's first row: if an image has several rows, their total is counted once, and budgets and targets
    are not distinguished.
    """
    file, which = rows.opened, asked or "attacked"
    if rows.outcome is None or not all(name in file for name in (*COSTS, "original")):
        return []
    keep = np.isin(rows.outcome, KEPT[which])
    original = file.column("original")
    image, first = np.unique(original[rows.considered[keep]], return_index=True)
    groups, of_row = rows.groups, rows.groups.of_row[keep][first]
    keys = [groups.key(k) for k in range(len(groups.keys))]
    if len(np.unique(original)) < len(original):
        keys, of_row = _by_label(keys, of_row)
    found = {name: summary(of_row, _paid(original, file.column(name))[image], len(keys)) for name in COSTS}
    return _with_rows(
        keys[k] | {"rows": f"{which} images", "of": name, "norm": None} | row(columns, k)
        for k in range(len(keys))
        for name, columns in found.items()
    )


def _with_rows(found: Iterable[Row]) -> list[Row]:
    """The groups that have any rows; all of them if none has, so that no table is empty."""
    every = list(found)
    return [one for one in every if one["n"]] or every


def _by_label(keys: list[dict[str, str]], of_row: Array) -> tuple[list[dict[str, str]], Array]:
    """The same groups, without the columns that differ between the rows of one image."""
    joined: dict[tuple[str, ...], int] = {}
    merged = [{word: text if word == "label" else SUMMED for word, text in key.items()} for key in keys]
    number = np.array([joined.setdefault(tuple(one.values()), len(joined)) for one in merged], np.int64)
    return [dict(zip(keys[0], values, strict=True)) for values in joined], number[of_row]


def _paid(original: Array, charged: Array) -> Array:
    """The cost of every original."""
    found = np.zeros(int(original.max(initial=-1)) + 1, np.int64)
    np.add.at(found, original, charged)
    return found

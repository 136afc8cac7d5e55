"""The tables of `stats`: outcomes, then norms, values and costs; for many sets and budgets, one line each."""

from collections.abc import Sequence
from typing import Any

from advcli.cli.output import on_one_line
from advcli.cli.text_tables import Line, fitted, wrapped
from advcli.evaluation.statistics_cells import SHOWN, cell, printed

GROUP = SHOWN[:5]  # what tells groups apart
MANY = 60  # lines that one still reads


def statistics_table(found: Any, width: int) -> str:
    """Everything except the other quantiles, which are in the folders and in --json; for many groups, only the means of norms."""
    if not found.counts and not found.rows:  # only figures that join several sets, or of a model
        return "\n".join(map(str, found.folders))
    counts = [row for row in found.counts if "successes" in row]
    if len(counts) + len(found.rows) > MANY and len(found.rows) > len(found.counts):
        told = f"shown: means; every table is in {_some(found.folders)}--json"
        return "\n".join([fitted(_means(found.counts, found.rows), width), *wrapped(told, width)])
    lines = [{key: on_one_line(text) for key, text in line.items()} for line in printed(found.rows)]
    outcomes = [{key.replace("_", " "): _cell(value) for key, value in row.items()} for row in counts]
    return "\n\n".join(fitted(some, width) for some in (outcomes, lines) if some) or fitted([], width)


def _means(counts: Sequence[dict[str, Any]], rows: Sequence[dict[str, Any]]) -> list[Line]:
    """One line for each group: its outcomes, and the means of its norms, or of its values where it has none."""
    of = [row for row in rows if row["norm"]] or rows
    found = {_group(row): {key.replace("_", " "): _cell(value) for key, value in row.items()} for row in counts}
    for row in of:
        if _group(row) in found:
            found[_group(row)][f"mean {row['norm'] or row['of']}"] = _cell(row["mean"])
    titles = {key: "" for line in found.values() for key in line}
    return [{**titles, **line} for line in found.values()]


def _group(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row.get(key) for key in GROUP)


def _some(folders: Sequence[Any]) -> str:
    """The places of the tables, before `--json`; none of a command that wrote one table."""
    if not folders:
        return ""
    return f"{folders[0]} and in " if len(folders) == 1 else f"{folders[0]} and {len(folders) - 1} more folders and in "


def _cell(value: Any) -> str:
    return on_one_line(cell(value))

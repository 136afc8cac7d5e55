"""`stats`: makes tables of outcomes, norms, values and costs, and figures, from image sets."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from advcli.catalog import discovery
from advcli.catalog.registry import Bound
from advcli.catalog.requests import StatsRequest
from advcli.errors import CommandError
from advcli.evaluation import set_tables
from advcli.evaluation.drawing import drawn
from advcli.evaluation.selected_rows import SelectedRows, select
from advcli.evaluation.statistics_cells import printed
from advcli.files.imageset_reader import ImageSet
from advcli.files.table_formats import as_csv
from advcli.runtime.reporter import SILENT, Reporter
from advcli.workspace import inputs, stats_folder, table_file

TOGETHER = "sets.stats"  # where figures of several sets go


@dataclass(frozen=True, slots=True)
class Statistics:
    """The tables of all files, and the folders that hold them and the figures."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    counts: list[dict[str, Any]] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """The content that --json prints."""
        return {"rows": self.rows, "counts": self.counts, "folders": [str(folder) for folder in self.folders]}


def stats(asked: StatsRequest, own: dict[str, object], reporter: Reporter = SILENT) -> Statistics:
    """Look at images and perturbations."""
    figures = discovery.chosen("stats", "figure", asked.figure, own)
    names = asked.files or (inputs.PERTURBATIONS,)
    if not asked.files:
        reporter.note(f"set: {inputs.PERTURBATIONS}")
    if table_file.is_table(asked.output):
        return _one_table(asked, names, own, reporter)
    each, together = figures, list[Bound]()
    if len(names) > 1:
        each = [one for one in figures if one.spec.traits.sets == "each"]
        together = [one for one in figures if one not in each]
    if asked.output and len(names) > 1 and not together:
        raise CommandError("-o names one folder; without -o every set's folder is beside the set")
    found = Statistics()
    with contextlib.ExitStack() as open_files:
        sets = [_selected(open_files.enter_context(ImageSet(name)), asked, figures, reporter) for name in names]
        for rows in sets:
            own_name = asked.output if len(sets) == 1 else None
            folder = Path(own_name) if own_name else stats_folder.beside(rows.opened.path, asked, figures)
            _write(folder, asked, each, [rows], partial(_tables, found, rows, asked), reporter)
            found.folders.append(folder)
        if together:
            folder = Path(asked.output or TOGETHER)
            _write(folder, asked, together, sets, dict, reporter)
            found.folders.append(folder)
    return found


def _one_table(asked: StatsRequest, names: Sequence[str], own: dict[str, object], reporter: Reporter) -> Statistics:
    """The rows of all sets in one file, without figures."""
    if own or asked.figure != StatsRequest().figure:
        given = f"--{next(iter(own)).replace('_', '-')}" if own else "--figure"
        raise CommandError(f"{given}: a figure is written to a folder, and -o {asked.output} names one table")
    path = table_file.free_path(str(asked.output), names, force=asked.force)
    found = Statistics()
    for name in names:
        with ImageSet(name) as opened:
            _tables(found, _selected(opened, asked, (), reporter), asked)
    table_file.write(path, found.rows, printed(found.rows), (), force=asked.force)
    return found


def _write(
    folder: Path,
    asked: StatsRequest,
    figures: Sequence[Bound],
    sets: list[SelectedRows],
    tables: Callable[[], dict[str, bytes]],
    reporter: Reporter,
) -> None:
    """Write tables and figures to their folder; an obstacle is found before anything slow is done."""
    made = stats_folder.how(asked, figures, [rows.opened for rows in sets])
    stats_folder.check_free(folder, made, force=asked.force)
    stats_folder.publish(folder, tables() | _figures(figures, sets), made, force=asked.force, reporter=reporter)


def _selected(opened: ImageSet, asked: StatsRequest, figures: Sequence[Bound], reporter: Reporter) -> SelectedRows:
    """The rows of one file; a note tells what was left out."""
    for one in figures:
        if lacking := [name for name in one.spec.traits.needs if name not in opened]:
            raise CommandError(f"--figure {one.spec.name}: {opened.path} has no {', '.join(lacking)}")
    rows = select(opened, of=asked.of, by=asked.by, where=asked.where, rows=asked.rows)
    if len(rows) < len(rows.considered):
        reporter.note(f"{opened.path}: norms, values and figures are of {len(rows)} of {len(rows.considered)} rows ({rows.rows})")
    return rows


def _tables(found: Statistics, rows: SelectedRows, asked: StatsRequest) -> dict[str, bytes]:
    """The tables of one file, for its folder; their rows join the earlier ones."""
    statistics = [*set_tables.norms(rows), *set_tables.values(rows), *set_tables.costs(rows, asked.rows)]
    tables = {"counts": set_tables.counts(rows), "statistics": statistics}
    name = {"set": str(rows.opened.path)}
    found.counts.extend(name | one for one in tables["counts"])
    found.rows.extend(name | one for one in statistics)
    return {f"{name}.csv": as_csv(table).encode() for name, table in tables.items()}


def _figures(figures: Sequence[Bound], sets: list[SelectedRows]) -> dict[str, bytes]:
    """The files of figures: NAME.png, and NAME.csv with the numbers."""
    found: dict[str, bytes] = {}
    for bound in figures:
        what = sets if bound.spec.traits.sets == "all" else sets[0]
        picture, table = drawn(partial(bound, what), bound.spec.name)
        name = bound.spec.name.replace(":", ".")
        found |= {f"{name}.png": picture, f"{name}.csv": as_csv(table).encode()}
    return found

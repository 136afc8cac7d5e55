"""`stats`: makes tables of outcomes, norms, values and costs, and figures, from image sets."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from advcli.catalog import discovery
from advcli.catalog.registry import Bound
from advcli.catalog.requests import EvaluateRequest, StatsRequest
from advcli.errors import CommandError
from advcli.evaluation import set_tables
from advcli.evaluation.drawing import drawn
from advcli.evaluation.judge import Judge
from advcli.evaluation.judged_sets import judged
from advcli.evaluation.selected_rows import SelectedRows, select
from advcli.evaluation.sets import check_fit, from_file
from advcli.evaluation.statistics_cells import printed
from advcli.files.imageset_reader import ImageSet
from advcli.files.table_formats import as_csv
from advcli.networks.model_file import ModelFile, read
from advcli.runtime.reporter import SILENT, Reporter
from advcli.workspace import inputs, stats_folder, table_file
from advcli.workspace.unfiltered import unfiltered

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
    discovery.allow(asked.allow)
    figures = discovery.chosen("stats", "figure", asked.figure, own)
    names = _sets(asked, figures, reporter)
    if table_file.is_table(asked.output):
        return _one_table(asked, names, own, reporter)
    _check_rows(asked, figures)
    models = _models(asked, figures, reporter)
    each, together = figures, list[Bound]()
    if len(names) != 1:
        each = [one for one in figures if not one.spec.traits.together and names]
        together = [one for one in figures if one not in each]
    if asked.output and len(names) > 1 and not together:
        raise CommandError("-o names one folder; without -o every set's folder is beside the set")
    found = Statistics()
    with contextlib.ExitStack() as open_files:
        sets = [_selected(open_files.enter_context(ImageSet(name)), asked, figures, reporter) for name in names]
        for rows in sets if each else ():
            own_name = asked.output if len(sets) == 1 else None
            folder = Path(own_name) if own_name else stats_folder.beside(rows.opened.path, asked, figures)
            page = _Page(asked, each, [rows], models, reporter)
            page.write(folder, partial(_tables, found, rows, asked))
            found.folders.append(folder)
        if together:
            folder = Path(asked.output or (TOGETHER if sets else models[0].path.with_suffix(".stats")))
            _Page(asked, together, sets, models, reporter).write(folder, dict)
            found.folders.append(folder)
    return found


def _sets(asked: StatsRequest, figures: Sequence[Bound], reporter: Reporter) -> tuple[str, ...]:
    """The named files; none if every figure is of a model alone."""
    alone = [one.spec.name for one in figures if one.spec.traits.sets == "none"]
    if alone and (asked.files or len(alone) < len(figures)):
        raise CommandError(f"--figure {alone[0]}: is of a model alone; give it without files and without other figures")
    if asked.files or alone:
        return asked.files
    reporter.note(f"set: {inputs.PERTURBATIONS}")
    return (inputs.PERTURBATIONS,)


def _check_rows(asked: StatsRequest, figures: Sequence[Bound]) -> None:
    """Refuse a choice of rows where every figure is of verdicts, which are about all rows."""
    if not figures or not all(one.spec.traits.model == "verdicts" for one in figures):
        return
    default = StatsRequest()
    for name in ("where", "rows", "of", "by"):
        if getattr(asked, name) != getattr(default, name):
            shown = ", ".join(one.spec.name for one in figures)
            raise CommandError(f"--{name} {getattr(asked, name)}: --figure {shown} uses all rows; leave out --{name}")


def _models(asked: StatsRequest, figures: Sequence[Bound], reporter: Reporter) -> list[ModelFile]:
    """The models that figures ask for; a model that none of them uses is refused."""
    asking = [one.spec for one in figures if one.spec.traits.model]
    if not asking:
        if asked.model:
            known = ", ".join(one.name for one in discovery.specs("figure") if one.traits.model)
            raise CommandError(f"--model {asked.model[0]}: none of these figures uses a model; those that do: {known}")
        return []
    if not asked.model:
        reporter.note(f"model: {inputs.MODEL}")
    found = [read(name) for name in dict.fromkeys(asked.model or (inputs.MODEL,))]
    if len(found) > 1 and (one := next((spec for spec in asking if spec.traits.model == "one"), None)):
        raise CommandError(f"--figure {one.name}: is of one model; give --model once")
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


@dataclass(frozen=True, slots=True)
class _Page:
    """The figures of one folder, and what they are drawn from."""

    asked: StatsRequest
    figures: Sequence[Bound]
    sets: list[SelectedRows]
    models: list[ModelFile]
    reporter: Reporter

    def write(self, folder: Path, tables: Callable[[], dict[str, bytes]]) -> None:
        """Write tables and figures to their folder; an obstacle is found before anything slow is done."""
        force, models = self.asked.force, self.models if any(one.spec.traits.model for one in self.figures) else []
        made = stats_folder.how(self.asked, self.figures, [rows.opened for rows in self.sets], models)
        stats_folder.check_free(folder, made, force=force)
        stats_folder.publish(folder, tables() | self._drawn(), made, force=force, reporter=self.reporter)

    def _drawn(self) -> dict[str, bytes]:
        """The files of figures: NAME.png, and NAME.csv with the numbers."""
        found: dict[str, bytes] = {}
        for bound in self.figures:
            pictures, table = drawn(partial(bound, *self._inputs(bound)), bound.spec.name, [*dict.fromkeys(self.asked.format)])
            name = bound.spec.name.replace(":", ".")
            found |= {f"{name}.{form}": picture for form, picture in pictures.items()} | {f"{name}.csv": as_csv(table).encode()}
        return found

    def _inputs(self, bound: Bound) -> list[Any]:
        """What a figure is a function of, by its traits."""
        traits = bound.spec.traits
        if traits.model == "verdicts":
            opened, needs = [rows.opened for rows in self.sets], {*traits.needs}
            with contextlib.ExitStack() as files:
                before = unfiltered(opened, files, self.reporter) if "filter" in needs else {}
                return [judged(self.models, opened, needs, self._evaluation(), before, self.reporter)]
        found: list[Any] = [] if traits.sets == "none" else [self.sets if traits.sets == "all" else self.sets[0]]
        return [*found, self._judge()] if traits.model else found

    def _judge(self) -> Judge:
        (model,) = self.models
        for rows in self.sets:
            check_fit(from_file(rows.opened, str(rows.opened.path)), model)
        return Judge(model, self._evaluation())

    def _evaluation(self) -> EvaluateRequest:
        """The same options as those of `evaluate`, so that figures show its numbers."""
        asked = self.asked
        return EvaluateRequest(draws=asked.draws, seed=asked.seed, batch_size=asked.batch_size, device=asked.device)


def _selected(opened: ImageSet, asked: StatsRequest, figures: Sequence[Bound], reporter: Reporter) -> SelectedRows:
    """The rows of one file; a note tells what was left out."""
    for one in figures:
        traits = one.spec.traits
        if traits.model != "verdicts" and (lacking := [name for name in traits.needs if name not in opened]):
            raise CommandError(f"--figure {one.spec.name}: {opened.path} has no {', '.join(lacking)}")
    rows = select(opened, of=asked.of, by=asked.by, where=asked.where, rows=asked.rows)
    if len(rows) < len(rows.considered):
        some = not figures or any(one.spec.traits.model != "verdicts" for one in figures)
        what = "norms, values and figures" if some else "norms and values"
        reporter.note(f"{opened.path}: {what} are of {len(rows)} of {len(rows.considered)} rows ({rows.rows})")
    return rows


def _tables(found: Statistics, rows: SelectedRows, asked: StatsRequest) -> dict[str, bytes]:
    """The tables of one file, for its folder; their rows join the earlier ones."""
    statistics = [*set_tables.norms(rows), *set_tables.values(rows), *set_tables.costs(rows, asked.rows)]
    tables = {"counts": set_tables.counts(rows), "statistics": statistics}
    name = {"set": str(rows.opened.path)}
    found.counts.extend(name | one for one in tables["counts"])
    found.rows.extend(name | one for one in statistics)
    return {f"{name}.csv": as_csv(table).encode() for name, table in tables.items() if table}

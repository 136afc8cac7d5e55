"""The files of one attack command: parts, their assembly, the perturbation file."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from advcli.catalog.requests import AttackRequest
from advcli.crafting import trust
from advcli.crafting.run import Run, finished_header
from advcli.crafting.work import make
from advcli.errors import AdvcliError, InputError
from advcli.files import atomic, imageset_reader, imageset_writer
from advcli.files.header import Header, identity
from advcli.files.parts import Parts
from advcli.networks.black_box import boxes_of
from advcli.numerics.arrays import Array
from advcli.runtime.reporter import Reporter
from advcli.search.observer import COLUMNS
from advcli.workspace import outputs
from advcli.workspace.inputs import PERTURBATIONS
from advcli.workspace.lookup import header_of

Maker = Callable[[Run, Parts, Reporter], None]


def publish(
    path: Path, beside: Path, run: Run, asked: AttackRequest, default: bool, reporter: Reporter, maker: Maker = make
) -> Path:
    """Write the set and its perturbations, unless the same command has made them already; `maker` makes the parts."""
    force = asked.force
    with contextlib.ExitStack() as locks:
        ground = [run.first_stage.path] if run.first_stage else []
        for one in (path, *ground, *([beside] if asked.perturbations else [])):
            locks.enter_context(atomic.locked(one))
        if asked.perturbations and not force:
            refuse_foreign(path, beside, run.made)
        if run.first_stage:
            job, about = run.first_stage.ensure(run.job, default_name=default, force=force, reporter=reporter)
            run = replace(run, job=job, about={**run.about, **about})
        if outputs.is_finished(path, run.made, default_name=default, force=force, reporter=reporter):
            checks = header_of(path)[1].get("checks", [])
        else:
            checks = write(path, run, maker, reporter)
        Parts.of(path).remove()
        if asked.perturbations:
            derive(path, beside)
    trust.say(checks, reporter)
    for box in [one for one in boxes_of(run.job.model) if one.asked]:
        reporter.note(f"{box.name}: asked about {box.asked:,} pictures in {box.calls:,} calls, trust checks among them")
    with imageset_reader.ImageSet(path) as made:
        trust.say_of_clean({name: made.column(name) for name in trust.OF_CLEAN}, run.data, reporter)
    return path


def write(path: Path, run: Run, maker: Maker, reporter: Reporter) -> list[Header]:
    """Have the parts made, assemble them, publish; returns the checks."""
    parts = Parts.of(path)
    parts.begin(run.made, reporter)
    maker(run, parts, reporter)
    layout = parts.shapes()
    if layout["originals"][1][0] != len(run.data) or layout["images"][1][0] != len(run.data) * run.per_image:
        raise AdvcliError(f"{parts.folder}: its parts are not complete; remove the folder and run again")
    header = finished_header(run, layout.keys(), parts.column, reporter)
    layout = {name: one for name, one in layout.items() if name not in COLUMNS}
    imageset_writer.write(path, header, layout, {name: _column(parts, name) for name in layout})
    checks: list[Header] = header["checks"]
    return checks


def _column(parts: Parts, name: str) -> imageset_writer.Pieces:
    return lambda: parts.column(name)


def refuse_foreign(path: Path, beside: Path, made: Header) -> None:
    """Replace only a perturbation file of the set at `path`, or of one that this command made, or one with the default name."""
    try:
        with imageset_reader.ImageSet(beside) as old:
            mine = beside.name == PERTURBATIONS or identity(old.header["made"]) == identity(made)
            ours = old.kind == "perturbation" and (mine or _is_view(old.header, path))
    except InputError:
        ours = not beside.exists()
    if not ours:
        raise outputs.taken(
            beside, f" and is not derived from {path}", "use --force to overwrite it, or --no-perturbations to do without"
        )


def _is_view(header: Header, path: Path) -> bool:
    with contextlib.suppress(InputError):
        return bool(header["of"] == imageset_reader.content_digest(path))
    return False


def derive(path: Path, beside: Path) -> None:
    """The perturbation file, rebuilt if it is missing or belongs to another set."""
    with imageset_reader.ImageSet(path) as made:
        low, high = made.header["range"]
        header = {
            **{k: made.header[k] for k in ("classes", "split", "norm", "epsilon", "tolerance", "victim", "made")},
            **{k: made.header[k] for k in ("moves_wrong",) if k in made.header},
            "kind": "perturbation",
            "range": [min(-1, low - 1), max(1, high)],
            "of": made.digest,
        }
        with contextlib.suppress(InputError), imageset_reader.ImageSet(beside) as old:
            if old.header == header:
                return

        def differences() -> Iterator[Array]:
            origin = made.column("original")
            for start in range(0, len(made), 1024):
                stop = min(start + 1024, len(made))
                yield (made.rows("images", start, stop) - made.pick("originals", origin[start:stop])).numpy()

        names = ("labels", "index", "target", "epsilon", "success", "prediction", "clean_prediction")
        layout, fill = imageset_writer.in_memory({name: made.column(name) for name in names})
        layout["images"] = (np.dtype("<f4"), (len(made), *made.shape))
        imageset_writer.write(beside, header, layout, {**fill, "images": differences})

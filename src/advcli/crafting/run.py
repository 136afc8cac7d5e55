"""The run of one resolved attack command: parts, assembly, the perturbation file, the estimate of its cost."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from advcli.catalog.requests import AttackRequest
from advcli.crafting import trust
from advcli.crafting.first_stage import FirstStage
from advcli.crafting.timing import seconds_each
from advcli.errors import AdvcliError, InputError
from advcli.files import atomic, imageset_reader, imageset_writer
from advcli.files.header import Header, identity
from advcli.files.parts import Parts
from advcli.images.dataset import Dataset
from advcli.networks.black_box import boxes_of, journaled
from advcli.numerics.arrays import Array
from advcli.runtime import interrupts
from advcli.runtime.estimate import Estimate
from advcli.runtime.reporter import Reporter
from advcli.search.batch import craft
from advcli.search.job import Job
from advcli.search.observer import COLUMNS, Search
from advcli.workspace import outputs
from advcli.workspace.inputs import PERTURBATIONS
from advcli.workspace.lookup import header_of

Column = Callable[[str], Iterable[Array]]  # the rows of a column, in pieces


@dataclass(frozen=True, slots=True)
class Run:
    """One resolved attack command."""

    job: Job
    data: Dataset
    made: Header  # how the set comes about
    about: Header  # what else its header says
    batch_size: int
    part_size: int
    first_stage: FirstStage | None = None  # what is laid before the first image

    def header(self, **found: object) -> Header:
        """The header of the set, with the results of the run: every header is made here, at the end."""
        return {"kind": "adversarial", "range": [0, 1], **self.about, **found, "made": self.made}

    @property
    def per_image(self) -> int:
        """Rows of every image: budgets times targets."""
        classes, rule = len(self.about["classes"]), self.job.target or ""
        each = {"all": classes, "other": classes - 1}.get(rule, 1) if self.job.from_images else 1
        return len(self.job.budgets) * each


def publish(path: Path, beside: Path, run: Run, asked: AttackRequest, default: bool, reporter: Reporter) -> Path:
    """Write the set and its perturbations, unless the same command has made them already."""
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
            checks = write(path, run, reporter)
        Parts.of(path).remove()
        if asked.perturbations:
            derive(path, beside)
    trust.say(checks, reporter)
    for box in [one for one in boxes_of(run.job.model) if one.asked]:
        reporter.note(f"{box.name}: asked about {box.asked:,} pictures in {box.calls:,} calls, trust checks among them")
    with imageset_reader.ImageSet(path) as made:
        trust.say_of_clean({name: made.column(name) for name in trust.OF_CLEAN}, run.data, reporter)
    return path


def write(path: Path, run: Run, reporter: Reporter) -> list[Header]:
    """Work part by part, assemble, publish; returns the checks. After a signal it finishes the batch and publishes it."""
    parts = Parts.of(path)
    parts.begin(run.made, reporter)
    done = parts.finished()
    if done:
        reporter.note(f"resuming after {sum(map(len, done))} of {len(run.data)} images, from {parts.folder}")
    won = seen = 0
    with (
        reporter.progress(run.job.method.spec.name, len(run.data), "images") as tick,
        interrupts.finish_batch_first() as asked,
        journaled(run.job.model, parts) as forget,
    ):
        tick(sum(map(len, done)), "")
        for group in _groups(run, done):
            batches = []
            for start in group:
                stop = min(start + run.batch_size, len(run.data))
                batches.append(craft(run.job, run.data, start, stop))
                won += int(batches[-1]["success"].sum())
                seen += len(batches[-1]["success"])
                tick(stop - start, f"{won / seen:.0%} fooled")
                if asked():
                    break
            parts.save(group[0], stop, joined(batches))
            forget()
            if asked():
                raise KeyboardInterrupt
    layout = parts.shapes()
    if layout["originals"][1][0] != len(run.data) or layout["images"][1][0] != len(run.data) * run.per_image:
        raise AdvcliError(f"{parts.folder}: its parts are not complete; remove the folder and run again")
    header = finished_header(run, layout.keys(), parts.column, reporter)
    layout = {name: one for name, one in layout.items() if name not in COLUMNS}
    imageset_writer.write(path, header, layout, {name: _column(parts, name) for name in layout})
    checks: list[Header] = header["checks"]
    return checks


def finished_header(run: Run, names: Iterable[str], column: Column, reporter: Reporter) -> Header:
    """The header of a set whose rows are made; a column comes in pieces."""
    found: Header = {}
    if run.job.quantize and not run.job.store_bytes and (count := count_unrepresentable(run.job, column, reporter)):
        found["unrepresentable"] = count
    if not run.job.clip:
        low, high = found["range"] = _range(column)
        if (low, high) != (0, 1):
            reporter.warn(f"pixels from {low:.3g} to {high:.3g}: no image file can hold them, and no claim counts them")
    return run.header(**found, checks=run.about["checks"] + _search_checks(run, names, column))


def _range(column: Column) -> list[float]:
    """The lowest and the highest pixel of a set that was not clipped; [0, 1] where none lies outside."""
    ends = [(float(one.min()), float(one.max())) for one in column("images") if one.size]
    return [min(0.0, *(low for low, _ in ends)), max(1.0, *(high for _, high in ends))] if ends else [0, 1]


def _search_checks(run: Run, names: Iterable[str], column: Column) -> list[Header]:
    """The results of the checks of the search, from what its batches counted."""
    if not set(names) >= set(COLUMNS):
        return []
    counts = {name: sum(int(one.sum()) for one in column(name)) for name in COLUMNS}
    return trust.search_checks(Search(run.job.method, **counts), run.about["access"], run.made["options"].get("check", ()))


def _groups(run: Run, done: list[range]) -> Iterator[list[int]]:
    """The starts of the batches of every unfinished part."""
    group: list[int] = []
    for start in range(0, len(run.data), run.batch_size):
        if group and (len(group) == run.part_size or start != group[-1] + run.batch_size):
            yield group
            group = []
        if not any(start in one for one in done):
            group.append(start)
    if group:
        yield group


def joined(batches: list[dict[str, Array]]) -> dict[str, Array]:
    """The columns of several batches."""
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def _column(parts: Parts, name: str) -> imageset_writer.Pieces:
    return lambda: parts.column(name)


def count_unrepresentable(job: Job, column: Column, reporter: Reporter) -> int:
    """Attacked rows that have no 8-bit image inside their budget."""
    count = total = 0
    columns = [column(name) for name in ("images", "labels", "clean_prediction", "target")]
    for pixels, labels, clean, target in zip(*columns, strict=True):
        levels = pixels.astype(np.float64) * 255
        off = (np.abs(levels - np.rint(levels)) > 1e-3).any((1, 2, 3))
        attacked = ((clean == labels) | (labels < 0) | job.moves_wrong) & (target != clean)
        count, total = count + int((off & attacked).sum()), total + int(attacked.sum())
    if count:
        reporter.warn(f"{count} of {total} attacked rows have no 8-bit image inside their budget; they hold the original")
    return count


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


def estimate(run: Run, perturbations: bool) -> Estimate:
    """Rows and bytes by arithmetic, time by a short probe; without the time of the first stage."""
    rows = len(run.data) * run.per_image
    pixels = int(np.prod(run.data.shape))
    size = rows * pixels * (1 if run.job.store_bytes else 4) + len(run.data) * pixels * (1 if run.data.eight_bit else 4)
    size += rows * (8 * 7 + 4 + 1) + (rows * (pixels * 4 + 8 * 5 + 5) if perturbations else 0)
    job = run.first_stage.placeholder(run.job) if run.first_stage else run.job
    each, at_least = seconds_each(job, run.data)
    return Estimate(rows, size, each * len(run.data), at_least)

"""One resolved attack command: what its set says of itself, and the estimate of its cost."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from advcli.crafting import trust
from advcli.crafting.first_stage import FirstStage
from advcli.crafting.timing import seconds_each
from advcli.files.header import Header
from advcli.images.dataset import Dataset
from advcli.numerics.arrays import Array
from advcli.runtime.estimate import Estimate
from advcli.runtime.reporter import Reporter
from advcli.search.job import Job
from advcli.search.observer import COLUMNS, Search

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


def joined(batches: list[dict[str, Array]]) -> dict[str, Array]:
    """The columns of several batches."""
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


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


def estimate(run: Run, perturbations: bool) -> Estimate:
    """Rows and bytes by arithmetic, time by a short probe; without the time of the first stage."""
    rows = len(run.data) * run.per_image
    pixels = int(np.prod(run.data.shape))
    size = rows * pixels * (1 if run.job.store_bytes else 4) + len(run.data) * pixels * (1 if run.data.eight_bit else 4)
    size += rows * (8 * 7 + 4 + 1) + (rows * (pixels * 4 + 8 * 5 + 5) if perturbations else 0)
    job = run.first_stage.placeholder(run.job) if run.first_stage else run.job
    each, at_least = seconds_each(job, run.data)
    return Estimate(rows, size, each * len(run.data), at_least)

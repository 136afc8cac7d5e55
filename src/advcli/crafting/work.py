"""The parts of an attack: made one after the other by one process, or shared by several."""

import time
from collections.abc import Callable, Iterator

from advcli.crafting.run import Run, joined
from advcli.crafting.share import Share
from advcli.files.leases import Leases
from advcli.files.parts import Parts
from advcli.networks.black_box import journaled
from advcli.runtime import interrupts
from advcli.runtime.reporter import Reporter
from advcli.search.batch import craft

PAUSE = 0.2  # seconds between two looks at what others have made
Tick = Callable[[int, str], None]


def make(run: Run, parts: Parts, reporter: Reporter) -> None:
    """Make all parts that are missing. After a signal the batch is finished and published."""
    done = finished(run, parts, reporter)
    with (
        reporter.progress(run.job.method.spec.name, len(run.data), "images") as tick,
        interrupts.finish_batch_first() as asked,
        journaled(run.job.model, parts) as forget,
    ):
        counted = Counted(tick)
        counted.catch_up(sum(map(len, done)))
        for group in groups(run, done, range(len(run.data))):
            _make_group(run, parts, group, counted, asked)
            forget()
            if asked():
                raise KeyboardInterrupt


def finished(run: Run, parts: Parts, reporter: Reporter) -> list[range]:
    """The intact parts of an earlier run, with a note if there are any."""
    done = parts.finished()
    if 0 < (images := sum(map(len, done))) < len(run.data):
        reporter.note(f"resuming after {images} of {len(run.data)} images, from {parts.folder}")
    return done


def share(run: Run, parts: Parts, shared: Share, reporter: Reporter, *, stop: Callable[[], bool] = lambda: False) -> bool:
    """Make what is this process's share, beside others; returns whether all parts are there at the end.

    A shard ends when its own parts are there. Others wait until all are, and take over what a killed process has left.
    """
    order = [cell(run, number) for number in shared.order(count_cells(run))]
    with (
        Leases(parts.folder) as leases,
        reporter.progress(run.job.method.spec.name, sum(map(len, order)), "images") as tick,
        interrupts.finish_batch_first() as interrupted,
    ):
        counted = Counted(tick)
        while missing := [images for images in order if not _is_made(images, parts.covered())]:
            counted.catch_up(sum(map(len, order)) - sum(map(len, missing)))
            taken = next((one for one in missing if shared.dealt or leases.take(one.start)), None)
            if taken is None:
                time.sleep(PAUSE)
            else:
                for group in groups(run, parts.covered(), taken):
                    _make_group(run, parts, group, counted, lambda: interrupted() or stop())
                leases.release(taken.start)
            if interrupted():
                raise KeyboardInterrupt
            if stop():
                return False
        counted.catch_up(sum(map(len, order)))
    return is_complete(run, parts)


def is_complete(run: Run, parts: Parts) -> bool:
    """True if every image is in a part."""
    return _is_made(range(len(run.data)), parts.covered())


class Counted:
    """The progress of one process, with the share of its images that are fooled."""

    def __init__(self, tick: Tick) -> None:
        self._tick, self._won, self._seen, self._shown = tick, 0, 0, 0

    def add(self, images: int, success: int, rows: int) -> None:
        self._won, self._seen, self._shown = self._won + success, self._seen + rows, self._shown + images
        self._tick(images, self._word())

    def catch_up(self, images: int) -> None:
        """Show so many images at least: others have made some of them."""
        if images > self._shown:
            self._tick(images - self._shown, self._word())
            self._shown = images

    def _word(self) -> str:
        return f"{self._won / self._seen:.0%} fooled" if self._seen else ""


def count_cells(run: Run) -> int:
    """The number of parts that a run without interruptions has."""
    return -(-len(run.data) // (run.batch_size * run.part_size))


def cell(run: Run, number: int) -> range:
    """The images of one part."""
    size = run.batch_size * run.part_size
    return range(number * size, min((number + 1) * size, len(run.data)))


def groups(run: Run, done: list[range], within: range) -> Iterator[list[int]]:
    """The starts of the batches of every unfinished part."""
    group: list[int] = []
    for start in range(within.start, within.stop, run.batch_size):
        if group and (len(group) == run.part_size or start != group[-1] + run.batch_size):
            yield group
            group = []
        if not any(start in one for one in done):
            group.append(start)
    if group:
        yield group


def _make_group(run: Run, parts: Parts, group: list[int], counted: Counted, asked: Callable[[], bool]) -> None:
    """Make some batches and publish them as one part; after a signal only those that are finished."""
    batches = []
    for start in group:
        stop = min(start + run.batch_size, len(run.data))
        batches.append(craft(run.job, run.data, start, stop))
        counted.add(stop - start, int(batches[-1]["success"].sum()), len(batches[-1]["success"]))
        if asked():
            break
    parts.save(group[0], stop, joined(batches))


def _is_made(images: range, there: list[range]) -> bool:
    """True if parts cover some images."""
    at = images.start
    for part in sorted(there, key=lambda one: (one.start, one.stop)):
        if part.start <= at < part.stop:
            at = part.stop
    return at >= images.stop

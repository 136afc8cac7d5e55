"""One cell, measured: every tool in turn, several times over, so that a busy machine disturbs all alike.

CPU and wall seconds, forwards and gradients counted by hooks on the model, peak memory, and beside them the cost of one
forward, and of one forward and backward to the input, of the same model in the same minutes. A tool that is not done
after its cell's cap in seconds of CPU time is stopped, whatever else the machine does; what it finished until then counts.
"""

import contextlib
import ctypes
import os
import random
import signal
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.cells import Cell
from benchmarks.judge import Judged, judge, paired
from benchmarks.subject import SHAPE, Subject
from benchmarks.tools import Tool, tools

REPEATS = 5
ENOUGH = 60.0  # seconds after which a tool is not repeated
WARM = 2  # images
NOISE = 0.1


class Stopped(BaseException):
    """The time is up; nothing that a library catches."""


@dataclass
class Counts:
    """Images that went forwards and backwards through a model."""

    forwards: int = 0
    backwards: int = 0


@dataclass
class Record:
    """What one tool did in all its runs."""

    tool: Tool
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    success: list[float] = field(default_factory=list)
    done: int = 0
    counts: Counts = field(default_factory=Counts)
    peak: float = 0.0
    first: Judged | None = None
    error: str = ""


@contextlib.contextmanager
def counted(models: Collection[nn.Module]) -> Iterator[Counts]:
    """Count in rows: a batch of 64 is 64. What a model of ours is searched through is another than what decides."""
    counts = Counts()

    def seen(_: nn.Module, __: Any, output: Tensor) -> None:
        counts.forwards += len(output)
        if output.requires_grad:
            output.register_hook(back)

    def back(gradient: Tensor) -> None:
        counts.backwards += len(gradient)

    hooks = [model.register_forward_hook(seen) for model in models]
    try:
        yield counts
    finally:
        for hook in hooks:
            hook.remove()


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Stop after so many seconds of CPU time: on a busy machine the clock runs on while a tool waits."""

    def ring(*_: object) -> None:
        raise Stopped

    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def memory(*, reset: bool) -> float:
    """Peak resident MB since the last reset, where the system tells.

    A reset gives freed memory back first, which slows down what comes next: for the first turn only.
    """
    with contextlib.suppress(OSError, AttributeError):
        if reset:
            ctypes.CDLL(None).malloc_trim(0)
            with open("/proc/self/clear_refs", "w") as file:
                file.write("5")
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))
    return float("nan")


def seeded(turn: int) -> None:
    torch.manual_seed(turn)
    np.random.seed(turn)
    random.seed(turn)


def once(record: Record, cell: Cell, subject: Subject, turn: int) -> None:
    """One run over all images."""
    tool, found, done = record.tool, [], 0
    seeded(turn)
    before = memory(reset=turn == 0)
    with counted(tool.models) as counts:
        wall, cpu = time.perf_counter(), time.process_time()
        spent, asked = (0.0, 0.0), Counts()
        with contextlib.suppress(Stopped), limited(cell.cap):
            for start in range(0, len(subject.x), tool.batch):
                stop = min(start + tool.batch, len(subject.x))
                found.append(tool.run(start, stop))
                done, spent = stop, (time.perf_counter() - wall, time.process_time() - cpu)
                asked = Counts(counts.forwards, counts.backwards)
    if not done:
        raise TimeoutError(f"not done with the first {min(tool.batch, len(subject.x))} images after {cell.cap:.0f} s of CPU time")
    judged = judge(cell, subject, torch.cat(found, 1))
    record.wall.append(spent[0])
    record.cpu.append(spent[1])
    record.success.append(float(judged.won.mean()))
    if turn == 0:
        record.first, record.counts, record.done = judged, asked, done
        record.peak = memory(reset=False) - before


def attempt(record: Record, cell: Cell, subject: Subject, turn: int) -> None:
    """One run, unless the tool has failed or has had its time; a failure is kept."""
    if record.error or (record.wall and sum(record.wall) + record.wall[-1] > ENOUGH):
        return
    try:
        if turn == 0:
            with contextlib.suppress(Stopped), limited(cell.cap / 4):
                seeded(0)
                record.tool.run(0, WARM)
        once(record, cell, subject, turn)
    except Exception as error:  # a library's bug is a row of the table
        record.error = f"{type(error).__name__}: {error}".splitlines()[0][:200]


def unit(model: nn.Module, x: Tensor, y: Tensor) -> tuple[float, float]:
    """CPU seconds per image of one forward without gradients, and of one forward and backward to the input."""

    def ahead() -> None:
        with torch.no_grad():
            model(x)

    def both() -> None:
        point = x.detach().requires_grad_()
        torch.autograd.grad(nn.functional.cross_entropy(model(point), y), point)

    return _cost(ahead) / len(x), _cost(both) / len(x)


def noisy(x: Tensor) -> Tensor:
    """What an attack looks at: pooling over the black of a clean digit is quicker by a third, and says nothing."""
    generator = torch.Generator().manual_seed(0)
    return (x + NOISE * (2 * torch.rand(x.shape, generator=generator) - 1)).clamp(0, 1)


def _cost(action: Callable[[], None]) -> float:
    action()
    begin, times = time.process_time(), 0
    while time.process_time() - begin < 0.2:
        action()
        times += 1
    return (time.process_time() - begin) / times


def measure(cell: Cell, subject: Subject, repeats: int) -> dict[str, Any]:
    """The cell's line of results."""
    records = [Record(tool) for tool in tools(cell, subject)]
    plain, units, load = subject.module().requires_grad_(False), [], []
    for turn in range(repeats):
        load.append(os.getloadavg()[0])
        units.append(unit(plain, noisy(subject.x[:SHAPE]), subject.y[:SHAPE]))
        for record in records:
            attempt(record, cell, subject, turn)
    ours = records[0].first
    if ours is None:
        raise RuntimeError(f"{cell.name}: {records[0].error}")
    return {
        "cell": cell.name,
        "parameters": cell.parameters,
        "tuned": cell.tuned,
        "images": len(subject.x),
        "classes": subject.classes,
        "model": subject.file.digest,
        "threads": torch.get_num_threads(),
        "load": [round(one, 2) for one in load],
        "forward_us": [round(1e6 * one[0], 2) for one in units],
        "unit_us": [round(1e6 * one[1], 2) for one in units],
        "tools": [told(record, cell, ours, len(subject.x)) for record in records],
    }


def told(record: Record, cell: Cell, ours: Judged, count: int) -> dict[str, Any]:
    """One tool's figures; seconds are those of the images that it finished."""
    row: dict[str, Any] = {"name": record.tool.name, "version": record.tool.version}
    if record.first is None:
        return {**row, "error": record.error}
    return {
        **row,
        **({"error": record.error} if record.error else {}),
        "done": record.done,
        "wall": [round(one, 4) for one in record.wall],
        "cpu": [round(one, 4) for one in record.cpu],
        "success": [round(one, 4) for one in record.success],
        "medians": {name: round(value, 5) for name, value in record.first.medians().items()},
        "outside": record.first.outside,
        "forwards": round(record.counts.forwards / record.done, 2),
        "backwards": round(record.counts.backwards / record.done, 2),
        "peak_mb": round(record.peak, 1),
        **paired(ours, record.first, cell.compared),
    }

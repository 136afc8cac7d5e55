"""The device, the number of threads and the batch size of a computation."""

import platform
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from math import prod
from typing import Any, TypeVar

import torch

from advcli.errors import CommandError

Given = TypeVar("Given")
Made = TypeVar("Made")

TINY = 256  # pixels


def find_device(name: str) -> torch.device:
    """cpu, cuda, cuda:1, or auto."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda"):
            raise RuntimeError("neither cpu nor cuda")
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0][:90]
        raise CommandError(f"--device {name}: cannot be used here ({reason}); cpu always can") from None
    return device


def one_of_several(name: str, local: int) -> str:
    """The device of one of several processes on a machine: a GPU each where there are several, unless one is named."""
    several = torch.cuda.device_count() if name in ("auto", "cuda") and torch.cuda.is_available() else 0
    return f"cuda:{local % several}" if several > 1 else name


def share_of_cores(processes: int) -> int | None:
    """The threads of each of several processes; None for one, which has torch's usual number."""
    return max(1, torch.get_num_threads() // processes) if processes > 1 else None


@contextmanager
def exactly(count: int | None) -> Iterator[None]:
    """So many threads, or as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def threads(shape: tuple[int, ...]) -> Iterator[None]:
    """One thread for tiny images: two would mostly wait for each other, and very long on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1 if prod(shape) <= TINY else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def in_threads(work: Callable[[Given], Made], items: Iterable[Given], device: torch.device) -> Iterator[Made]:
    """The results in order, from as many threads as torch may use; each computes alone, so that the count changes no bit.

    For work of many small operations, which one operation at a time would spread over too many threads. The items are read in
    the caller's thread, few ahead.
    """
    count = torch.get_num_threads() if device.type == "cpu" else 1
    crew = ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,))
    waiting: deque[Future[Made]] = deque()
    try:
        for item in items:
            waiting.append(crew.submit(work, item))
            if len(waiting) > count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        crew.shutdown(cancel_futures=True)


def processor() -> str:
    """The CPU instruction sets in use: with others (AVX2, AVX-512) the last bits differ, and parts must not be mixed."""
    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"


def environment(device: torch.device, batch_size: int) -> dict[str, Any]:
    """The settings that can change the last bit of a result and nothing else."""
    return {
        "torch": torch.__version__.partition("+")[0],
        "device": device.type,
        "threads": torch.get_num_threads() if device.type == "cpu" else 0,
        "batch_size": batch_size,
    }


def default_batch(batch_size: int | None, device: torch.device) -> int:
    return batch_size or (64 if device.type == "cpu" else 512)

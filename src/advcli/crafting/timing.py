"""How long an attack takes for one image, measured on a few; ended in time, however slow the attack is."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from torch import nn

from advcli.images.dataset import Dataset
from advcli.search.batch import craft
from advcli.search.job import Job

PROBE = 8  # images
LONG = 6.0  # seconds of measuring, the time of one call of the model beside them


class TimeIsUpError(Exception):
    """The measurement takes too long."""


def seconds_each(job: Job, data: Dataset) -> tuple[float, bool]:
    """Seconds for one image, and whether they are only a lower bound.

    Two images come first, since something is slow the first time; they are the measure if more of them would take too long.
    """
    begin = time.perf_counter()
    warm, few, count = None, min(2, len(data)), min(PROBE, len(data))
    with _ended(job, begin + LONG):
        try:
            craft(job, data, 0, few)
            warm = (time.perf_counter() - begin) / few
            begin = time.perf_counter()
            craft(job, data, 0, count)
            return (time.perf_counter() - begin) / count, False
        except TimeIsUpError:
            return (warm, False) if warm is not None else ((time.perf_counter() - begin) / few, True)


@contextlib.contextmanager
def _ended(job: Job, end: float) -> Iterator[None]:
    """Let every call of a model of the job after that time raise TimeIsUpError."""

    def look(module: nn.Module, given: Any) -> None:
        if time.perf_counter() > end:
            raise TimeIsUpError

    models = {id(one): one for one in (job.model, job.search, job.undefended, job.substitute) if one is not None}
    hooks = [one.register_forward_pre_hook(look) for one in models.values()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()

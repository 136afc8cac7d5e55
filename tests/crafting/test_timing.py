"""The time of an attack is measured in time, however slow the model is."""

import time

import pytest
import torch
from torch import nn

from advcli.catalog import discovery
from advcli.crafting import timing
from advcli.numerics.quantities import budgets
from advcli.search.job import Job
from conftest import in_memory


class Slow(nn.Module):
    """Two classes by a plane; every call takes a while once it was asked so often."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.w, self.left = nn.Parameter(torch.ones(2, 12)), after

    def forward(self, x: torch.Tensor, draws: object = None) -> torch.Tensor:
        self.left -= 1
        if self.left < 0:
            time.sleep(0.02)
        return x.flatten(1) @ self.w.T


def seconds(after: int, monkeypatch: pytest.MonkeyPatch) -> tuple[float, bool]:
    monkeypatch.setattr(timing, "LONG", 0.2)
    bound = discovery.spec("attack", "pgd").bind({"steps": 1000})
    settings = {"target": None, "label": "true", "seed": 0, "device": torch.device("cpu"), "early_stop": False}
    job = Job(Slow(after).eval().requires_grad_(False), bound, "linf", budgets("0.1"), **settings)
    data = in_memory(torch.rand(40, 3, 2, 2), torch.zeros(40, dtype=torch.int64), 2)
    begin = time.perf_counter()
    found = timing.seconds_each(job, data)
    assert time.perf_counter() - begin < 10
    assert not job.model._forward_pre_hooks
    return found


def test_a_slow_model_gives_a_lower_bound(monkeypatch):
    each, at_least = seconds(0, monkeypatch)
    assert at_least
    assert 0.1 <= each < 5


def test_the_first_images_are_the_measure_where_more_take_too_long(monkeypatch):
    asked = []

    def craft(job: Job, data: object, start: int, stop: int) -> None:
        asked.append(stop - start)
        time.sleep(0.05)
        if stop > 2:
            raise timing.TimeIsUpError

    monkeypatch.setattr(timing, "craft", craft)
    each, at_least = seconds(0, monkeypatch)
    assert asked == [2, 8]
    assert not at_least
    assert 0.025 <= each < 1

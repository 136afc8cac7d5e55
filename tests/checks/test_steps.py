"""The checks `random-step`, `margin-step` and `repeated-answers`: which images they count."""

from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import torch

from advcli.catalog import discovery
from advcli.checks.margin_step import margin_step
from advcli.checks.random_step import random_step
from advcli.checks.repeated_answers import repeated_answers
from advcli.search.goal import Goal


@dataclass
class Steps:
    """What the checks read of a probe: two classes; the margins before, after steps along two gradients, and after a random one."""

    before: list[float]
    along: list[float]
    at_random: list[float]
    attacked: torch.Tensor
    along_entropy: list[float] = field(default_factory=list)

    @property
    def job(self) -> SimpleNamespace:
        return SimpleNamespace(method=discovery.spec("attack", "pgd").bind({}))

    @property
    def goal(self) -> Goal:
        return Goal(torch.zeros(len(self.before), dtype=torch.int64))

    @property
    def logits(self) -> torch.Tensor:
        return with_margins(self.before)

    @property
    def after_steps(self) -> dict[str, torch.Tensor]:
        steps = {"margin": self.along, "random": self.at_random, "xent": self.along_entropy}
        return {name: with_margins(margins) for name, margins in steps.items()}


def with_margins(values: list[float]) -> torch.Tensor:
    margin = torch.tensor(values)
    return torch.stack([torch.zeros_like(margin), margin], 1)


def test_only_attacked_images_that_some_step_moves_count():
    steps = Steps(
        before=[-9.0] * 5,
        along=[-5.0, -5, -9, -9, -5],
        at_random=[-8.0, -4, -9, -8, -4],  # of the attacked: beaten, beats it, moved by neither, moved by the random one
        attacked=torch.tensor([True, True, True, True, False]),
    )
    found = random_step(steps)
    assert found.figure == 0.6667
    assert "at 2 of 3 images" in found.found


def test_only_attacked_images_that_break_along_one_of_the_two_gradients_count():
    count = 20
    attacked = torch.arange(count) < 12
    nowhere = [-1.0] * count
    steps = Steps(nowhere, along=[1.0] * count, at_random=nowhere, attacked=attacked, along_entropy=nowhere)
    found = margin_step(steps)
    assert (found.status, found.n) == ("FAIL", 12)
    assert "12 images break only along the margin, 0 only" in found.found
    assert margin_step(replace(steps, along=nowhere)).status == "PASS"


def test_the_largest_difference_of_a_repeated_answer_is_the_figure():
    answers = torch.ones(4, 3)
    other = answers.clone()
    other[2, 1] += 0.01
    found = repeated_answers(SimpleNamespace(again=[answers, answers.clone(), other]))
    assert (found.status, found.figure, found.n) == ("FAIL", 0.01, 8)
    assert found.found.startswith("1 of 8 outputs differ")

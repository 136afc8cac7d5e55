"""The check `random-step`: of which images it speaks."""

from dataclasses import dataclass

import torch

from advcli.checks.random_step import random_step
from advcli.search.goal import Goal


@dataclass
class Steps:
    """What the check reads of a probe: two classes; the margins before, after a step along the gradient, and after a random one."""

    before: list[float]
    along: list[float]
    at_random: list[float]
    attacked: torch.Tensor

    @property
    def goal(self) -> Goal:
        return Goal(torch.zeros(len(self.before), dtype=torch.int64))

    @property
    def logits(self) -> torch.Tensor:
        return with_margins(self.before)

    @property
    def after_steps(self) -> dict[str, torch.Tensor]:
        return {"margin": with_margins(self.along), "random": with_margins(self.at_random)}


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

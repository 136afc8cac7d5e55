"""The basic iterative method: how many steps it takes, and of what size."""

import torch

from advcli.attacks.bim import bim
from advcli.numerics.rng import SampleRNG
from advcli.search.goal import Goal
from advcli.search.victim import Tally, Victim
from conftest import Halfspace, near_the_plane


class Asked(Halfspace):
    """A half-space that keeps the images that it was asked about."""

    def __init__(self) -> None:
        super().__init__()
        self.images: list[torch.Tensor] = []

    def forward(self, x, draws=None):
        self.images.append(x.detach().clone())
        return super().forward(x)


def test_every_row_takes_the_number_of_steps_of_its_own_budget():
    """Kurakin's rule for 2, 8 and 32 grey levels in one batch: 3, 10 and 36 steps of one level, as far as the ball lets them."""
    model, x = Asked(), near_the_plane(3)
    goal, rows = Goal(model(x).argmax(1)), torch.arange(3)
    model.images.clear()
    levels = torch.tensor([2, 8, 32])
    bim(Victim(model, Tally(3), rows, None), x, goal, levels / 255, rng=SampleRNG(0, rows), early_stop=False)
    assert len(model.images) == 37
    moved = torch.stack([(image - x).abs().flatten(1).amax(1) * 255 for image in model.images])
    wanted = torch.minimum(torch.arange(37)[:, None], levels)
    torch.testing.assert_close(moved, wanted.float(), atol=1e-3, rtol=0)

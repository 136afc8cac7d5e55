"""Optimized CROWN: the lines below each activation chosen so that the bound is highest (arXiv:2011.13824).

Between the two lines below an activation every mixture s in [0, 1] bounds it too, another one for each row and neuron. The
bound is differentiable in all s, so that it climbs by Adam (arXiv:1412.6980); whatever s is found, its bound holds. The first
s are CROWN's, and the highest bound of the course is kept: it is never below CROWN's.
"""

import torch
from torch import Tensor

from advcli.bounds.crown import Backward
from advcli.bounds.rows import Rows

RATE = 0.25  # length of Adam's first steps
DECAY = 0.95  # of the steps, from one to the next
FIRST, SECOND, TINY = 0.9, 0.999, 1e-12  # Adam's


def optimized(back: Backward, rows: Rows, start: int, iterations: int) -> Tensor:
    """(M,) below every value of the rows on the ball, after so many steps; a row that is above 0 may stop."""
    shares, moments = dict[int, Tensor](), dict[int, tuple[Tensor, Tensor]]()
    with torch.enable_grad():
        best = value = back.lowest(rows, start, exact=True, shares=shares)
        best = best.detach()
        for count in range(1, iterations + 1):
            if not shares or bool((best > 0).all()):
                break
            slopes = torch.autograd.grad(value.sum(), list(shares.values()), allow_unused=True)
            for number, slope in zip(shares, slopes, strict=True):
                if slope is not None:
                    before = moments.get(number, (torch.zeros_like(slope), torch.zeros_like(slope)))
                    moments[number] = (
                        FIRST * before[0] + (1 - FIRST) * slope,
                        SECOND * before[1] + (1 - SECOND) * slope.square(),
                    )
                    shares[number] = _climbed(shares[number], *moments[number], count)
            value = back.lowest(rows, start, exact=True, shares=shares)
            best = torch.maximum(best, value.detach())
    return best


def _climbed(share: Tensor, first: Tensor, second: Tensor, count: int) -> Tensor:
    """One step of Adam, cut off at 0 and 1."""
    mean, size = first / (1 - FIRST**count), (second / (1 - SECOND**count)).sqrt()
    moved = share.detach() + RATE * DECAY ** (count - 1) * mean / (size + TINY)
    return moved.clamp(0, 1).requires_grad_()

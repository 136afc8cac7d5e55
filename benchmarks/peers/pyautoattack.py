"""pyautoattack: the authors' AutoAttack, as a package."""

from collections.abc import Callable

import pyautoattack
from torch import Tensor, nn

PACKAGE = "pyautoattack"
CHECKS = True  # it evaluates what each of its attacks found

Attack = Callable[[Tensor, Tensor], Tensor]


def autoattack(model: nn.Module, *, norm: str, eps: float) -> Attack:
    """Its version `standard`: apgd on cross-entropy, then apgd and fab towards nine classes, and square of 5000 queries."""
    both = pyautoattack.AutoAttack(model, norm={"linf": "Linf", "l2": "L2"}[norm], eps=eps, seed=0)
    both.verbose = False
    return lambda x, y: both.run_standard_evaluation(x, y, batch_size=len(x))[0]

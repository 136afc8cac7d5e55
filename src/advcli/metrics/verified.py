"""The share of images that are proved robust within a ball, by bounds on the network.

z_y(x') - z_k(x') > 0 for every class k and every x' in [0, 1] with |x' - x| <= eps, including float32 rounding. An image that
is not counted may be robust or not: together with the images that an attack broke, the true share is bounded on both sides.
For an attacked set, the balls are around its originals. Bounds: intervals (arXiv:1810.12715), CROWN (arXiv:1811.00866) for the
images that these do not prove and a few steps of an attack do not break, and CROWN with optimized slopes (arXiv:2011.13824)
where that is asked for.
"""

from dataclasses import replace
from typing import Annotated, Literal

import numpy as np

from advcli.catalog.params import Param
from advcli.catalog.registry import metric
from advcli.errors import AdvcliError
from advcli.evaluation.decisions import AttackedVerdicts, Figures, Proof, Verdicts
from advcli.numerics.arrays import Array
from advcli.numerics.balls import tolerance


@metric(of="any", needs=("bounds", "distance"))
def verified(
    verdicts: Verdicts,
    *,
    norm: Annotated[
        Literal["linf", "l2", "l1"] | None, Param("Norm of the ball. [default: that of the set, linf of clean images]")
    ] = None,
    bounds: Annotated[
        Literal["interval", "crown", "optimized"],
        Param("Method of the bounds: intervals; CROWN for the images that those leave open; CROWN with optimized slopes."),
    ] = "crown",
    iterations: Annotated[int, Param("Steps of optimized slopes.", low=1, high=10000)] = 20,
) -> Figures:
    known = verdicts.known()
    ball: str = norm or known.bounds.norm
    for budget in known.bounds.budgets(ball):
        proved = known.bounds.margins(budget, ball, bounds, iterations) > 0
        _refuse_broken(known, proved, ball, budget.value)
        figure = known.throughout("verified", proved)
        yield replace(
            figure,
            about={"epsilon": budget.value},
            certificate=Proof(ball, budget.text, bounds, iterations if bounds == "optimized" else 0),
        )


def _refuse_broken(known: Verdicts, proved: Array, norm: str, eps: float) -> None:
    """Stop if the model misclassifies a proved image: incorrect bounds are worse than none."""
    clean = known.clean if isinstance(known, AttackedVerdicts) else known.predictions
    broken = proved & (clean != known.labels)
    if isinstance(known, AttackedVerdicts) and norm in ("linf", "l2"):
        inside = (known.distance.linf if norm == "linf" else known.distance.l2) <= eps + tolerance(eps)
        broken |= proved & inside & (known.predictions != known.labels)
    if broken.any():
        first = int(np.argmax(broken))
        raise AdvcliError(f"{int(broken.sum())} images are proved and broken (the first is row {first}): the bounds are wrong")

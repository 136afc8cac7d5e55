"""Whether the loss changes along its gradient as the gradient predicts.

r = (f(x + h s) - f(x)) / (h g.s) for the margin f, its gradient g, s = sign(g) and a short step h: near 1 for a network of
layers that are differentiable or have a few kinks. If r is below 1/2 or above 2 at most images, the gradient is not that of
the function (Athalye et al. 2018: shattered gradients). A defense that declares a surrogate gradient is not checked.
"""

from advcli.catalog.registry import check
from advcli.files.check_results import Result, judged
from advcli.search.probe import Probe

SHARE = 1 / 30  # of the budget: long enough to rise above rounding, short enough for a tangent
NOISE = 1e-5  # of the largest logit: a smaller growth says nothing


@check(of="model", access=("gradient",), paper="arXiv:1802.00420")
def finite_differences(probe: Probe) -> Result | None:
    if probe.surrogate:
        return None
    length = probe.reach * SHARE
    grown, told = probe.slope(length)
    heard = probe.attacked & (told * length > NOISE * probe.logits.abs().amax(1))
    if not bool(heard.any()):
        return None
    ratio = grown[heard] / told[heard]
    wrong, count = int(((ratio < 0.5) | (ratio > 2) | ~ratio.isfinite()).sum()), len(ratio)
    return judged(
        wrong / count,
        count,
        warn=0.2,
        fail=0.5,
        found=f"at {wrong} of {count} images the loss does not change along its gradient as the gradient predicts",
        advice="the gradient is not that of the function; attack without it (--method square), or declare it as a surrogate: "
        '@defense(..., gradient="surrogate")',
    )

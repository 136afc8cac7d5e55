"""Whether one step along the margin breaks more images than one along the cross-entropy, by more than chance.

Of the images that only one of the two steps breaks, the share that only the margin's step breaks, b of b + c; by chance it is
1/2 (one-sided binomial test). If the cross-entropy breaks fewer, it is flat where the margin is not: the logits are saturated
(Carlini and Wagner 2017; Croce and Hein 2020, section 4).
"""

from math import comb

from advcli.catalog.registry import check
from advcli.files.check_results import Result, judged
from advcli.search.probe import Probe

CHANCE, SURE = 0.01, 0.001


@check(of="model", access=("gradient",), paper="arXiv:2003.01690")
def margin_step(probe: Probe) -> Result | None:
    if probe.job.method.parameters.get("objective", "xent") not in ("xent", "prob"):
        return None
    by_entropy, by_margin = (probe.attacked & (probe.goal.margin(probe.after_steps[name]) > 0) for name in ("xent", "margin"))
    b, c = int((by_margin & ~by_entropy).sum()), int((by_entropy & ~by_margin).sum())
    chance = sum(comb(b + c, k) for k in range(b, b + c + 1)) / 2 ** (b + c)
    return judged(
        1 - chance,
        int(probe.attacked.sum()),
        warn=1 - CHANCE,
        fail=1 - SURE,
        found=f"{b} images break only along the margin, {c} only along the cross-entropy",
        advice="the cross-entropy misses what the margin finds; attack with --objective margin or dlr",
    )

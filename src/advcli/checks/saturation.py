"""Whether the model gives probabilities, or logits so far apart that the cross-entropy has hardly any gradient.

The median gap between the two largest logits. From about 30 on, the gradient of the cross-entropy rounds to little or
nothing, as after defensive distillation (Carlini and Wagner 2017, arXiv:1607.04311); the search then divides the logits by a
constant, which changes no decision. So it does with a gap below 1, where the cross-entropy hardly looks for a rival. Outputs
that are never negative and sum to 1 are taken for probabilities, and the cross-entropy takes their softmax once more; their
figure is the number of nines of the largest one.
"""

import math

from advcli.catalog.registry import check
from advcli.files.check_results import Result, judged
from advcli.search.probe import FAR, Probe

ROUNDED = 6.0  # nines of a probability


@check(of="model", access=("gradient",), paper="arXiv:1607.04311")
def saturation(probe: Probe) -> Result:
    scores = probe.logits[:, :-1] if probe.job.rejects else probe.logits
    if bool((scores >= 0).all()) and bool(((scores.sum(1) - 1).abs() < 1e-3).all()):
        rest = 1 - scores.amax(1).median()
        return judged(
            -math.log10(max(float(rest), 1e-9)),
            len(scores),
            warn=-1.0,
            fail=ROUNDED,
            found=f"the model gives probabilities instead of logits, the largest {float(rest):.1g} below 1 (median)",
            advice="return the logits, without softmax: objectives expect them; a probability rounded to 0 or 1 has no gradient",
        )
    scaled = f", and are divided by {probe.job.scale:g} where a softmax is taken" if probe.job.scale != 1 else ""
    return judged(
        probe.gap,
        len(scores),
        warn=FAR,
        found=f"the two largest logits lie {probe.gap:.3g} apart (median){scaled}",
        advice="their softmax is 0 and 1, so the cross-entropy has no gradient; see whether --objective margin or dlr finds more",
    )

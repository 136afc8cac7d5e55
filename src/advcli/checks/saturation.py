"""Whether the model gives probabilities, or logits so far apart that the cross-entropy has hardly any gradient.

The median gap between the two largest logits. From about 30 on the gradient of the cross-entropy rounds to little or
nothing, as after defensive distillation (Carlini and Wagner 2017, arXiv:1607.04311); the search then divides the logits by a
constant, which changes no decision. Answers that are never negative and sum to 1 are probabilities, of which a cross-entropy
takes a softmax once more; their figure is how many nines the largest has.
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
            found=f"the model answers with probabilities in place of logits, the largest {float(rest):.1g} below 1 (median)",
            advice="give the logits, without the softmax: objectives are made for them; what rounds to 0 or 1 has no gradient",
        )
    scaled = f", and are divided by {probe.job.scale:g} where a softmax is taken" if probe.job.scale != 1 else ""
    return judged(
        probe.gap,
        len(scores),
        warn=FAR,
        found=f"the two largest logits lie {probe.gap:.3g} apart (median){scaled}",
        advice="a softmax of them is 0 and 1, which hides the gradient of a cross-entropy; see whether --objective margin or dlr "
        "finds more",
    )

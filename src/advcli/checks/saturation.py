"""Whether the model answers with probabilities, or with logits so far apart that the cross-entropy no longer sees them.

The median gap between the two largest logits. Beyond about 17 the probability of the first class rounds to 1 in single
precision and half of the cross-entropy's gradient is lost; beyond about 104 all of it is (Carlini and Wagner 2017 on
defensive distillation, arXiv:1607.04311). Answers that are never negative and sum to 1 are probabilities: a cross-entropy
takes a softmax of them once more.
"""

from advcli.extend import Probe, Result, check, judged

FAR, LOST = 30.0, 104.0


@check(of="model", access=("gradient",), paper="arXiv:1607.04311")
def saturation(probe: Probe) -> Result:
    scores = probe.logits[:, :-1] if probe.job.rejects else probe.logits
    top = scores.topk(2, 1).values
    gap = float((top[:, 0] - top[:, 1]).median())
    shares = bool((scores >= 0).all()) and bool(((scores.sum(1) - 1).abs() < 1e-3).all())
    if shares:
        advice = "give the logits, without the softmax: the objectives are made for them"
        return Result("WARN", 1.0, 0.0, len(scores), "the model answers with probabilities in place of logits", advice)
    advice = "a softmax of them is 0 and 1, and the cross-entropy flat; attack with a loss that no scale changes: "
    advice += "--objective margin or dlr"
    found = f"the two largest logits lie {gap:.3g} apart (median)"
    return judged(gap, len(scores), warn=FAR, fail=LOST, found=found, advice=advice)

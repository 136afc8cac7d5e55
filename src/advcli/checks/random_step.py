"""Whether a step along the gradient does more than a step in random directions.

The share of images whose margin is at least as large after one random step as after one along the margin's gradient, both
of the budget's length (at most the default one), among those that either step moves. For a useful gradient it is near zero:
random search must not beat gradients (Carlini et al. 2019, section 4.10; Tramer et al. 2020, arXiv:2002.08347).
"""

from advcli.catalog.registry import check
from advcli.files.check_results import Result, judged
from advcli.search.probe import Probe


@check(of="model", access=("gradient",), paper="arXiv:1902.06705")
def random_step(probe: Probe) -> Result | None:
    climbed = probe.goal.loss("margin")
    before, along, at_random = map(climbed, (probe.logits, probe.after_steps["margin"], probe.after_steps["random"]))
    moved = probe.attacked & ((along != before) | (at_random != before))
    count, beaten = int(moved.sum()), int((moved & (at_random >= along)).sum())
    if not count:
        return None
    return judged(
        beaten / count,
        count,
        warn=0.25,
        fail=0.5,
        found=f"at {beaten} of {count} images a step in random signs does as much as one along the gradient",
        advice="the gradient tells little about the function; compare with attacks without it: --method square or hopskipjump",
    )

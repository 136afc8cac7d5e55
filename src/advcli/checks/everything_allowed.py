"""Whether images survive a linf budget of 1, within which every image can become any other.

The share of initially correct images that an iterated gradient attack does not break under a budget of 1 or more. It must be
zero: an attack that fails there fails everywhere (Athalye et al. 2018, section 3.1; Carlini et al. 2019, section 4.8).
"""

from advcli.catalog.registry import check
from advcli.evaluation.worst_case import Standing
from advcli.files.check_results import Result, judged
from advcli.numerics.quantities import fraction


@check(of="set", paper="arXiv:1802.00420")
def everything_allowed(sets: list[Standing]) -> Result | None:
    untargeted = [one for one in sets if one.iterated and one.threat.norm == "linf" and not one.threat.target]
    free = [one for one in untargeted if one.budget and fraction(one.budget) >= 1]
    count = sum(int(one.start.sum()) for one in free)
    if not count:
        return None
    left = sum(int((one.start & ~one.broken).sum()) for one in free)
    return judged(
        left / count,
        count,
        warn=0.02,
        fail=0.1,
        found=f"{left} of {count} images survive although every change is allowed",
        advice="the attack fails; this is no evidence of robustness; attack without gradients: --method square or hopskipjump",
    )

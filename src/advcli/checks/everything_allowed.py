"""Whether images survive a budget within which every image can become any other.

The share of initially correct images that an iterated gradient attack does not break within the diameter of all images: 1 in
linf, the root of the number of pixels in l2, their number in l1 (or 99 % of it). It must be zero: an attack that fails there
fails everywhere (Athalye et al. 2018, section 3.1; Carlini et al. 2019, section 4.8).
"""

from advcli.catalog.registry import check
from advcli.evaluation.worst_case import Standing
from advcli.files.check_results import Result, judged
from advcli.numerics.quantities import diameter, fraction

ALL = 0.99  # of the diameter: a square root has no end


@check(of="set", paper="arXiv:1802.00420")
def everything_allowed(sets: list[Standing]) -> Result | None:
    untargeted = [one for one in sets if one.iterated and one.budget and not one.threat.target]
    free = [one for one in untargeted if fraction(one.budget or "0") >= ALL * diameter(one.threat.norm or "", one.size)]
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

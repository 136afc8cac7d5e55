"""Whether an image that is broken at one budget survives a larger budget of the same attack.

The share of the images broken under some budget of an iterated gradient attack that survive the next larger budget. The
larger ball contains the smaller one, so a search that loses successes there has a problem with its loss (Carlini et al. 2019,
section 4.9).
"""

from itertools import pairwise

import numpy as np

from advcli.catalog.registry import check
from advcli.evaluation.worst_case import Standing
from advcli.files.check_results import Result, judged
from advcli.numerics.quantities import fraction


@check(of="set", paper="arXiv:1902.06705")
def larger_budgets(sets: list[Standing]) -> Result | None:
    found = sorted((one for one in sets if one.iterated and one.budget), key=lambda one: fraction(one.budget or "0"))
    pairs = list(pairwise(found))
    broken = sum(int(small.broken.sum()) for small, _ in pairs)
    if not broken:
        return None
    lost = sum(int((small.broken & np.isin(small.images, large.images[~large.broken])).sum()) for small, large in pairs)
    return judged(
        lost / broken,
        broken,
        warn=0.02,
        fail=0.2,
        found=f"{lost} of {broken} images that are broken at one budget survive the next larger one",
        advice="the search loses successes; use more steps or restarts, or a loss without scale: --objective margin",
    )

"""Whether one gradient step breaks images that many steps do not break.

The share b / n of images that a one-step attack breaks and no iterated one does; FAIL where it breaks more than they do, by
McNemar's exact test. Many steps can take the one step: where they do less, the gradient leads astray (Athalye et al. 2018,
section 3.1; Carlini et al. 2019, section 4.10).
"""

from advcli.catalog.registry import check
from advcli.evaluation.worst_case import Standing, apart
from advcli.files.check_results import Result, judged

SOME = 0.02


@check(of="sets", paper="arXiv:1802.00420")
def one_step(sets: list[Standing]) -> Result | None:
    many, single = [one for one in sets if one.iterated], [one for one in sets if one.by_gradient and not one.iterated]
    if not many or not single:
        return None
    compared = apart(single, many)
    return judged(
        compared.share,
        compared.n,
        warn=SOME,
        fail=0.0 if compared.first_breaks_more else 1.0,
        found=f"one step alone breaks {compared.b} of {compared.n} images, many steps alone break {compared.c}",
        advice="many steps can do what one does, so the gradient leads astray; more steps and restarts, or none: --method square",
    )

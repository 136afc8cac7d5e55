"""Whether one gradient step breaks images that many steps do not break.

The share b / n of images that a one-step attack breaks and no iterated one does; FAIL if it breaks more images than they do, by
McNemar's exact test. Many steps can reach what one step reaches: if they do not, the gradient misleads (Athalye et al. 2018,
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
        found=f"{compared.b} of {compared.n} images break only in one step, {compared.c} only in many steps",
        advice="many steps should break what one breaks, so the gradient misleads; use more steps, restarts, or --method square",
    )

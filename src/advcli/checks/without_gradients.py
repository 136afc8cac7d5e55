"""Whether noise, transfer or a black box breaks images that gradient attacks do not break.

The share b / n of images that only an attack without this model's gradient breaks; FAIL if such attacks break more than the
iterated ones with it, by McNemar's exact test. An attacker with the gradient can do all that the others can (Athalye et al.
2018, section 3.1; Croce and Hein 2020; "transfer failure" of Pintor et al. 2022, arXiv:2106.09947).
"""

from advcli.catalog.registry import check
from advcli.evaluation.worst_case import Standing, apart
from advcli.files.check_results import Result, judged

SOME = 0.02


@check(of="sets", paper="arXiv:2106.09947")
def without_gradients(sets: list[Standing]) -> Result | None:
    along, others = [one for one in sets if one.iterated], [one for one in sets if not one.by_gradient]
    if not along or not others:
        return None
    compared = apart(others, along)
    names = ", ".join(dict.fromkeys(str(one.threat.attack) for one in others))
    return judged(
        compared.share,
        compared.n,
        warn=SOME,
        fail=0.0 if compared.first_breaks_more else 1.0,
        found=f"{compared.b} of {compared.n} images break only without the gradient ({names}), {compared.c} only with it",
        advice="gradient attacks miss what others find; report the worst case over all sets",
    )

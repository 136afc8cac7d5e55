"""Whether noise, transfer or a black box breaks images that attacks along the gradient leave standing.

The share b / n of images that only an attack without this model's gradient breaks; FAIL where such attacks break more than the
iterated ones along it, by McNemar's exact test. Who sees the gradient can do all that the others do (Athalye et al. 2018,
section 3.1; Croce and Hein 2020; "transfer failure" of Pintor et al. 2022, arXiv:2106.09947).
"""

from advcli.catalog.registry import check
from advcli.evaluation.worst_case import Standing, apart
from advcli.files.check_results import Result, judged
from advcli.numerics.paired_tests import mcnemar

SOME, CHANCE = 0.02, 0.05


@check(of="sets", paper="arXiv:2106.09947")
def without_gradients(sets: list[Standing]) -> Result | None:
    along, others = [one for one in sets if one.iterated], [one for one in sets if not one.by_gradient]
    if not along or not others:
        return None
    n, b, c = apart(others, along)
    more = b > c and mcnemar(b, c) < CHANCE
    names = ", ".join(dict.fromkeys(str(one.threat.attack) for one in others))
    return judged(
        b / n if n else 0.0,
        n,
        warn=SOME,
        fail=0.0 if more else 1.0,
        found=f"without this model's gradient ({names}) {b} of {n} images break that stand along it, the other way round {c}",
        advice="the gradient hides what others find; the worst case over all sets is the figure to report",
    )

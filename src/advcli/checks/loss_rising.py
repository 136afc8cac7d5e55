"""Whether the loss of images that stand still rises at the last steps of an iterated attack.

The share of the standing images whose margin grew in the last fifth of the steps at more than half the speed of all steps.
Such a search was ended before it came to rest ("incomplete optimization" of Pintor et al. 2022, arXiv:2106.09947).
"""

from advcli.catalog.registry import check
from advcli.files.check_results import Result, judged
from advcli.search.observer import Search

MOST = 0.5


@check(of="search", access=("gradient",), paper="arXiv:2106.09947")
def loss_rising(search: Search) -> Result | None:
    if search.method.spec.traits.kind != "budget":
        return None
    return judged(
        search.rising / search.stands,
        search.stands,
        warn=MOST,
        found=f"at {search.rising} of {search.stands} images that stand the loss still rises at the last steps",
        advice="the search ended too early; give it more --steps, or a larger --step-size",
    )

"""Whether images that were adversarial at some step of the search stand in the end.

The share of the standing images for which the search saw a point within the budget that reaches the goal. An attack that keeps
its best point has none. If there are any, the attack loses them, or the model answers differently the next time ("silent
success" of Pintor et al. 2022, arXiv:2106.09947).
"""

from advcli.catalog.registry import check
from advcli.files.check_results import Result, judged
from advcli.search.observer import Search


@check(of="search", paper="arXiv:2106.09947")
def on_the_way(search: Search) -> Result:
    return judged(
        search.on_the_way / search.stands,
        search.stands,
        warn=0.0,
        fail=0.1,
        found=f"{search.on_the_way} of {search.stands} images that stand were adversarial at some step of the search",
        advice="the attack does not keep its best point (advcli.extend has Best), or the model answers differently at each call",
    )

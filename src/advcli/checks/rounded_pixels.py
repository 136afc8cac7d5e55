"""Whether successes survive rounding to 8-bit pixels, as an image file stores them.

The share of the broken rows (a sample of them, spread over the set) that are correct again with every pixel at the nearest
k / 255. If it is large, the attack depends on changes below one grey level: valid for a model that gets such numbers, but not
for one that reads image files. The points of a minimal-norm attack are so near to the boundary that rounding always undoes
many: of such a set the share is told and nothing is concluded from it.
"""

from advcli.catalog.registry import check
from advcli.evaluation.worst_case import Standing
from advcli.files.check_results import Result, judged

MANY = 0.25


@check(of="set")
def rounded_pixels(sets: list[Standing]) -> Result | None:
    found = [one.rounded for one in sets if one.rounded]
    undone, count = sum(one for one, _ in found), sum(count for _, count in found)
    if not count:
        return None
    return judged(
        undone / count,
        count,
        warn=1.0 if all(one.closest for one in sets if one.rounded) else MANY,
        found=f"{undone} of {count} successes are lost with 8-bit pixels",
        advice="see the figure with 8-bit pixels (advcli evaluate --pixels 8-bit), or attack with --quantize",
    )

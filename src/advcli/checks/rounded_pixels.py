"""Whether successes survive rounding to 8-bit pixels, as an image file stores them.

The share of the broken rows (some of them, spread over the set) that are right again once every pixel is at the nearest k / 255.
Where it is large, the attack lives on less than a grey level: right for a model that is given such numbers, and not for one that
reads images.
"""

from advcli.catalog.registry import check
from advcli.evaluation.worst_case import Standing
from advcli.files.check_results import Result, judged


@check(of="set")
def rounded_pixels(sets: list[Standing]) -> Result | None:
    found = [one.rounded for one in sets if one.rounded]
    undone, count = sum(one for one, _ in found), sum(count for _, count in found)
    if not count:
        return None
    return judged(
        undone / count,
        count,
        warn=0.25,
        found=f"{undone} of {count} successes are none with 8-bit pixels",
        advice="see the figure of images: advcli evaluate --pixels 8-bit, or attack with --quantize",
    )

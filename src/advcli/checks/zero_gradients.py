"""The share of the attacked images whose gradient is zero or not finite, so that no gradient step changes them.

The share of images whose cross-entropy gradient to the image is exactly zero, or holds NaN or infinity (the first sign of
masking of Athalye et al. 2018; Carlini et al. 2019, section 4.10; the indicator "unavailable gradients" of Pintor et al.
2022, arXiv:2106.09947). Steps along such a gradient do nothing, so an image that survives is no evidence of robustness.
"""

from torch import isfinite

from advcli.catalog.registry import check
from advcli.files.check_results import Result, judged
from advcli.search.probe import Probe


@check(of="model", access=("gradient",), paper="arXiv:1902.06705")
def zero_gradients(probe: Probe) -> Result | None:
    slopes = probe.gradients["xent"][probe.attacked].flatten(1)
    if not len(slopes):
        return None
    broken = ~isfinite(slopes).all(1)
    flat = (slopes == 0).all(1)
    count = int((flat | broken).sum())
    words = f"{int(flat.sum())} zero" + (f", {int(broken.sum())} not finite" if bool(broken.any()) else "")
    return judged(
        count / len(slopes),
        len(slopes),
        warn=0.05,
        fail=0.25,
        found=f"{count} of {len(slopes)} gradients are unusable ({words})",
        advice="these images were hardly attacked; attack without gradients: --method square, hopskipjump or substitute",
    )

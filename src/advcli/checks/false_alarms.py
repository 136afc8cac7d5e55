"""Whether a model that can reject rejects clean images: these are left out of the attack.

The share of images that the model rejects before the attack. With a wrong threshold it rejects most of them, and the success
of an attack is then measured on the few others (Tramer et al. 2020 on detectors).
"""

from advcli.catalog.registry import check
from advcli.files.check_results import Result, judged
from advcli.search.probe import Probe


@check(of="model", access=("gradient", "scores", "labels"), paper="arXiv:2002.08347")
def false_alarms(probe: Probe) -> Result | None:
    if not probe.job.rejects:
        return None
    refused, count = int((probe.decided < 0).sum()), len(probe.decided)
    return judged(
        refused / count,
        count,
        warn=0.25,
        fail=0.5,
        found=f"{refused} of {count} images are rejected before they are attacked",
        advice="set the detector's threshold again on images of this kind (advcli defend); few images remain for the figures",
    )

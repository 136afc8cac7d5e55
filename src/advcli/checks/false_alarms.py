"""Whether a model that can reject rejects images before they are attacked: those are left out of the attack.

The share of the images whose decision is a rejection before anybody has attacked them. A threshold that was set wrong refuses
most of them: the success of an attack is then counted on the few others (Tramer et al. 2020 on detectors).
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
        advice="set the detector's threshold anew on images of this kind (advcli defend); figures of accepted images say little",
    )

"""Models that can reject: the share of images that are accepted, the accuracy on those, and the share that slips through.

coverage = accepted / n, accuracy-accepted = right / accepted, undetected = wrong and accepted / n. On clean images
1 - coverage is the rate of false alarms; on adversarial images `undetected` is what is left of the attack.
"""

from advcli.catalog.registry import metric
from advcli.evaluation.decisions import Figures, Verdicts


@metric(of="any", needs=("score",), default=True)
def coverage(verdicts: Verdicts) -> Figures:
    known = verdicts.known()
    accepted, right = known.predictions >= 0, known.predictions == known.labels
    yield known.share("coverage", accepted)
    yield known.share("accuracy-accepted", right, accepted)
    yield known.share("undetected", accepted & ~right)

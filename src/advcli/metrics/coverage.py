"""Models that can reject: the share of images that are accepted, the accuracy on those, and the share that slips through.

coverage = accepted / n, accuracy-accepted = right / accepted, undetected = wrong and accepted / n. On clean images
1 - coverage is the rate of false alarms; on adversarial images `undetected` is what is left of the attack.
"""

from advcli.catalog.registry import metric
from advcli.evaluation.decisions import Figures, Verdicts, rate


@metric(of="any", needs=("score",), default=True)
def coverage(verdicts: Verdicts) -> Figures:
    known = verdicts.known()
    accepted, right = known.predictions >= 0, known.predictions == known.labels
    count = int(accepted.sum())
    yield rate("coverage", count, len(accepted))
    yield rate("accuracy-accepted", int(right.sum()), count)
    yield rate("undetected", int((accepted & ~right).sum()), len(accepted))

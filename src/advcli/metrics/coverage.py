"""For models that can reject: the share of accepted images, the accuracy on these, and the share of undetected errors.

coverage = accepted / n, accuracy-accepted = correct / accepted, undetected = wrong and accepted / n. On clean images
1 - coverage is the false-positive rate; on adversarial images `undetected` is the success that the attack still has.
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

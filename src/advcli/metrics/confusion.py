"""How often each class was taken for each other: the confusion matrix, as shares of the class."""

from advcli.registry import metric
from advcli.verdicts import Figures, Verdicts, rate


@metric(of="any")
def confusion(verdicts: Verdicts) -> Figures:
    known = verdicts.known()
    for number, name in enumerate(verdicts.classes):
        rows = known.predictions[known.labels == number]
        for other in range(-1 if (rows < 0).any() else 0, len(verdicts.classes)):
            said = verdicts.classes[other] if other >= 0 else "rejected"
            yield rate("confusion", int((rows == other).sum()), len(rows), label=name, prediction=said)

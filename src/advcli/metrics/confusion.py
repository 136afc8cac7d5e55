"""The confusion matrix: how often images of each class are classified as each other class, as shares of the class."""

from advcli.catalog.registry import metric
from advcli.evaluation.decisions import Figures, Verdicts


@metric(of="any")
def confusion(verdicts: Verdicts) -> Figures:
    known, first = verdicts.known(), 0 if verdicts.said.score is None else -1
    for number, name in enumerate(verdicts.classes):
        for other in range(first, len(verdicts.classes)):
            said = verdicts.classes[other] if other >= 0 else "rejected"
            yield known.share("confusion", known.predictions == other, known.labels == number, label=name, prediction=said)

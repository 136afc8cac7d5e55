"""The share of images that the model has right, over the whole slice; images that were wrong from the start count."""

from advcli.catalog.registry import metric
from advcli.evaluation.decisions import Figures, Verdicts, rate


@metric(of="any", default=True)
def accuracy(verdicts: Verdicts) -> Figures:
    known = verdicts.known()
    yield rate("accuracy", int((known.predictions == known.labels).sum()), len(known.labels))

"""The share of images that the model has right, over the whole slice; images that were wrong from the start count.

An image that was attacked several times (`--target all`) is right where the model has it right every time.
"""

from advcli.catalog.registry import metric
from advcli.evaluation.decisions import Figures, Verdicts


@metric(of="any", default=True)
def accuracy(verdicts: Verdicts) -> Figures:
    known = verdicts.known()
    yield known.throughout("accuracy", known.predictions == known.labels)

"""The share of all images that the model classifies correctly, including those that it misclassified before the attack.

An image that was attacked several times (`--target all`) is correct if the model is correct in every row.
"""

from advcli.catalog.registry import metric
from advcli.evaluation.decisions import Figures, Verdicts


@metric(of="any", default=True)
def accuracy(verdicts: Verdicts) -> Figures:
    known = verdicts.known()
    yield known.throughout("accuracy", known.predictions == known.labels)

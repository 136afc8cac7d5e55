"""Transfer of adversarial images between models: the matrix of source sets and target models.

The share of images that the model classifies correctly when clean, and misclassifies (and accepts) here, whatever the target
of the attack. `linf` and `l2` are the mean distances of the source: they differ by source.
"""

from advcli.catalog.registry import metric
from advcli.evaluation.decisions import AttackedVerdicts, Figures


@metric(of="adversarial", needs=("distance",))
def transfer(verdicts: AttackedVerdicts) -> Figures:
    known = verdicts.known()
    right = known.clean == known.labels
    wrong = (known.predictions != known.labels) & (known.predictions >= 0)
    went = {name: float(size[known.attacked].mean()) if known.attacked.any() else 0.0
            for name, size in (("linf", known.distance.linf), ("l2", known.distance.l2))}  # fmt: skip
    yield known.share("transfer", wrong, right, **went)

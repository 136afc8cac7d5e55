"""How far the images made against one model mislead another: the matrix of sources and targets.

The share of images that the model has right as long as they are clean, and wrong (and accepted) as they are here,
whatever class the attack was after. `linf` and `l2` are the mean distances that the source went: they differ by source.
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

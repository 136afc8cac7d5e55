"""Which rows an attack broke, of those that it could break: what counts as a success, wherever it is counted."""

from advcli.evaluation.decisions import AttackedVerdicts
from advcli.numerics.arrays import Array


def turned(known: AttackedVerdicts) -> tuple[Array, Array]:
    """(which rows the attack broke, which it could break), of rows that have a label."""
    right = (known.clean == known.labels) & (known.targets != known.labels)
    wrong = (known.predictions != known.labels) & (known.predictions >= 0)
    won = right & ((known.targets < 0) & wrong | (known.targets >= 0) & (known.predictions == known.targets))
    return won, right

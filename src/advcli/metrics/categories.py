"""Kinds of adversarial outcomes: true, refocused, conatural and benign (Billovits, Eric and Agarwala).

Each row has one kind, and the first that fits: benign, if the original was wrong and the attacked image is right with a
confidence of at least tau; refocused, if the attack broke it, the new class was among the k best of the original and the label
is still among the k best; conatural, if the new class is alike to the label (--superclass); true, if the attack broke it
otherwise. Other rows are unchanged (right before and after), wrong-to-wrong, wrong-to-right (below tau) or rejected. Without
groups of classes no row is conatural.
`alike` is the share of the broken rows whose new class is alike to the label, whether it was refocused or not; by_chance is that
share for a wrong class drawn at random.
"""

from typing import Annotated, Any

import numpy as np

from advcli.catalog.params import Param
from advcli.catalog.registry import metric
from advcli.evaluation.decisions import AttackedVerdicts, Figures
from advcli.evaluation.superclasses import alike
from advcli.numerics.arrays import Array

KINDS = ("true", "refocused", "conatural", "benign", "unchanged", "wrong-to-wrong", "wrong-to-right", "rejected")


@metric(of="adversarial", needs=("rank",))
def categories(
    verdicts: AttackedVerdicts,
    *,
    tau: Annotated[float, Param("Confidence of a benign row, at least.", low=0, high=1)] = 0.5,
    refocused: Annotated[
        int | None, Param("Classes that count as seen in an image. [default: 5 of 100 or more, 3 of 10, 2 of 3, 1 of 2]", low=1)
    ] = None,
    superclass: Annotated[
        str | None,
        Param("Groups of classes: cifar10, imagenette, a JSON file {GROUP: [CLASS, ...]}, or the JSON of evaluate --metric "
              "confusion on clean images. [default: by the names of the classes, if they are known]", form="NAME|FILE"),
    ] = None,
) -> Figures:  # fmt: skip
    known = verdicts.known()
    k = refocused or usual(len(known.classes))
    where, near = alike(known.classes, superclass)
    same = np.zeros(len(known.labels), bool) if near is None else near[known.labels, known.said.answers]
    kind = kinds(known, tau, k, same)
    under: dict[str, Any] = {"tau": tau, "refocused": k, "superclass": where}
    possible = {"conatural": near is not None, "rejected": known.said.score is not None}
    for name in KINDS:
        if possible.get(name, True):
            yield known.share("category", kind == KINDS.index(name), category=name, **under)
    if near is not None:
        broken = kind <= KINDS.index("conatural")
        chance = (near.sum(1) - 1)[known.labels[broken]] / (len(near) - 1)
        by_chance = float(chance.mean()) if len(chance) else 0.0
        yield known.share("alike", same, broken, by_chance=by_chance, superclass=where)


def kinds(known: AttackedVerdicts, tau: float, k: int, same: Array) -> Array:
    """The number of every row's kind; `same` says whether its answer is alike to its label."""
    before, after = known.clean == known.labels, known.predictions == known.labels
    broken = before & ~after
    seen = (known.rank_before < k) & (known.said.rank < k)
    sure = known.said.confidence.astype(np.float64) >= tau
    found: Array = np.select(
        [known.predictions < 0, ~before & after & sure, broken & seen, broken & same, broken, before, ~after],
        [KINDS.index(one) for one in ("rejected", "benign", "refocused", "conatural", "true", "unchanged", "wrong-to-wrong")],
        KINDS.index("wrong-to-right"),
    )
    return found


def usual(classes: int) -> int:
    """The number of classes that count as seen in an image: few of few, so that not everything counts."""
    return 5 if classes >= 100 else 3 if classes >= 10 else 2 if classes > 2 else 1

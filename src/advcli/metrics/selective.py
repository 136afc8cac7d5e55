"""The accuracy on the most confident images: the accuracy of a model that rejects the rest.

Confidence is the largest logit, or the probability of the predicted class. The threshold is the confidence of the image at
that fraction of the ranking; images that tie with it are kept too. Images that the model rejects are never kept.
"""

from fractions import Fraction
from typing import Annotated, Literal

import numpy as np

from advcli.catalog.params import Param
from advcli.catalog.registry import metric
from advcli.errors import CommandError
from advcli.evaluation.decisions import Figures, Verdicts, needed, rate
from advcli.numerics.quantities import fraction


@metric(of="any")
def selective(
    verdicts: Verdicts,
    *,
    coverage: Annotated[str, Param("Coverages, as fractions of the images.", form="X,...")] = "0.8,1",
    confidence: Annotated[
        Literal["logit", "probability"], Param("Rank images by the largest logit, or by its probability.")
    ] = "logit",
) -> Figures:
    known = _worst_rows(verdicts.known())
    said = needed(known.said.logit, "logit") if confidence == "logit" else known.said.confidence
    sure = np.where(known.predictions >= 0, said, -np.inf)
    ranked = np.sort(sure)[::-1]
    for text in coverage.split(","):
        share = _share(text)
        bar = ranked[max(1, int(share * len(ranked))) - 1] if len(ranked) else 0.0
        kept = known[(sure >= bar) & np.isfinite(sure)]
        yield rate(f"accuracy@{float(100 * share):g}%", int((kept.predictions == kept.labels).sum()), len(kept.labels))


def _worst_rows(known: Verdicts) -> Verdicts:
    """One row for every image: the most confident wrong row, if there is one; else the least confident row."""
    if known.image is None or known.images == len(known.labels):
        return known
    right = known.predictions == known.labels
    sure = np.where(known.predictions >= 0, known.said.confidence, 0.0)
    order = np.lexsort((np.where(right, sure, -sure), right, known.image))
    first = np.unique(known.image[order], return_index=True)[1]
    return known[order[first]]


def _share(text: str) -> Fraction:
    try:
        share = fraction(text)
    except ValueError as error:
        raise CommandError(f"--coverage: {error}") from None
    if not 0 < share <= 1:
        raise CommandError(f"--coverage {text}: a share lies above 0 and up to 1")
    return share

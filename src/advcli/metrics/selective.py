"""The accuracy on the most confident images: what a model would keep if it could refuse the rest.

The bar is the confidence of the image at that share of the ranking; images that tie with it are kept too. An image that
the model rejects is not among them.
"""

from fractions import Fraction
from typing import Annotated

import numpy as np

from advcli.catalog.params import Param
from advcli.catalog.registry import metric
from advcli.errors import CommandError
from advcli.evaluation.decisions import Figures, Verdicts, rate
from advcli.numerics.quantities import fraction


@metric(of="any")
def selective(verdicts: Verdicts, *, coverage: Annotated[str, Param("Which shares.", form="X,...")] = "0.8,1") -> Figures:
    known = verdicts.known()
    sure = np.where(known.predictions >= 0, known.said.confidence, -np.inf)
    ranked = np.sort(sure)[::-1]
    for text in coverage.split(","):
        share = _share(text)
        bar = ranked[max(1, int(share * len(ranked))) - 1] if len(ranked) else 0.0
        kept = known[(sure >= bar) & np.isfinite(sure)]
        yield rate(f"accuracy@{float(100 * share):g}%", int((kept.predictions == kept.labels).sum()), len(kept.labels))


def _share(text: str) -> Fraction:
    try:
        share = fraction(text)
    except ValueError as error:
        raise CommandError(f"--coverage: {error}") from None
    if not 0 < share <= 1:
        raise CommandError(f"--coverage {text}: a share lies above 0 and up to 1")
    return share

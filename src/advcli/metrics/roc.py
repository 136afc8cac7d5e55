"""ROC analysis of a detector: area under the curve for adversarial against clean images, and two points of the curve.

Positives are the attacked images, once all of them and once those that fool the classifier behind the detector; negatives
are the clean originals. AUC = P(s+ > s-) + P(s+ = s-) / 2 (Mann and Whitney, 1947), with Newcombe's interval, method 5
(doi:10.1002/sim.2324). tpr@1% is the largest share of positives above a threshold that at most 1 % of the negatives exceed;
its interval takes that threshold as given.
"""

from math import sqrt

import numpy as np
from scipy.special import ndtri

from advcli.catalog.registry import metric
from advcli.evaluation.decisions import AttackedVerdicts, Figure, Figures
from advcli.numerics.arrays import Array
from advcli.numerics.intervals import CONFIDENCE, edge

FALSE_ALARMS = {"tpr@1%": 100, "tpr@5%": 20}  # one in so many


@metric(of="adversarial", needs=("score",))
def roc(verdicts: AttackedVerdicts) -> Figures:
    known = verdicts.known()
    before, said, attacked = known.before, known.said, known.attacked
    _, first = np.unique(known.original, return_index=True)
    clean = np.sort(before.beyond[first])
    reached = np.where(known.targets < 0, said.answers != known.labels, said.answers == known.targets)
    for name, rows in {"successful": attacked & reached & (before.answers == known.labels), "all": attacked}.items():
        found, kept = said.beyond[rows], known[rows]
        yield _area(found, clean, kept.images, name)
        for metric_, one_in in FALSE_ALARMS.items():
            bar = clean[len(clean) - 1 - len(clean) // one_in] if len(clean) else np.inf
            yield kept.share(metric_, found > bar, positives=name, negatives=len(clean))


def _area(positive: Array, negative: Array, images: int, name: str) -> Figure:
    """The area under the curve; `negative` is sorted, and the positives belong to `images` images."""
    m, n, about = len(positive), len(negative), {"positives": name, "negatives": len(negative)}
    if not m or not n:
        return Figure("auc", 0.0, m, None, 0.0, 1.0, {**about, "undefined": True})
    below, upto = np.searchsorted(negative, positive, "left"), np.searchsorted(negative, positive, "right")
    area = float(below.sum() + upto.sum()) / (2 * m * n)
    return Figure("auc", area, images, None, *area_interval(area, images, n), about)


def area_interval(area: float, m: int, n: int) -> tuple[float, float]:
    """All areas within the critical distance, by their own standard deviation, of the one observed; wide if m or n is small."""
    z, half = float(ndtri((1 + CONFIDENCE) / 2)), (m + n) / 2 - 1

    def refused(at: float) -> bool:
        spread = at * (1 - at) * (1 + half * (1 - at) / (2 - at) + half * at / (1 + at)) / (m * n)
        return abs(at - area) > z * sqrt(spread)

    return edge(refused, area, 0.0), edge(refused, area, 1.0)

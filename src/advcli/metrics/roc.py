"""ROC analysis of a detector: area under the curve for adversarial against clean images, and two points of the curve.

Positives are the attacked images, once all of them and once those that fool the classifier behind the detector; negatives
are the clean originals. AUC = P(s+ > s-) + P(s+ = s-) / 2 (Mann and Whitney, 1947), with Newcombe's interval, method 5
(doi:10.1002/sim.2324). tpr@1% is the largest share of positives above a threshold that at most 1 % of the negatives exceed;
its interval takes that threshold as given.
"""

from advcli.catalog.registry import metric
from advcli.evaluation.decisions import AttackedVerdicts, Figure, Figures
from advcli.evaluation.detector_curve import area, area_interval, sides
from advcli.numerics.arrays import Array

FALSE_ALARMS = {"tpr@1%": 100, "tpr@5%": 20}  # one in so many


@metric(of="adversarial", needs=("score",))
def roc(verdicts: AttackedVerdicts) -> Figures:
    known = verdicts.known()
    found = sides(known)
    clean = found.clean
    for name, rows in found.positives.items():
        scores, kept = found.scores[rows], known[rows]
        yield _area(scores, clean, kept.images, name)
        for metric_, one_in in FALSE_ALARMS.items():
            bar = clean[len(clean) - 1 - len(clean) // one_in] if len(clean) else float("inf")
            yield kept.share(metric_, scores > bar, positives=name, negatives=len(clean))


def _area(positive: Array, negative: Array, images: int, name: str) -> Figure:
    """The area under the curve; `negative` is sorted, and the positives belong to `images` images."""
    m, n, about = len(positive), len(negative), {"positives": name, "negatives": len(negative)}
    if not m or not n:
        return Figure("auc", 0.0, m, None, 0.0, 1.0, {**about, "undefined": True})
    value = area(positive, negative)
    return Figure("auc", value, images, None, *area_interval(value, images, n), about)

"""The model's confidence: mean and quartiles of the top probability, and how far the mean is from the accuracy.

`overconfidence` is mean confidence minus accuracy: zero for a calibrated model, positive for an overconfident one. Rejected
images are left out, since the model decides nothing about them. Generated images have a confidence but no accuracy.
"""

import numpy as np

from advcli.catalog.registry import metric
from advcli.evaluation.decisions import Figure, Figures, Verdicts


@metric(of="any")
def confidence(verdicts: Verdicts) -> Figures:
    known = verdicts[((verdicts.labels >= 0) | verdicts.generated) & (verdicts.predictions >= 0)]
    count, images = len(known.labels), known.images
    sure = known.said.confidence.astype(np.float64)
    right = float((known.predictions == known.labels).mean()) if count else 0.0
    yield Figure("confidence", float(sure.mean()) if count else 0.0, images)
    for name, share in {"min": 0.0, "quartile-1": 0.25, "median": 0.5, "quartile-3": 0.75, "max": 1.0}.items():
        yield Figure(f"confidence-{name}", float(np.quantile(sure, share)) if count else 0.0, images)
    if not verdicts.generated:
        yield Figure("overconfidence", float(sure.mean()) - right if count else 0.0, images)

"""The share of initially correct images that the attack broke: misclassified, or classified as the target.

An image whose target is its own class is left out; a rejected image (-1) is not a success. An image without a label counts by
the model's own prediction, as it was attacked. For generated images it is the share that is classified as the target. If every
image was attacked towards several targets, `success` is the share of all image and target pairs, and `success-any` the share
of images that at least one target broke.
"""

from dataclasses import replace

import numpy as np

from advcli.catalog.registry import metric
from advcli.evaluation.broken import turned
from advcli.evaluation.decisions import AttackedVerdicts, Figures, rate


@metric(of="adversarial", default=True)
def success(verdicts: AttackedVerdicts) -> Figures:
    if verdicts.generated:
        yield verdicts.share("success", verdicts.predictions == verdicts.targets)
        return
    known = replace(verdicts, labels=np.where(verdicts.labels < 0, verdicts.clean, verdicts.labels)).known()
    won, right = turned(known)
    yield known.share("success", won, right)
    if known.images < len(known.labels):
        held = known[right].in_all_rows(~won[right])
        yield rate("success-any", int((~held).sum()), len(held))

"""Whether what the model answers to an image depends on the images beside it.

max over images of ||z - z'||_inf / ||z||_inf, where z' is the answer in a batch half as large, with other neighbours. A
model that was left in training mode takes its means over the batch: whether an image falls then depends on its company, and an
evaluation in another order judges another model.
"""

from advcli.catalog.registry import check
from advcli.files.check_results import Result, judged
from advcli.search.probe import Probe

ROUNDING, OTHER = 1e-4, 1e-2  # of the largest logit


@check(of="model")
def batch_dependence(probe: Probe) -> Result:
    apart = (probe.logits - probe.in_other_company).abs().amax(1) / probe.logits.abs().amax(1).clamp_min(1e-12)
    return judged(
        float(apart.max()),
        len(apart),
        warn=ROUNDING,
        fail=OTHER,
        found=f"{int((apart > ROUNDING).sum())} of {len(apart)} images are answered otherwise beside other images",
        advice="the model takes something over its batch, as batch norm does in training mode, or draws for it; let it evaluate "
        "each image by itself",
    )

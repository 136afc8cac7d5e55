"""Whether the output for an image depends on the other images of its batch.

max over images of ||z - z'||_inf / ||z||_inf, where z' is the output in a batch of a third of the images. A model that was
left in training mode takes its means over the batch: its decision on an image then depends on the batch, and an evaluation in
another order judges another model.
"""

from advcli.catalog.registry import check
from advcli.files.check_results import Result, judged
from advcli.networks.structure import relative_change
from advcli.search.probe import Probe

ROUNDING, OTHER = 1e-4, 1e-2  # of the largest logit


@check(of="model")
def batch_dependence(probe: Probe) -> Result:
    apart = relative_change(probe.logits[: len(probe.again[0])], probe.again[0])
    return judged(
        float(apart.max()),
        len(apart),
        warn=ROUNDING,
        fail=OTHER,
        found=f"{int((apart > ROUNDING).sum())} of {len(apart)} images get different logits in a batch with other images",
        advice="the model computes statistics over the batch, as batch norm does in training mode, or draws per batch; evaluate "
        "each image independently",
    )

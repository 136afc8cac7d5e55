"""The share of images that the model classifies as the target of the attack, whatever it says of the original.

`target-rate` is over all rows that have a target, and holds the images of the target class itself: without any attack it
is about `target-class`, the share of these images. `target-rate-others` leaves them out. Rows of an untargeted attack have no
target and are not counted. A generated image has no class: all of them count.
"""

from advcli.catalog.registry import metric
from advcli.evaluation.decisions import AttackedVerdicts, Figures


@metric(of="adversarial")
def target_rate(verdicts: AttackedVerdicts) -> Figures:
    aimed = verdicts[verdicts.targets >= 0]
    reached, own = aimed.predictions == aimed.targets, aimed.labels == aimed.targets
    yield aimed.share("target-rate", reached)
    yield aimed.share("target-rate-others", reached, ~own)
    yield aimed.share("target-class", own)

"""Whether the model has too few classes for the loss that was asked for, so that another loss is climbed.

The number of classes that are missing. The DLR loss divides by the spread of the three largest logits, towards a target by
that of the four largest (Croce and Hein 2020, section 4); of fewer logits it is constant or 0/0. The plain margin is climbed in
its place, which is not free of the logits' scale.
"""

from advcli.catalog.registry import check
from advcli.files.check_results import Result, judged
from advcli.search.call import classes_needed
from advcli.search.probe import Probe


@check(of="model", access=("gradient",), paper="arXiv:2003.01690")
def few_classes(probe: Probe) -> Result | None:
    needed = classes_needed(probe.job.method, targeted=probe.job.target is not None)
    classes = probe.logits.shape[1] - probe.job.rejects
    if needed == 2:
        return None
    return judged(
        max(0, needed - classes),
        len(probe.logits),
        warn=0,
        found=f"the model has {classes} classes, and the DLR loss needs {needed}: the margin was climbed instead",
        advice="compare with another loss: --objective xent",
    )

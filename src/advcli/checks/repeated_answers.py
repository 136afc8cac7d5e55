"""Whether the model gives the same output when it gets the same images twice.

max over images of ||z - z'||_inf / ||z||_inf, with the same draws for every declared defense. If a model draws random numbers
that are not declared, the search and the verdict see different models: gradients are of a model that never decides, and a
success can be lost again by chance (Athalye et al. 2018, section 3). Declared randomness is attacked by averaging over
several draws (EOT).
"""

import torch

from advcli.catalog.registry import check
from advcli.files.check_results import Result, judged
from advcli.networks.structure import relative_change
from advcli.search.probe import Probe

SAME = 1e-5  # of the largest logit; on a processor equal calls are equal to the bit
OTHER = 1e-3  # more than any rounding


@check(of="model", paper="arXiv:1802.00420")
def repeated_answers(probe: Probe) -> Result:
    first, *others = probe.again
    apart = torch.cat([relative_change(first, second) for second in others])
    other = int((apart > SAME).sum())
    return judged(
        float(apart.max()),
        len(apart),
        warn=SAME,
        fail=OTHER,
        found=f"{other} of {len(apart)} outputs differ when the same images are given again",
        advice="the model draws undeclared random numbers, so that attack and verdict see different models; let it draw "
        "nothing in evaluation, or declare it: @defense(..., random=True) is attacked with several draws",
    )

"""AutoAttack: several attacks without parameters to tune, one after the other, each on the images that still resist.

`standard` runs, the cheapest first: one full step, ten steps of PGD on the margin, and (not in l1) DeepFool, which most images
of an undefended model do not resist; then APGD on the cross-entropy, APGD on the DLR loss towards the most promising classes,
FAB, and Square Attack, which needs no gradients. `rand` is for models that draw random numbers: APGD on both losses, each
gradient averaged over several draws (--eot). The paper's `standard` is APGD, APGD towards nine targets, FAB towards nine
targets and Square Attack; in l1 it is that of arXiv:2103.01208. The file says which stage broke each image, and `evaluate`
counts them.
"""

from typing import Annotated, Literal

from advcli.catalog.options import Norm
from advcli.catalog.params import Param
from advcli.catalog.registry import attack


@attack(
    family="ensemble",
    kind="cascade",
    norms=("linf", "l2", "l1"),
    access="gradient",
    targeted=False,
    random=True,
    paper="arXiv:2003.01690",
)
def autoattack(
    *,
    classes: int,
    random: bool,
    norm: Norm = "linf",
    version: Annotated[
        Literal["auto", "standard", "rand"],
        Param("The set of stages; auto is rand for a model that draws random numbers, otherwise standard."),
    ] = "auto",
    targets: Annotated[int, Param("Classes that APGD goes towards, one after the other.", low=1)] = 3,
    queries: Annotated[int, Param("Queries of Square Attack for each image.", low=0, high=1_000_000_000, form="N")] = 5000,
) -> list[str]:
    if version == "rand" or (version == "auto" and random):
        return ["pgd:steps=10,objective=margin", "apgd", f"apgd:objective={'dlr' if classes > 2 else 'margin'}"]
    towards = f"apgd:targets={min(targets, classes - 1)}" if classes > 2 else "apgd:objective=margin"  # the DLR of two is 0/0
    first = [f"{'fgsm' if norm == 'linf' else 'fgm'}:objective=margin", "pgd:steps=10,objective=margin"]
    gradients = [*first, *([] if norm == "l1" else ["deepfool"]), "apgd", towards, "fab"]
    return [*gradients, f"square:steps={queries}"] if queries else gradients

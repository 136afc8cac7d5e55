"""The outcome of every row of an attacked set: not attacked, failed, a success, or moved though wrong from the start.

A row is not attacked if its victim misclassifies or rejects the clean image, or if the target is the image's own class. Such
a row holds its original: a mean over all rows says little about the attack. With `--label pred` an image that the victim
misclassifies is moved too, away from the victim's class; it is neither a success nor a failure.
"""

import numpy as np

from advcli.files.header import Header, from_nothing
from advcli.files.header_schema import SIGNED
from advcli.files.imageset_reader import ImageSet
from advcli.numerics.arrays import Array
from advcli.numerics.balls import FREE

NEVER, FAILURE, SUCCESS, WRONG = 0, 1, 2, 3
WORDS = ("never attacked", "failures", "successes", "wrong before")
KEPT = {"all": (NEVER, FAILURE, SUCCESS, WRONG), "attacked": (FAILURE, SUCCESS), "successes": (SUCCESS,), "failures": (FAILURE,)}


def outcomes(opened: ImageSet) -> Array | None:
    """(N,) the outcome of every row; None for a set that no attack made."""
    columns = ("success", "clean_prediction", "target")
    if attack_of(opened.header) is None or not all(name in opened for name in columns):
        return None
    won = np.where(opened.column("success") == 1, SUCCESS, FAILURE)
    if from_nothing(opened.header):  # a made image has no class that it could have wrong
        return won
    labels, before, target = (opened.column(name) for name in ("labels", "clean_prediction", "target"))
    own = np.where(labels < 0, before, labels)
    attacked = (before == own) & (before >= 0) & ((target < 0) | (target != own))
    found: Array = np.where(attacked, won, NEVER)
    if (attack_of(opened.header) or {}).get("moves_wrong"):
        found[(before != own) & (before >= 0)] = WRONG
    return found


def attack_of(header: Header) -> Header | None:
    """The header that an attack wrote: of the set itself, or of the set that was filtered."""
    while header["kind"] == "filtered":
        header = header["of"]
    return header if header["kind"] in ("adversarial", *SIGNED) else None


def minimal_norm(header: Header) -> bool:
    """True if the method minimizes the distance, without a budget: a failed row then holds its original."""
    made = attack_of(header)
    return made is not None and made["norm"] not in FREE and not made["epsilon"]


def usual(opened: ImageSet, found: Array | None) -> str:
    """The default rows for statistics: those that tell something about the attack."""
    if found is None or not len(found):
        return "all"
    return "successes" if minimal_norm(opened.header) else "attacked"

"""The worst case of each image over all adversarial sets of one norm and budget, and the images that each set broke.

Images are matched by their place in the same source, and only images that every set holds count. An image is right if it is
right in every row of every set. Of the images that the model had right at the start, `newly-broken` counts those that a set
broke and no set before it, and `uniquely-broken` those that it broke and no other set.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import numpy as np

from advcli.errors import CommandError
from advcli.evaluation.clean_accuracy import is_about_clean
from advcli.evaluation.decisions import AttackedVerdicts, rate
from advcli.evaluation.outcomes import attack_of
from advcli.evaluation.rows import JudgedSet, Row, row
from advcli.evaluation.sets import ROUNDED, UNCLIPPED
from advcli.evaluation.threat_model import STRONG, UNCHECKED, WORST, ThreatModel
from advcli.numerics.arrays import Array
from advcli.numerics.paired_tests import mcnemar
from advcli.numerics.quantities import as_float32, fraction

CHANCE = 0.05
KNOWLEDGE = ("none", "transfer", "static", "adaptive", "white-box")  # from the weakest claim to the strongest
ACCESS = ("none", "labels", "scores", "gradient", "structure")  # from the least that is seen to the most
Key = tuple[str, str, bytes, str]  # model, norm, budget, view
STORED, IN_8_BIT = "stored", "8-bit"


@dataclass(frozen=True, slots=True)
class Standing:
    """The outcome of one model on one set, image by image, over all rows of the image."""

    model: str
    set: str
    kind: str
    budget: str | None
    threat: ThreatModel
    source: str
    images: Array  # places in the source, in order
    right: Array  # (draws, images)
    start: Array  # (images,) whether the original was right
    rounded: tuple[int, int] | None = None  # of so many broken rows, how many are right again in 8 bits
    size: int = 1  # pixels of an image

    @property
    def broken(self) -> Array:
        """(images,) whether the attack made the model misclassify an image that was right; for the first draw."""
        found: Array = self.start & ~self.right[0]
        return found

    @property
    def of_images(self) -> bool:
        """True if its pixels lie in [0, 1], so that what broke the model can be the pixels of an image."""
        return self.threat.pixels != UNCLIPPED

    @property
    def closest(self) -> bool:
        """True if the set was made without a budget, as near to its originals as the attack could."""
        return self.budget is None and self.threat.norm is not None

    @property
    def by_gradient(self) -> bool:
        """True if the set was made with gradients of this very model, or with its structure."""
        return self.threat.knowledge in STRONG and self.threat.access in ("gradient", "structure")

    @property
    def iterated(self) -> bool:
        """True if the set was made in many steps with gradients or the structure of this very model."""
        return self.by_gradient and self.threat.steps not in (None, 1)

    def of(self, images: Array) -> tuple[Array, Array]:
        """`right` and `start` of some of the images."""
        places = np.searchsorted(self.images, images)
        return self.right[:, places], self.start[places]


def standing(seen: JudgedSet) -> Standing:
    """Rows gathered to images; rows without a label are left out."""
    known = seen.rounds[0].labels >= 0
    images, place = np.unique(seen.ids[known], return_inverse=True)
    right = np.ones((len(seen.rounds), len(images)), bool)
    for turn, verdicts in enumerate(seen.rounds):
        np.logical_and.at(right[turn], place, (verdicts.predictions == verdicts.labels)[known])
    first, start = seen.rounds[0], np.ones(len(images), bool)
    if isinstance(first, AttackedVerdicts):
        np.logical_and.at(start, place, (first.clean == first.labels)[known])
        if (attack_of(seen.subject.header) or {}).get("moves_wrong"):
            right &= start  # an attack that moves every image makes some right that were wrong
    header = seen.subject.header
    data = header["made"]["data"] if "made" in header else header["data"]
    source = str({k: v for k, v in (data or {}).items() if k in ("name", "split", "digest")})
    found = (str(seen.model.path), seen.subject.name, str(header["kind"]), seen.budget, seen.threat)
    return Standing(*found, source, images, right, start, seen.rounded, prod(seen.model.shape))


class Worst:
    """The outcomes of all models on adversarial sets, by model, norm and budget.

    With `both`, the worst case is taken once over the sets as stored and once over them in 8 bits; a set that is stored in 8 bits
    is in both.
    """

    def __init__(self, standings: Iterable[Standing] = (), *, both: bool) -> None:
        self.both = both
        self._held: dict[Key, list[Standing]] = {}
        for one in standings:
            self.add(one)

    def add(self, one: Standing) -> None:
        norm, pixels = one.threat.norm, one.threat.pixels
        if one.kind != "adversarial" or (one.budget is None and norm is not None) or not len(one.images):
            return  # who comes as close as he can has no bound; a transform has no norm, its parameters bound it
        budget = b"" if one.budget is None else as_float32(fraction(one.budget))
        views = [STORED] * (not self.both or pixels != ROUNDED) + [IN_8_BIT] * (self.both and pixels != "float")
        for view in views:
            self._held.setdefault((one.model, str(norm), budget, view), []).append(one)

    def standings(self, *, least: int = 2) -> Iterator[tuple[Standing, list[Standing]]]:
        """The worst case as an outcome of its own, and the sets that it covers."""
        for (*_, view), sets in self._held.items():
            same = view == IN_8_BIT and not any(one.threat.pixels == ROUNDED for one in sets)
            if len(sets) >= least and not same and (found := worst_of(sets)) is not None:
                yield found, sets

    def rows(self, *, asked: bool) -> list[Row]:
        """Robust accuracy per model and budget, where there is more than one set, or where it is asked for."""
        if len({one.source for sets in self._held.values() for one in sets}) > 1:
            if asked:
                raise CommandError("--fail-under robust_accuracy: the sets attack different images; evaluate them separately")
            return []
        found: list[Row] = []
        for worst, sets in self.standings(least=1 if asked else 2):
            each = [rate("robust_accuracy", int(right.sum()), len(right)) for right in worst.right]
            found.append(row(worst.model, worst.set, worst.kind, worst.budget, each, worst.threat))
            found += _breakers(worst, sets) if len(sets) > 1 else []
        if asked and self._held and not found:
            raise CommandError("--fail-under robust_accuracy: no image is in all of the sets; evaluate them separately")
        return found


def worst_of(sets: list[Standing]) -> Standing | None:
    """The worst of several sets, over the images that all of them hold; None where there is none."""
    images = sets[0].images
    for one in sets[1:]:
        images = np.intersect1d(images, one.images, assume_unique=True)
    if not len(images):
        return None
    right = np.logical_and.reduce([one.of(images)[0] for one in sets])
    best = strongest(one.threat.knowledge for one in sets)
    notes = [] if best in STRONG else [f"{best}: no set was made against this very model"]
    if any(UNCHECKED in one.threat.notes for one in sets if one.threat.knowledge == best):
        notes.append(UNCHECKED)
    notes += dict.fromkeys(note for one in sets for note in one.threat.notes if is_about_clean(note))
    if most := max(len(one.images) for one in sets) - len(images):
        notes.append(f"over the {len(images)} images that every set holds; {most} more are in some of them only")
    line = ThreatModel(
        attack=WORST,
        norm=sets[0].threat.norm,
        epsilon=sets[0].budget,
        knowledge=best,
        access=max((one.threat.access for one in sets if one.threat.knowledge == best), key=ACCESS.index),
        pixels=ROUNDED if any(one.threat.pixels == ROUNDED for one in sets) else None,
        notes=tuple(notes),
        defenses=sets[0].threat.defenses,
        checks=tuple(dict.fromkeys(each for one in sets for each in one.threat.checks)),
    )
    names = " + ".join(one.set for one in sets)
    start = sets[0].of(images)[1]
    return Standing(sets[0].model, names, "worst case", sets[0].budget, line, sets[0].source, images, right, start)


def strongest(words: Iterable[str]) -> str:
    """The strongest knowledge among some sets: one set made with knowledge of the model supports the claim."""
    return max(words, key=KNOWLEDGE.index)


class Apart(NamedTuple):
    """Of the n images that all sets hold, b are broken only by the first sets, c only by the second."""

    n: int
    b: int
    c: int

    @property
    def share(self) -> float:
        """The share of the images that only the first sets break."""
        return self.b / self.n if self.n else 0.0

    @property
    def first_breaks_more(self) -> bool:
        """True if the first sets break more than the second, by McNemar's exact test."""
        return self.b > self.c and mcnemar(self.b, self.c) < CHANCE


def apart(first: list[Standing], second: list[Standing]) -> Apart:
    """Compare what two groups of sets break, image by image, over the images that all of them hold."""
    images = first[0].images
    for one in (*first, *second):
        images = np.intersect1d(images, one.images, assume_unique=True)
    before, after = (
        np.logical_or.reduce([one.of(images)[1] & ~one.of(images)[0][0] for one in sets]) for sets in (first, second)
    )
    return Apart(len(images), int((before & ~after).sum()), int((after & ~before).sum()))


def _breakers(worst: Standing, sets: list[Standing]) -> Iterator[Row]:
    """The number of images that each set broke, by every draw: before the others in their order, and alone.

    The images are those that the first draw had right at the start.
    """
    broken = np.stack([~one.of(worst.images)[0] for one in sets])  # (sets, draws, images)
    broken &= worst.start
    count = len(worst.images)
    for number, one in enumerate(sets):
        earlier, others = broken[:number].any(0), np.delete(broken, number, 0).any(0)
        for name, before in (("newly-broken", earlier), ("uniquely-broken", others)):
            each = [rate(name, int(draw.sum()), count) for draw in broken[number] & ~before]
            yield row(one.model, one.set, worst.kind, worst.budget, each, one.threat)
    lost = rate("wrong-from-start", int((~worst.start).sum()), count)
    yield row(worst.model, worst.set, worst.kind, worst.budget, [lost], worst.threat)

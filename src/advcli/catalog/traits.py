"""The traits of the methods of each role, as their decorators declare them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from advcli.catalog.kinds import KINDS

Access = Literal["structure", "gradient", "scores", "labels", "none"]
Needed = Literal["", "leaves", "references", "planes"]


@dataclass(frozen=True, slots=True)
class AttackTraits:
    """What an attack can do, and what it needs from the model."""

    family: str
    kind: str  # of `catalog.kinds`
    norms: tuple[str, ...]
    access: Access
    targeted: bool | Literal["only"] = True
    random: bool = False  # another start may give another result
    within: float | None = 1.02  # times the exact distance: what it needs on an affine model; None: nothing is promised
    labels_suffice: bool = False  # takes scores, and finds images by labels alone
    unclipped: bool = False  # its paper clips nothing: its images may leave [0, 1]
    target: str | None = None  # the rule of its targets, if no target is given
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, hash=False)  # values of its options, by a name
    structure: Needed = ""  # the only models that it is made for: trees, nearest neighbours, linear ones; empty: all
    paper: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"there is no kind of attack {self.kind!r}; there are {', '.join(KINDS)}")

    @property
    def budgeted(self) -> bool:
        """True if the user sets a budget."""
        return KINDS[self.kind].takes_budget

    @property
    def nestable(self) -> bool:
        """True if it can run inside another method: it keeps a budget, fits nothing before it, and takes any model."""
        return self.budgeted and not self.structure and not self.has("fits")

    def has(self, need: str | None) -> bool:
        """True if an option that needs this trait has an effect here."""
        fits = KINDS[self.kind].first_stage is not None
        return {
            None: True,
            "images": KINDS[self.kind].from_images,
            "start": not KINDS[self.kind].from_images,
            "budget": self.budgeted,
            "targeted": bool(self.targeted),
            "untargeted": self.access != "none" and self.targeted != "only",
            "gradient": self.access == "gradient",
            "fits": fits,
            "stages": KINDS[self.kind].stages,
            "queries": self.access in ("scores", "labels") and not fits,
            "random": self.random,
            "unclipped": self.unclipped,
        }[need]


@dataclass(frozen=True, slots=True)
class DefenseTraits:
    """How a defense treats gradients, and whether it uses random numbers."""

    family: str
    gradient: Literal["exact", "surrogate"]
    random: bool = False
    members: bool = False  # takes other models, which are stored with it
    learns: bool = False  # has a network of its own, which is fitted on training images
    opponents: bool = True  # if it learns, it learns from attacked images too
    features: bool = False  # keeps statistics of the network's features, which are computed on training images
    rejects: bool = False  # has a threshold, which is set on validation images
    filters: bool = True  # can also filter images, without a model
    votes: bool = False  # decides by several answers of the model, instead of changing what it sees
    paper: str = ""

    @property
    def precedes(self) -> bool:
        """True if all of it happens before the model sees the image, so that a network can be trained behind it."""
        return not (self.votes or self.members or self.learns or self.rejects)

    def has(self, need: str | None) -> bool:
        """True if an option that needs this trait has an effect here."""
        return {
            None: True,
            "members": self.members,
            "learns": self.learns,
            "opponents": self.learns and self.opponents,
            "fits": self.learns or self.rejects,
        }[need]


@dataclass(frozen=True, slots=True)
class RecipeTraits:
    """The properties that a training recipe declares."""

    family: str
    behind: str | None = None  # the defense that its teacher has to be behind
    paper: str = ""


@dataclass(frozen=True, slots=True)
class ArchitectureTraits:
    """The way an architecture gets its weights, and whether its outputs have a gradient with respect to the image."""

    family: str
    fitted: bool = False  # scikit-learn fits it, and no loop trains it
    differentiable: bool = True
    paper: str = ""


@dataclass(frozen=True, slots=True)
class SourceTraits:
    """The location of a data set's images, and whether they can be resized.

    `package`: they come with the program; the function takes the split alone. `library`: among the downloaded data sets; the
    function takes the library too. `path`: at a path that the user gives.
    """

    family: str
    splits: tuple[str, ...] = ()
    where: Literal["package", "library", "path"] = "library"
    resizes: bool = False  # takes image_size and resize
    paper: str = ""


@dataclass(frozen=True, slots=True)
class MetricTraits:
    """The sets that a metric applies to, whether `evaluate` shows it by default, and what it needs beyond decisions.

    `score`: a model that can reject. `victim`: the decisions of the attacked model. `distance`: the distances to the originals.
    `stages`: a set of a cascade of attacks. `noise`: decisions of a smoothed model on noisy copies.
    `bounds`: proofs about every image of a ball. `filter`: a filtered set, with the decisions on its originals through the same
    filter and on its attacked images before it. `rank`: the rank, on the original, of the class that was decided on.
    """

    of: Literal["any", "adversarial", "clean"]
    default: bool = False
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FigureTraits:
    """What a figure is drawn from: each set by itself, all of them or none, and of models `one`, or the `verdicts` of all.

    `needs` are datasets that the files must have; for a figure of verdicts they are those of a metric.
    """

    sets: Literal["each", "all", "none"] = "each"
    model: Literal["", "one", "verdicts"] = ""
    needs: tuple[str, ...] = ()

    @property
    def together(self) -> bool:
        """True if it joins all sets in one figure."""
        return self.sets == "all" or self.model == "verdicts"


@dataclass(frozen=True, slots=True)
class CheckTraits:
    """The input of a trust check, and the attacks that it applies to.

    `model`: a probe of the model, before it is attacked. `search`: what the search of an attack saw. `set`: one finished set
    at one budget. `sets`: all sets of one model under one threat model. `access`: the kinds of access of the attacks that it
    applies to.
    """

    of: Literal["model", "search", "set", "sets"]
    access: tuple[str, ...] = ("gradient", "scores", "labels")
    paper: str = ""


TRAITS: dict[str, type[Any]] = {
    "attack": AttackTraits,
    "defense": DefenseTraits,
    "recipe": RecipeTraits,
    "architecture": ArchitectureTraits,
    "source": SourceTraits,
    "metric": MetricTraits,
    "figure": FigureTraits,
    "check": CheckTraits,
}

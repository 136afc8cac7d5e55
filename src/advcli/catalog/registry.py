"""What a method is: its traits, its parameters, and the function behind it. Knows neither torch nor typer.

A decorator only pins the traits to the function. Who wants the list of methods asks `catalog`, which reads the
decorators from the source files and imports nothing.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from advcli.catalog.kinds import KINDS
from advcli.catalog.params import Option
from advcli.errors import CommandError

F = TypeVar("F", bound=Callable[..., Any])
Access = Literal["gradient", "scores", "labels", "none"]


@dataclass(frozen=True, slots=True)
class AttackTraits:
    """What an attack can do and what it asks of the model."""

    family: str
    kind: str  # of `catalog.kinds`
    norms: tuple[str, ...]
    access: Access
    targeted: bool | Literal["only"] = True
    random: bool = False  # another start may give another result
    within: float | None = 1.02  # times the exact distance: what it needs on an affine model; None: nothing is promised
    paper: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"there is no kind of attack {self.kind!r}; there are {', '.join(KINDS)}")

    @property
    def budgeted(self) -> bool:
        """Whether the user says how far it may go."""
        return KINDS[self.kind].takes_budget

    @property
    def nestable(self) -> bool:
        """Whether it can be run inside something else: it stays within a budget, and nothing is fitted before it."""
        return self.budgeted and not self.has("fits")

    def has(self, need: str | None) -> bool:
        """Whether an option that needs this trait does something here."""
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
            "queries": self.access in ("scores", "labels") and not fits,
            "random": self.random,
        }[need]


@dataclass(frozen=True, slots=True)
class DefenseTraits:
    """How a defense meets gradients, and whether it draws random numbers."""

    family: str
    gradient: Literal["exact", "surrogate"]
    random: bool = False
    members: bool = False  # takes other models, which are stored with it
    learns: bool = False  # has a network of its own, which is fitted on training images
    rejects: bool = False  # has a threshold, which is set on validation images
    filters: bool = True  # can also filter pictures, without a model
    votes: bool = False  # decides by several answers of the model, instead of changing what it sees
    paper: str = ""

    @property
    def precedes(self) -> bool:
        """Whether all that it does is done before the model sees the picture, so that a network can be trained behind it."""
        return not (self.votes or self.members or self.learns or self.rejects)

    def has(self, need: str | None) -> bool:
        """Whether an option that needs this trait does something here."""
        return {None: True, "members": self.members, "learns": self.learns, "fits": self.learns or self.rejects}[need]


@dataclass(frozen=True, slots=True)
class RecipeTraits:
    """What a training recipe says of itself."""

    family: str
    paper: str = ""


@dataclass(frozen=True, slots=True)
class ArchitectureTraits:
    """How an architecture comes to its weights, and whether a gradient leads from its answers to the image."""

    family: str
    fitted: bool = False  # scikit-learn fits it, and no loop trains it
    differentiable: bool = True
    paper: str = ""


@dataclass(frozen=True, slots=True)
class SourceTraits:
    """Where the images of a data set lie, and whether they are cut to any size.

    `package`: they come with the code, which takes the split alone. `library`: among the downloaded sets, which it takes
    too. `path`: where the user says.
    """

    family: str
    splits: tuple[str, ...] = ()
    where: Literal["package", "library", "path"] = "library"
    resizes: bool = False  # takes image_size and resize
    paper: str = ""


@dataclass(frozen=True, slots=True)
class MetricTraits:
    """Which sets a metric speaks of, whether `evaluate` shows it unasked, and what it needs beyond decisions.

    `score`: a model that can reject. `victim`: what the attacked model says. `distance`: how far the images have moved.
    `noise`: what a smoothed model says of noisy copies.
    """

    of: Literal["any", "adversarial", "clean"]
    default: bool = False
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FigureTraits:
    """Whether a figure shows each set by itself or all in one picture, and which datasets their files must have."""

    sets: Literal["each", "all"] = "each"
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Spec:
    """A registered function: its name, what it can do, what it takes."""

    role: str
    name: str
    doc: str
    traits: Any
    options: tuple[Option, ...]
    module: str
    attribute: str
    given: tuple[str, ...] = ()  # what the function asks of the program: draws, a teacher, the epoch

    @property
    def summary(self) -> str:
        """The first sentence of the module's docstring."""
        return self.doc.split("\n\n")[0].replace("\n", " ").strip()

    def load(self) -> Callable[..., Any]:
        """The function itself; only now is its module imported."""
        function: Callable[..., Any] = getattr(importlib.import_module(self.module), self.attribute)
        return function

    def option(self, name: str) -> Option | None:
        return next((one for one in self.options if one.name == name), None)

    def has(self, need: str | None) -> bool:
        """Whether an option that needs this does something here."""
        if need == "stops":
            return "early_stop" in self.given or (self.role == "attack" and bool(self.traits.random))
        if self.role in ("attack", "defense"):
            return bool(self.traits.has(need))
        return need in (None, "images") or need in self.given

    def bind(self, given: Mapping[str, object]) -> "Bound":
        """Fix every parameter; a name that the method does not have is an error that lists those it has."""
        refuse_unknown(self.name, given, self.options)
        values = {o.name: o.read(given[o.name]) if o.name in given else o.default for o in self.options}
        return Bound(self, values)


@dataclass(frozen=True, slots=True)
class Bound:
    """A method with every parameter fixed: callable and storable."""

    spec: Spec
    parameters: dict[str, Any] = field(default_factory=dict)

    def __call__(self, *args: Any, **more: Any) -> Any:
        return self.spec.load()(*args, **self.parameters, **more)


def refuse_unknown(name: str, given: Mapping[str, object], options: tuple[Option, ...]) -> None:
    """Raise a CommandError that names the options there are."""
    known = {one.name: one.flag for one in options}
    for wrong in given.keys() - known.keys():
        has = "it has " + ", ".join(sorted(known.values())) if known else "it has none of its own"
        raise CommandError(f"{name} has no option --{wrong.replace('_', '-')}; {has}")


TRAITS: dict[str, type[Any]] = {
    "attack": AttackTraits,
    "defense": DefenseTraits,
    "recipe": RecipeTraits,
    "architecture": ArchitectureTraits,
    "source": SourceTraits,
    "metric": MetricTraits,
    "figure": FigureTraits,
}


def _decorator(role: str, **traits: Any) -> Callable[[F], F]:
    found = TRAITS[role](**traits)

    def pin(function: F) -> F:
        function.__advcli__ = (role, found)  # type: ignore[attr-defined]  # functions carry attributes; typeshed hides it
        return function

    return pin


def attack(
    *,
    family: str,
    kind: str,
    norms: tuple[str, ...],
    access: Access,
    targeted: bool | Literal["only"] = True,
    random: bool = False,
    within: float | None = 1.02,
    paper: str = "",
) -> Callable[[F], F]:
    """Register the function below as an attack; its keyword-only parameters become options."""
    more = {"targeted": targeted, "random": random, "within": within, "paper": paper}
    return _decorator("attack", family=family, kind=kind, norms=norms, access=access, **more)


def defense(
    *,
    family: str,
    gradient: Literal["exact", "surrogate"],
    random: bool = False,
    members: bool = False,
    learns: bool = False,
    rejects: bool = False,
    filters: bool = True,
    votes: bool = False,
    paper: str = "",
) -> Callable[[F], F]:
    """Register the function below, `model -> model`, as a defense.

    One with members takes them second; one that learns takes the input's shape and the number of classes last.
    """
    more = {"random": random, "members": members, "learns": learns, "rejects": rejects, "filters": filters, "votes": votes}
    return _decorator("defense", family=family, gradient=gradient, paper=paper, **more)


def recipe(*, family: str, paper: str = "") -> Callable[[F], F]:
    """Register the function below, a per-sample training loss, as a recipe of `train`."""
    return _decorator("recipe", family=family, paper=paper)


def architecture(*, family: str, fitted: bool = False, differentiable: bool = True, paper: str = "") -> Callable[[F], F]:
    """Register the function below, `(input shape, classes) -> network`, as an architecture."""
    return _decorator("architecture", family=family, fitted=fitted, differentiable=differentiable, paper=paper)


def source(
    *,
    family: str,
    splits: tuple[str, ...],
    where: Literal["package", "library", "path"] = "library",
    resizes: bool = False,
    paper: str = "",
) -> Callable[[F], F]:
    """Register the function below, `split -> Dataset`, as a data set."""
    return _decorator("source", family=family, splits=splits, where=where, resizes=resizes, paper=paper)


def metric(*, of: Literal["any", "adversarial", "clean"], default: bool = False, needs: tuple[str, ...] = ()) -> Callable[[F], F]:
    """Register the function below, `verdicts -> rows`, as a metric of `evaluate`."""
    return _decorator("metric", of=of, default=default, needs=needs)


def figure(*, sets: Literal["each", "all"] = "each", needs: tuple[str, ...] = ()) -> Callable[[F], F]:
    """Register the function below, `selected rows -> drawing`, as a figure of `stats`; of all sets, it takes a list of them."""
    return _decorator("figure", sets=sets, needs=needs)

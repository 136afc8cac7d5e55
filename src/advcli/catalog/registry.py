"""The form in which a method is registered: its traits, its parameters, and its function. Imports neither torch nor typer.

A decorator only attaches the traits to the function. The lists of methods come from `discovery`, which reads the
decorators from the source files and imports nothing.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, TypeVar

from advcli.catalog.params import Option, Param
from advcli.catalog.traits import TRAITS, Access, Needed
from advcli.errors import CommandError

F = TypeVar("F", bound=Callable[..., Any])
PRESET = "preset"


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
    fills: tuple[tuple[str, str], ...] | None = None  # arguments of an architecture without a decorator, and what they get

    @property
    def summary(self) -> str:
        """The first sentence of the module's docstring."""
        return self.doc.split("\n\n")[0].replace("\n", " ").strip()

    def load(self) -> Callable[..., Any]:
        """The function itself; its module is imported only now."""
        function: Callable[..., Any] = getattr(importlib.import_module(self.module), self.attribute)
        if self.fills is None:
            return function
        called: Callable[..., Any] = importlib.import_module("advcli.catalog.plain_architecture").called
        return partial(called, function, self.fills)

    def option(self, name: str) -> Option | None:
        return next((one for one in self.options if one.name == name), None)

    def has(self, need: str | None) -> bool:
        """True if an option that needs this has an effect here."""
        if need == "stops":
            return "early_stop" in self.given or (self.role == "attack" and bool(self.traits.random))
        if self.role in ("attack", "defense"):
            return bool(self.traits.has(need))
        return need in (None, "images") or need in self.given

    def bind(self, given: Mapping[str, object]) -> "Bound":
        """Fix every parameter; a name that the method does not have is an error that lists those it has."""
        refuse_unknown(self.name, given, self.options)
        values = {o.name: o.read(given[o.name]) if o.name in given else o.default for o in self.options}
        if self.presets:
            values = self._preset(values, given)
        return Bound(self, values)

    @property
    def presets(self) -> Mapping[str, Mapping[str, Any]]:
        """The sets of values that the method declares, by name."""
        found: Mapping[str, Mapping[str, Any]] = getattr(self.traits, "presets", {})
        return found

    def _preset(self, values: dict[str, Any], given: Mapping[str, object]) -> dict[str, Any]:
        """The values with those of --preset; an option that says another one is an error."""
        name = values.pop(PRESET)
        if name is None:
            return values
        for key, value in self.presets[name].items():
            if key in given and values[key] != value:
                raise CommandError(f"--{PRESET} {name}: sets --{key.replace('_', '-')} itself; leave out one of them")
        return {**values, **self.presets[name], PRESET: name}


@dataclass(frozen=True, slots=True)
class Bound:
    """A method with every parameter fixed: callable and storable."""

    spec: Spec
    parameters: dict[str, Any] = field(default_factory=dict)

    def __call__(self, *args: Any, **more: Any) -> Any:
        own = {name: value for name, value in self.parameters.items() if name != PRESET or not self.spec.presets}
        return self.spec.load()(*args, **own, **more)


def preset_options(traits: Any) -> tuple[Option, ...]:
    """The option --preset of a method that declares presets."""
    names = tuple(getattr(traits, "presets", {}))
    help_ = "Values of a paper for the other options; the header names the preset."
    return (Option(PRESET, str, None, Param(help_), names),) if names else ()


def refuse_unknown(owner: str, given: Mapping[str, object], options: tuple[Option, ...]) -> None:
    """Raise a CommandError that lists the options of the method."""
    known = {one.name: one.flag for one in options}
    for name in given.keys() - known.keys():
        has = "it has " + ", ".join(sorted(known.values())) if known else "it has none of its own"
        raise CommandError(f"{owner} has no option --{name.replace('_', '-')}; {has}")


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
    labels_suffice: bool = False,
    unclipped: bool = False,
    target: str | None = None,
    presets: Mapping[str, Mapping[str, Any]] | None = None,
    structure: Needed = "",
    paper: str = "",
) -> Callable[[F], F]:
    """Register the function below as an attack; its keyword-only parameters become options."""
    more = {"targeted": targeted, "random": random, "within": within, "labels_suffice": labels_suffice, "target": target}
    more |= {"unclipped": unclipped, "structure": structure, "paper": paper}
    return _decorator("attack", family=family, kind=kind, norms=norms, access=access, presets=presets or {}, **more)


def defense(
    *,
    family: str,
    gradient: Literal["exact", "surrogate"],
    random: bool = False,
    members: bool = False,
    learns: bool = False,
    features: bool = False,
    opponents: bool = True,
    rejects: bool = False,
    filters: bool = True,
    votes: bool = False,
    paper: str = "",
) -> Callable[[F], F]:
    """Register the function below, `model -> model`, as a defense.

    One with members takes them second; one that learns, or keeps statistics of features, takes the input's shape and the number
    of classes last.
    """
    more = {"random": random, "members": members, "learns": learns, "rejects": rejects, "filters": filters, "votes": votes}
    more["features"] = features
    more["opponents"] = opponents
    return _decorator("defense", family=family, gradient=gradient, paper=paper, **more)


def recipe(*, family: str, behind: str | None = None, paper: str = "") -> Callable[[F], F]:
    """Register the function below, a per-sample training loss, as a recipe of `train`."""
    return _decorator("recipe", family=family, behind=behind, paper=paper)


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


def figure(
    *,
    sets: Literal["each", "all", "none"] = "each",
    model: Literal["", "one", "verdicts"] = "",
    needs: tuple[str, ...] = (),
) -> Callable[[F], F]:
    """Register the function below, `selected rows -> drawing`, as a figure of `stats`; of all sets, it takes a list of them.

    One of a model takes that model after the rows, or instead of them; one of verdicts takes a list of them alone.
    """
    return _decorator("figure", sets=sets, model=model, needs=needs)


def check(
    *, of: Literal["model", "search", "set", "sets"], access: tuple[str, ...] = ("gradient", "scores", "labels"), paper: str = ""
) -> Callable[[F], F]:
    """Register the function below, `probe, search, finished set or rivals -> result`, as a trust check."""
    return _decorator("check", of=of, access=access, paper=paper)

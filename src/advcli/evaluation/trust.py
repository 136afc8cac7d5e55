"""The trust in a figure: the results of the checks on the sets behind it.

There are three kinds of checks. Checks of the model were run by the attack, and their results are in its set's header. Checks
of a set use the outcomes of one model on it at all of its budgets. Checks of several sets compare all attacks on one model
under one norm and budget, and concern the sets that were made with gradients.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from advcli.catalog import discovery
from advcli.catalog.registry import Spec
from advcli.evaluation.rows import Row
from advcli.evaluation.sets import Subject
from advcli.evaluation.worst_case import Standing
from advcli.files.check_results import Result, of_document
from advcli.numerics.quantities import as_float32, fraction

Placed = TypeVar("Placed", Row, Standing)


@dataclass(frozen=True, slots=True)
class Checked:
    """One check's result on a set, for the figures of a model on it; at one budget, or at all."""

    model: str
    set: str
    epsilon: str | None
    check: str
    result: Result

    @property
    def label(self) -> str:
        """Status and name, as the threat model shows them."""
        return f"{self.result.status} {self.check}"

    def document(self) -> dict[str, Any]:
        """The entry of the JSON."""
        return {"model": self.model, "set": self.set, "epsilon": self.epsilon, **self.result.document(self.check)}


def stored(subject: Subject, model: str) -> Iterator[Checked]:
    """The findings of the attack's own checks, from the header of its set."""
    header = subject.header["of"] if subject.header["kind"] == "filtered" else subject.header
    for entry in header.get("checks", []):
        yield Checked(model, subject.name, None, *of_document(entry))


def compared(standings: Iterable[Standing], own: Iterable[str] = ()) -> Iterator[Checked]:
    """The results of the checks over one set and over all sets."""
    specs = discovery.checks(("set", "sets"), own)
    attacked = [one for one in standings if one.kind == "adversarial" and len(one.images)]
    for sets in _grouped(attacked, lambda one: (one.model, one.set, one.threat.pixels)):
        for name, result in _results(specs, "set", sets):
            yield Checked(sets[0].model, sets[0].set, None, name, result)
    for sets in _grouped([one for one in attacked if one.budget is not None], _together):
        for name, result in _results(specs, "sets", sets):
            yield from (Checked(one.model, one.set, one.budget, name, result) for one in sets if one.by_gradient)


def _together(one: Standing) -> tuple[Any, ...]:
    """The key of sets that can be compared: model, norm, budget, pixels, source."""
    return one.model, one.threat.norm, as_float32(fraction(one.budget or "0")), one.threat.pixels, one.source


def _grouped(standings: Sequence[Standing], key: Callable[[Standing], tuple[Any, ...]]) -> list[list[Standing]]:
    found: dict[tuple[Any, ...], list[Standing]] = {}
    for one in standings:
        found.setdefault(key(one), []).append(one)
    return list(found.values())


def _results(specs: list[Spec], of: str, sets: list[Standing]) -> Iterator[tuple[str, Result]]:
    for spec in specs:
        if spec.traits.of == of and (result := spec.bind({})(sets)) is not None:
            yield spec.name, result


def marked(placed: Iterable[Placed], checks: Sequence[Checked]) -> list[Placed]:
    """The same rows or standings, with every result that is not PASS in their threat models."""
    doubts = [one for one in checks if one.result.status != "PASS"]

    def mark(one: Placed) -> Placed:
        mine = [
            each.label
            for each in doubts
            if (each.model, each.set) == (one.model, one.set) and each.epsilon in (None, one.threat.epsilon)
        ]
        return replace(one, threat=replace(one.threat, checks=tuple(dict.fromkeys(mine)))) if mine else one

    return [mark(one) for one in placed]

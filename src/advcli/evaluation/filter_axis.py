"""The parameter of a filter as an axis: of filtered sets, or of models behind a filter, that differ in nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from advcli.errors import CommandError
from advcli.evaluation.rows import JudgedSet

ADVICE = "give sets or models that differ in one number of one filter, such as gaussian's sigma"


@dataclass(frozen=True, slots=True)
class FilterAxis:
    """One number of one filter that differs between sets or models."""

    filter: str
    parameter: str

    def place(self, seen: JudgedSet) -> float | None:
        """Where a set and its model lie; None if no such filter is in front of the model."""
        found = filter_of(seen)
        return None if found is None or found[0] != self.filter else float(found[1][self.parameter])

    def others(self, seen: JudgedSet) -> tuple[str, ...]:
        """What a line has in common: the network and the defenses before the filter, the set before it, and the budget."""
        header, defenses = seen.subject.header, seen.model.defenses
        own = seen.subject.file.digest if seen.subject.file else seen.subject.name
        if header["kind"] == "filtered":
            own = header["made"]["parents"][0]["digest"]
        elif defenses and defenses[-1]["name"] == self.filter:
            defenses = defenses[:-1]
        return seen.model.network, str(defenses), own, seen.budget or ""


def axis_of(verdicts: Sequence[JudgedSet]) -> FilterAxis:
    """The only number of the only filter that differs."""
    found = [one for one in map(filter_of, verdicts) if one is not None]
    if len(names := sorted({name for name, _ in found})) != 1:
        what = f"several filters ({', '.join(names)})" if names else "no filtered set and no model behind a defense"
        raise CommandError(f"--x filter: found {what}; {ADVICE}")
    differing = sorted(key for key in found[0][1] if len({repr(given.get(key)) for _, given in found}) > 1)
    numbers = [key for key, value in found[0][1].items() if isinstance(value, int | float) and not isinstance(value, bool)]
    differing = differing or numbers[:1]
    if len(differing) != 1 or differing[0] not in numbers:
        what = ", ".join(differing) or "nothing"
        raise CommandError(f"--x filter: of {names[0]}, {what} differs; {ADVICE}")
    return FilterAxis(names[0], differing[0])


def filter_of(seen: JudgedSet) -> tuple[str, dict[str, Any]] | None:
    """The filter that a set went through last, or the outermost defense of the model; None if there is neither."""
    header, defenses = seen.subject.header, seen.model.defenses
    if header["kind"] == "filtered":
        return str(header["made"]["method"]), dict(header["made"]["parameters"])
    return (str(defenses[-1]["name"]), dict(defenses[-1]["parameters"])) if defenses else None

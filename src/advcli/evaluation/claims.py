"""`--fail-under`: whether a run supports a claim, and the reason if it does not.

A bar on accuracy uses clean images; one on robust accuracy uses the worst case of each image, for every model, norm and
budget. It fails closed: each of these worst cases needs a set that was made against this very model, through its defenses, by
an attack that queries it (knowledge white-box or adaptive), and on which no trust check reports FAIL. Noise, transfer and
static sets only lower the figure. A set of an older version, which had no checks, supports a claim with a note. For a random
model the lowest draw counts, and the lower end of every interval.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from advcli.errors import CommandError
from advcli.evaluation.rows import Row
from advcli.evaluation.threat_model import STRONG, UNCHECKED
from advcli.evaluation.worst_case import Standing
from advcli.numerics.intervals import exact_interval
from advcli.numerics.quantities import as_float32, fraction

METRICS = {"accuracy": "clean", "robust_accuracy": "worst case"}  # and the kind of row that they look at


@dataclass(frozen=True, slots=True)
class Bar:
    """The value that a figure has to reach: `robust_accuracy=0.45`, or at one budget `robust_accuracy@8/255=0.45`."""

    metric: str
    budget: str | None
    least: float

    @property
    def name(self) -> str:
        return f"{self.metric}@{self.budget}" if self.budget else self.metric


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a bar is reached, by the lowest of its figures; `reason` if it is not, `note` if it is with a doubt."""

    metric: str
    budget: str | None
    least: float
    of: str
    found: float
    passed: bool
    reason: str
    note: str = ""

    def document(self) -> dict[str, Any]:
        return asdict(self)


def bar(text: str) -> Bar:
    """The bar that a text describes."""
    name, _, value = text.partition("=")
    metric, at, budget = name.partition("@")
    if metric not in METRICS or (at and metric == "accuracy"):
        raise CommandError(f"--fail-under {text}: expected accuracy=X, robust_accuracy=X or robust_accuracy@EPS=X")
    least = _number(text, value)
    if not 0 <= least <= 1:
        raise CommandError(f"--fail-under {text}: a rate lies between 0 and 1")
    if at:
        _number(text, budget)
    return Bar(metric, budget if at else None, least)


def _number(text: str, value: str) -> float:
    try:
        return float(fraction(value))
    except (ValueError, OverflowError):
        raise CommandError(f"--fail-under {text}: {value!r} is not a number") from None


def verdict(asked: Bar, rows: Iterable[Row], standings: Sequence[Standing], of: str) -> Verdict:
    """Whether all models reach a bar."""
    kind = METRICS[asked.metric]
    looked = [row for row in rows if row.metric == asked.metric and row.kind == kind and _at(asked, row.threat.epsilon)]
    if not looked:
        what = "clean data" if kind == "clean" else "an adversarial set" + (f" at {asked.budget}" if asked.budget else "")
        raise CommandError(f"--fail-under {asked.name}: this run does not compute it; give {what}")
    lowest = min(looked, key=lambda row: _figure(row, of))
    found = _figure(lowest, of)
    reason = ""
    if found < asked.least:
        what = f"{asked.name} of {lowest.model} is {_figure(lowest, 'estimate'):.1%}"
        what += f", at least {found:.1%} with 95 % confidence" if of == "low" else ""
        reason = f"{what}; below {asked.least:.1%}"
    elif asked.metric == "robust_accuracy":
        reason = next(filter(None, (_unsupported(asked, row, standings) for row in looked)), "")
    note = "" if reason else next(filter(None, (_unchecked(asked, row, standings) for row in looked)), "")
    return Verdict(asked.metric, asked.budget, asked.least, of, found, not reason, reason, note)


def _at(asked: Bar, budget: str | None) -> bool:
    return asked.budget is None or (budget is not None and as_float32(fraction(budget)) == as_float32(fraction(asked.budget)))


def _figure(row: Row, of: str) -> float:
    """The figure of the lowest draw, or the lower end of its interval."""
    value = row.spread.min if row.spread else row.value
    return value if of == "estimate" else exact_interval(round(value * row.n), row.n)[0]


def _unsupported(asked: Bar, row: Row, standings: Sequence[Standing]) -> str:
    """The reason why no set supports a worst case; empty if one does."""
    sets = _sets(row, standings)
    made_against_it = [one for one in sets if one.threat.knowledge in STRONG]
    at = f" at {row.threat.norm} {row.threat.epsilon}" if row.threat.epsilon else ""
    if not made_against_it:
        known = ", ".join(dict.fromkeys(_words(one) for one in sets))
        return f"{asked.name}: nobody attacked {row.model} itself{at} ({known}); attack it through its defenses, if it has any"
    failed = [[each for each in one.threat.checks if each.startswith("FAIL")] for one in made_against_it]
    if all(failed):
        why = ", ".join(dict.fromkeys(name for each in failed for name in each))
        told = f"every set made against {row.model}{at} is in doubt ({why})"
        return f"{asked.name}: {told}; the lines below the table say what to do"
    return ""


def _unchecked(asked: Bar, row: Row, standings: Sequence[Standing]) -> str:
    """The note on a worst case that only sets without trust checks support; empty if a checked one does, or if none is needed."""
    supporting = [one for one in _sets(row, standings) if one.threat.knowledge in STRONG]
    if asked.metric != "robust_accuracy" or any(UNCHECKED not in one.threat.notes for one in supporting):
        return ""
    names = ", ".join(dict.fromkeys(one.set for one in supporting))
    return f"{asked.name}: {names}: {UNCHECKED}; attack {row.model} again for a set with checks"


def _sets(row: Row, standings: Sequence[Standing]) -> list[Standing]:
    """The adversarial sets of a worst case."""
    return [one for one in standings if one.kind == "adversarial" and _place(one) == _place(row)]


def _place(one: Row | Standing) -> tuple[str, str | None, bytes | None]:
    """The model, norm and budget of a worst case or of a set."""
    budget = one.threat.epsilon
    return one.model, one.threat.norm, None if budget is None else as_float32(fraction(budget))


def _words(one: Standing) -> str:
    return f"{one.threat.attack}: {'noise' if one.threat.knowledge == 'none' else one.threat.knowledge}"

"""The result of one model on one set at one budget, and the rows of the report that it becomes."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from advcli.catalog.registry import Bound
from advcli.evaluation.decisions import AttackedVerdicts, Figure, Verdicts
from advcli.evaluation.sets import Subject
from advcli.evaluation.threat_model import ThreatModel
from advcli.networks.model_file import ModelFile
from advcli.numerics.arrays import Array
from advcli.numerics.quantities import fraction

APART = ("about", "spread", "pair")  # fields that come last in the JSON, spread out


@dataclass(frozen=True, slots=True)
class Spread:
    """The spread of a figure over the draws of a random model."""

    draws: int
    min: float
    max: float


@dataclass(frozen=True, slots=True)
class Pair:
    """One model against the first on the same images: of b only the first is right, of c only this one."""

    against: str
    b: int
    c: int
    p: float
    against_threat: ThreatModel
    p_holm: float
    finding: str
    best: bool  # of the models compared with the first under the same attack, the one with the most images right

    def document(self) -> dict[str, Any]:
        return {**{one.name: getattr(self, one.name) for one in fields(self)}, "against_threat": self.against_threat.document()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure of the report: its model, its set, and its threat model."""

    model: str
    set: str
    kind: str
    epsilon: float | None
    metric: str
    value: float
    n: int
    k: int | None
    low: float | None
    high: float | None
    threat: ThreatModel
    about: dict[str, Any] = field(default_factory=dict)  # which of several figures of the metric it is
    spread: Spread | None = None
    pair: Pair | None = None

    @property
    def undefined(self) -> bool:
        """True if it is 0 of 0."""
        return bool(self.about.get("undefined"))

    def __str__(self) -> str:
        """One line for people: the figure, its interval, and the attack."""
        spread = "" if self.low is None or self.high is None else f", {self.low:.1%} to {self.high:.1%}"
        count = f"n={self.n}" if self.k is None else f"{self.k}/{self.n}"
        line = (self.threat.attack, self.threat.norm, self.threat.epsilon, self.threat.knowledge)
        attack = f"  [{', '.join(filter(None, line))}]" if self.threat.attack else ""
        return f"{self.model}  {self.set}  {self.metric} {self.value:.4g} ({count}{spread}){attack}"

    def document(self) -> dict[str, Any]:
        """The row of the JSON."""
        found = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in APART}
        found["threat"] = self.threat.document()
        found |= {name: value for name, value in self.about.items() if name not in found}
        found |= {"spread": asdict(self.spread)} if self.spread else {}
        return found | (self.pair.document() if self.pair else {})


def flat(document: dict[str, Any]) -> dict[str, Any]:
    """A row of the JSON without nesting, for a table: the threat model beside the figure, texts joined."""
    found: dict[str, Any] = {}
    for key, value in document.items():
        if isinstance(value, dict):
            start = "" if key == "threat" else f"{key}_"
            found |= {f"{start}{name}": one for name, one in flat(value).items() if f"{start}{name}" not in found}
        else:
            found[key] = "; ".join(map(str, value)) if isinstance(value, list) else value
    return found


@dataclass(frozen=True, slots=True)
class JudgedSet:
    """A model's verdicts, one for each draw of a random model; `ids` are the images' places in their source."""

    model: ModelFile
    subject: Subject
    budget: str | None
    ids: Array
    rounds: Sequence[Verdicts]
    threat: ThreatModel
    rounded: tuple[int, int] | None = None  # of so many broken rows, how many are right again in 8 bits

    def rows(self, metrics: Sequence[Bound]) -> Iterator[Row]:
        """The figures of every metric that applies."""
        for bound in metrics:
            if self.applies(bound):
                once = "noise" in bound.spec.traits.needs  # a certificate has draws of its own
                rounds = self.rounds[:1] if once else self.rounds
                for each in zip(*[list(bound(verdicts)) for verdicts in rounds], strict=True):
                    kind = str(self.subject.header["kind"])
                    yield row(str(self.model.path), self.subject.name, kind, self.budget, each, self.threat)

    def applies(self, bound: Bound) -> bool:
        """True if a metric applies to this model on this set."""
        traits, verdicts = bound.spec.traits, self.rounds[0]
        unattacked = not isinstance(verdicts, AttackedVerdicts)
        if (traits.of == "adversarial" and unattacked) or (traits.of == "clean" and self.threat.attack):
            return False
        if "stages" in traits.needs and not (isinstance(verdicts, AttackedVerdicts) and verdicts.stages):
            return False
        if "filter" in traits.needs and not (isinstance(verdicts, AttackedVerdicts) and verdicts.asked_filter):
            return False
        return "score" not in traits.needs or verdicts.said.score is not None


def row(model: str, name: str, kind: str, budget: str | None, each: Sequence[Figure], threat: ThreatModel) -> Row:
    """One row of the report; of several draws the first is the figure, and those that are not 0 of 0 give the spread."""
    one, values = each[0], [figure.value for figure in each if not figure.about.get("undefined")]
    about = dict(one.about)
    return Row(
        model=model,
        set=name,
        kind=kind,
        epsilon=about.pop("epsilon", None if budget is None else float(fraction(budget))),
        metric=one.metric,
        value=one.value,
        n=one.n,
        k=one.k,
        low=one.low,
        high=one.high,
        threat=threat.proved(one.certificate) if one.certificate else threat,
        about=about,
        spread=Spread(len(each), min(values), max(values)) if len(each) > 1 and values else None,
    )

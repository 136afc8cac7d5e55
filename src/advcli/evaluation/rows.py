"""What was seen of one model on one set at one budget, and how it becomes rows of the report."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from advcli.catalog.registry import Bound
from advcli.evaluation.decisions import Figure, Verdicts
from advcli.evaluation.sets import Subject
from advcli.networks.model_file import ModelFile
from advcli.numerics.arrays import Array
from advcli.numerics.quantities import fraction

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Seen:
    """A model's verdicts, once for each draw of a random model; `ids` are the images' places in their source."""

    model: ModelFile
    subject: Subject
    budget: str | None
    ids: Array
    rounds: list[Verdicts]
    threat: Row

    def rows(self, metrics: Sequence[Bound]) -> Iterator[Row]:
        """The figures of every metric that has something to say here."""
        for bound in metrics:
            if self.heard(bound):
                once = "noise" in bound.spec.traits.needs  # a certificate has draws of its own
                rounds = self.rounds[:1] if once else self.rounds
                for each in zip(*[list(bound(verdicts)) for verdicts in rounds], strict=True):
                    kind = str(self.subject.header["kind"])
                    yield row(str(self.model.path), self.subject.name, kind, self.budget, each, self.threat)

    def heard(self, bound: Bound) -> bool:
        """Whether a metric has something to say of this model on this set."""
        traits, verdicts = bound.spec.traits, self.rounds[0]
        if (traits.of == "adversarial" and verdicts.before is None) or (traits.of == "clean" and self.threat["attack"]):
            return False
        return "score" not in traits.needs or verdicts.said.score is not None


def row(model: str, name: str, kind: str, budget: str | None, each: Sequence[Figure], threat: Row) -> Row:
    """One row of the report; of several draws the first is the figure, and all give the spread."""
    one, values = each[0], [figure.value for figure in each]
    found = {
        "model": model,
        "set": name,
        "kind": kind,
        "epsilon": None if budget is None else float(fraction(budget)),
        "metric": one.metric,
        "value": one.value,
        "n": one.n,
        "k": one.k,
        "low": one.low,
        "high": one.high,
        "threat": {**threat, **one.certificate, "certified": True} if one.certificate else threat,
        **one.about,
    }
    if len(each) > 1:
        found["spread"] = {"draws": len(each), "min": min(values), "max": max(values)}
    return found

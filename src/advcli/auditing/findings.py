"""What an audit found: figures from the rows of `evaluate`, and what may be concluded from them, in plain words."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from advcli.evaluation.rows import Row
from advcli.evaluation.trust import Checked
from advcli.numerics.quantities import as_float32, fraction

MEANING = {
    "FAIL": "the attacks do not work here as they should. Do not report the attacked figure as robustness.",
    "WARN": "the true figure may be lower than the attacked one.",
}
NOT_ABOUT_GRADIENTS = ("rounded-pixels", "false-alarms")  # checks whose findings no other attack would change


@dataclass(frozen=True, slots=True)
class Findings:
    """The rows and checks of an audit at one norm and budget; `steps` names what each set is."""

    rows: Sequence[Row]
    checks: Sequence[Checked]
    norm: str
    eps: str
    steps: dict[str, str]  # file -> name of the step
    unproved: str = ""  # why nothing can be proved of this model

    @property
    def clean(self) -> Row | None:
        """Accuracy on the clean images."""
        return next((row for row in self.rows if row.kind == "clean" and row.metric == "accuracy"), None)

    @property
    def attacked(self) -> Row | None:
        """Accuracy after all attacks of this budget, image by image."""
        found = [row for row in self._at(self.eps) if row.metric == "robust_accuracy"]
        return min(found or self._accuracies(self.eps), key=lambda row: row.value, default=None)

    @property
    def proved(self) -> Row | None:
        """The share of images for which no attack within the budget can exist."""
        return next((row for row in self._at(self.eps) if row.metric == "verified"), None)

    @property
    def proofs(self) -> list[Row]:
        """The proved share at each budget that was looked at."""
        return [row for row in self.rows if row.metric == "verified"]

    @property
    def each(self) -> list[tuple[str, Row]]:
        """Accuracy after each attack of this budget, with the name of its step."""
        return [(self.steps[row.set], row) for row in self._accuracies(self.eps)]

    @property
    def broken_by(self) -> list[Row]:
        """The share that each stage of autoattack broke."""
        return [row for row in self._at(self.eps) if row.metric == "broken-by"]

    def curve(self, budgets: Iterable[str]) -> list[tuple[str, Row]]:
        """The lowest accuracy known at each budget: what breaks at a smaller one breaks at a larger one too."""
        found: list[tuple[str, Row]] = []
        for eps in budgets:
            rows = [row for row in self._at(eps) if row.metric == "robust_accuracy"] + self._accuracies(eps)
            rows = [row for row in rows if self.clean is None or row.n == self.clean.n]
            rows += [row for _, row in found[-1:]]
            if rows:
                found.append((eps, min(rows, key=lambda row: row.value)))
        return found

    @property
    def doubts(self) -> list[Checked]:
        """Checks that are not PASS, the worst first, each once."""
        found = {(one.check, one.result.status, one.result.found): one for one in self.checks if one.result.status != "PASS"}
        return sorted(found.values(), key=lambda one: one.result.status != "FAIL")

    @property
    def suspicious(self) -> bool:
        """True if a check says that gradients may hide what other attacks find."""
        return any(one.check not in NOT_ABOUT_GRADIENTS for one in self.doubts)

    def _at(self, eps: str) -> list[Row]:
        return [row for row in self.rows if self._same(row, eps)]

    def _same(self, row: Row, eps: str) -> bool:
        given = row.threat.epsilon
        same = given is not None and as_float32(fraction(given)) == as_float32(fraction(eps))
        return same and row.threat.norm == self.norm

    def _accuracies(self, eps: str) -> list[Row]:
        return [row for row in self._at(eps) if row.metric == "accuracy" and row.kind == "adversarial"]


def figure(row: Row | None) -> dict[str, Any] | None:
    """A rate with its counts and its interval, as audit.json has it."""
    if row is None:
        return None
    found: dict[str, Any] = {"value": row.value, "k": row.k, "n": row.n, "low": row.low, "high": row.high}
    return found | ({"lowest": row.spread.min, "draws": row.spread.draws} if row.spread else {})


def conclusions(found: Findings, *, gradients: bool) -> list[str]:
    """The conclusions that the figures allow, and their limits."""
    told = []
    if (attacked := found.attacked) is not None:
        told.append(
            f"At {found.norm} {found.eps} the model is right on at most {attacked.value:.1%} of the {attacked.n} images under "
            "attack: the others were broken here. A stronger attack may break more."
        )
    if found.unproved:
        told.append(f"Nothing can be proved of this model: {found.unproved}.")
    elif (proved := found.proved) is not None and proved.k:
        told.append(
            f"It is right on at least {proved.value:.1%} of them, whatever an attacker does within this budget: this is proved."
        )
    else:
        told.append("At this budget no image is proved to be safe: what is not broken here may be broken by others.")
    if not gradients:
        read = [name for name, row in found.each if row.threat.access == "structure"]
        told.append(
            f"The model gives no gradients: {', '.join(read)} read its structure instead, beside attacks without gradients."
            if read
            else "The model gives no gradients, so only attacks without gradients ran. They are weaker: take care."
        )
    for status, meaning in MEANING.items():
        if names := dict.fromkeys(one.check for one in found.doubts if one.result.status == status):
            told.append(f"{status} ({', '.join(names)}): {meaning}")
    return told if found.doubts else [*told, "No trust check found a reason to doubt the attacks."]


def not_tried(norm: str) -> list[str]:
    """The attackers that an audit says nothing about."""
    return [
        f"other budgets and norms than {norm}: rotation, blur, weather, patches, objects",
        "attacks towards a chosen class, and images of other sources than this data set",
        "poisoned training data, stolen models, and attacks on the system around the model",
    ]

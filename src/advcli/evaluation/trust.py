"""How far a figure may be trusted: the checks of the sets that it was taken from, found beside its rows."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from advcli.evaluation.sets import Subject
from advcli.files.check_results import Result, of_document


@dataclass(frozen=True, slots=True)
class Checked:
    """One check's finding on a set, as it stands beside the figures of a model on it."""

    model: str
    set: str
    epsilon: str | None
    check: str
    result: Result

    @property
    def label(self) -> str:
        """What the threat model says of it."""
        return f"{self.result.status} {self.check}"

    def document(self) -> dict[str, Any]:
        """The entry of the JSON."""
        return {"model": self.model, "set": self.set, "epsilon": self.epsilon, **self.result.document(self.check)}


def stored(subject: Subject, model: str) -> Iterator[Checked]:
    """What the attack itself found, from the header of its set."""
    header = subject.header["of"] if subject.header["kind"] == "filtered" else subject.header
    for entry in header.get("checks", []):
        yield Checked(model, subject.name, None, *of_document(entry))


def labels(found: list[Checked]) -> tuple[str, ...]:
    """The findings that are not PASS, each once, in short."""
    return tuple(dict.fromkeys(one.label for one in found if one.result.status != "PASS"))

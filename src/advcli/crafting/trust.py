"""The checks of an attack command: of the model before the search, of the search after it; its set's header keeps them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from advcli.catalog import discovery
from advcli.catalog.registry import Spec
from advcli.errors import InputError, NoGradient
from advcli.evaluation.clean_accuracy import CleanAccuracy
from advcli.files.check_results import of_document
from advcli.files.header import Header
from advcli.images.dataset import Dataset
from advcli.networks import build
from advcli.networks.model_file import ModelFile
from advcli.networks.structure import OFFERS, structure_of
from advcli.numerics.arrays import Array
from advcli.runtime.reporter import Reporter
from advcli.search.observer import Search
from advcli.search.probe import Probe
from advcli.workspace.lookup import header_of

MADE_FOR = {"leaves": "a decision tree or a forest", "references": "a vote of nearest neighbours", "planes": "a linear model"}
MADE_BY = {"leaves": "tree", "references": "knn"}
OF_CLEAN = ("original", "labels", "clean_prediction")  # the columns that a set's clean accuracy needs


def model_checks(probe: Probe, access: str, own: Iterable[str] = ()) -> list[Header]:
    """The results of all model checks for attacks with this access; none if the attack does not query the model."""
    specs = _specs("model", access, own)
    forked = [probe.job.device] if probe.job.device.type == "cuda" else []
    with torch.random.fork_rng(devices=forked):  # a network may draw what nobody declared
        found = [(one.name, one.bind({})(probe)) for one in specs]
    return [result.document(name) for name, result in found if result is not None]


def search_checks(search: Search, access: str, own: Iterable[str] = ()) -> list[Header]:
    """The results of all checks of a finished search; none where no image stands."""
    found = [(one.name, one.bind({})(search)) for one in _specs("search", access, own)] if search.stands else []
    return [result.document(name) for name, result in found if result is not None]


def _specs(of: str, access: str, own: Iterable[str]) -> list[Spec]:
    specs = discovery.checks(("model", "search"), own)
    return [one for one in specs if one.traits.of == of and access in one.traits.access]


def refuse_what_no_function_gives(method: Spec, victim: ModelFile) -> None:
    """Refuse an attack that needs gradients, or scores where there are labels only; the function is not asked."""
    if victim.answers is None:
        return
    names = ", ".join(name for role, name in build.methods(victim.metadata) if role == "function")
    if method.traits.access == "gradient":
        square = "its scores with --method square, " * (victim.answers == "scores")
        raise NoGradient(
            f"{method.name}: {victim.path} gives no gradient: it asks {names}, a function that gives {victim.answers};\n"
            f"attack {square}its decisions with --method rays or hopskipjump, or a model\n"
            "trained on its labels with --method substitute"
        )
    if method.traits.access == "scores" and victim.answers == "labels" and not method.traits.labels_suffice:
        raise InputError(
            f"{method.name}: climbs scores, and {names} gives labels only, on which it would find nothing;\n"
            "attack its decisions with --method rays, hopskipjump or boundary, or a model\n"
            "trained on its labels with --method substitute"
        )


def refuse_other_structure(probe: Probe, method: Spec, model: str, *, defended: bool) -> None:
    """Refuse an attack that is made for models of one kind on any other."""
    needed = method.traits.structure
    if not needed or (probe.affine if needed == "planes" else isinstance(structure_of(probe.job.model), OFFERS[needed])):
        return
    around = "; its defenses are in the way: --static attacks it without them" * defended
    raise InputError(f"{method.name}: {model} is not {MADE_FOR[needed]}, which this attack is made for{around}")


def refuse_without_gradient(probe: Probe, method: str, model: str, *, defended: bool) -> None:
    """Refuse a gradient attack on a model without gradients: no image would change, and the model would look robust."""
    if why := probe.no_gradient:
        around = "; --static attacks the model without its defenses" * defended
        own = type(structure_of(probe.job.model))
        inside = next((f"its {name} with --method {MADE_BY[name]}, " for name in OFFERS if OFFERS[name] is own), "")
        raise NoGradient(
            f"{method}: {model} gives no gradient: {why};\n"
            f"attack {inside}its scores with --method square, its decisions with --method rays or hopskipjump, or a model\n"
            f"trained on its labels with --method substitute{around}"
        )


@dataclass(frozen=True, slots=True)
class Judged:
    """The file of a set, and the checks of it that fail: what `attack --strict` gives."""

    path: Path
    failed: tuple[str, ...]

    @classmethod
    def of(cls, path: Path) -> "Judged":
        found = map(of_document, header_of(path)[1].get("checks", []))
        return cls(path, tuple(f"FAIL {name}" for name, result in found if result.status == "FAIL"))

    @property
    def failures(self) -> list[str]:
        """The reason for exit code 1."""
        return [f"--strict: {', '.join(self.failed)}"] if self.failed else []

    @property
    def passed(self) -> bool:
        return not self.failed

    def document(self) -> dict[str, Any]:
        return {"path": str(self.path), "failed": list(self.failed), "passed": self.passed}

    def __str__(self) -> str:
        return str(self.path)

    def __fspath__(self) -> str:
        return str(self.path)


def say(checks: list[Header], reporter: Reporter) -> None:
    """Warn of every result that is not PASS."""
    for entry in checks:
        name, result = of_document(entry)
        if result.status != "PASS":
            reporter.warn(f"{result.status} {name}: {result.found}; {result.advice}")


def say_of_clean(columns: Mapping[str, Array], images: Dataset, reporter: Reporter) -> None:
    """Warn if the accuracy of the attacked model on clean images is chance, or looks like permuted classes."""
    if images.kind in ("adversarial", "filtered"):
        return
    _, once = np.unique(columns["original"], return_index=True)
    clean = CleanAccuracy.of(columns["labels"][once], columns["clean_prediction"][once], images.classes)
    if doubt := clean.doubt():
        reporter.warn(doubt)

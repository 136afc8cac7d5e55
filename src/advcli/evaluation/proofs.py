"""Proofs about a model's decisions on a set: bounds around its clean images, computed on demand."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from advcli.bounds.certify import certify, misread
from advcli.bounds.graph import Graph
from advcli.bounds.reading import read
from advcli.catalog.registry import Bound
from advcli.errors import AdvcliError, InputError
from advcli.evaluation.decisions import Bounds
from advcli.evaluation.sets import Subject
from advcli.networks.classifier import frozen
from advcli.networks.model_file import ModelFile
from advcli.numerics.arrays import Array
from advcli.numerics.balls import FREE
from advcli.numerics.quantities import BUDGETS, Budget, budgets, refuse_beyond
from advcli.runtime import devices
from advcli.runtime.reporter import Reporter

STEP = 64  # images from one tick of the progress to the next


@dataclass(frozen=True, slots=True)
class Place:
    """The rows of a set at one budget, and the requested budgets."""

    subject: Subject
    mask: Array
    labels: Array  # of all rows, in the model's classes
    budget: str | None
    eps: str | None

    @property
    def norm(self) -> str:
        """The set's norm, where it has one in which a ball can be drawn."""
        found = self.subject.header.get("norm")
        return "linf" if found is None or found in FREE else str(found)

    def budgets(self, norm: str) -> tuple[Budget, ...]:
        """--eps, or the set's own budget in its own norm, or the norm's default."""
        picture = self.subject.pictures(0, 1)[0]
        own = self.budget if norm == self.norm else None
        found = budgets(self.eps or own or BUDGETS[norm][picture.shape[0] == 3])
        refuse_beyond(norm, found, picture.numel())
        return found

    def clean(self, rows: Array) -> tuple[Array, Array]:
        """(the number of each distinct clean image of some rows, the row's position among these)."""
        if self.subject.file is None or "original" not in self.subject.file:
            return rows, np.arange(len(rows))
        number, place = np.unique(self.subject.file.column("original")[rows], return_inverse=True)
        return number, place

    def images(self, numbers: Array) -> Tensor:
        """The clean images of these numbers."""
        if self.subject.file is None or "original" not in self.subject.file:
            return torch.cat([self.subject.pictures(k, k + 1) for k in numbers.tolist()])
        return self.subject.originals(numbers)


def graph_of(model: ModelFile, module: nn.Module) -> Graph:
    """The model as a graph for bounds; InputError if it cannot be read."""
    try:
        return read(module)
    except InputError as error:
        raise InputError(f"{model.path}: verified: {error}") from None


def needs_bounds(metrics: Iterable[Bound]) -> bool:
    return any("bounds" in bound.spec.traits.needs for bound in metrics)


def bounds(model: ModelFile, module: nn.Module, graph: Graph, place: Place, reporter: Reporter) -> Bounds:
    """Lower bounds of the margin around the clean images of a set."""

    def prove(rows: Array, eps: float, norm: str, method: str, iterations: int) -> Array:
        numbers, which = place.clean(rows)
        labels = np.zeros(len(numbers), np.int64)
        labels[which] = place.labels[rows]
        starts, told = range(0, len(numbers), STEP), f"{method} bounds, {norm} {eps:g}"

        def some(start: int) -> tuple[Tensor, Tensor]:
            """The next images, whose logits lie within their bounds; and their labels."""
            part = slice(start, start + STEP)
            x = place.images(numbers[part]).to(graph.device)
            if misread(graph, module, x):
                raise AdvcliError(
                    f"{model.path}: the network's own logits lie outside the bounds at its images; the graph was read wrongly"
                )
            return x, torch.from_numpy(labels[part]).to(graph.device)

        @torch.no_grad()
        def proved(given: tuple[Tensor, Tensor]) -> Array:
            found: Array = certify(graph, *given, eps, norm, method, iterations).cpu().numpy()
            return found

        found = [np.zeros(0)]
        progress = reporter.progress(told, len(numbers), "images")
        with devices.threads(model.shape), frozen(module), progress as tick, torch.no_grad():
            for margins in devices.in_threads(proved, map(some, starts), graph.device):
                found.append(margins)
                tick(len(margins), "")
        return np.asarray(np.concatenate(found)[which])

    return Bounds(place.norm, place.budgets, np.flatnonzero(place.mask), prove)

"""Everybody who takes part in a cell, behind one face: attack the images from `start` to `stop`."""

import importlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

import advcli
from advcli.numerics.quantities import budgets
from benchmarks import ours
from benchmarks.cells import VERDICT, Cell
from benchmarks.subject import Subject

BATCH = 64
OURS = "advcli"
ADAPTERS = sorted(one.stem for one in (Path(__file__).parent / "peers").glob("*.py") if one.stem != "__init__")


@dataclass(frozen=True)
class Tool:
    """One row of a cell; `models` are what is asked, so that the questions can be counted."""

    name: str
    version: str
    models: Collection[nn.Module]
    run: Callable[[int, int], Tensor]  # -> (budgets, images, channels, height, width)
    batch: int = BATCH


def adapters() -> Iterator[tuple[str, ModuleType | ImportError]]:
    """The libraries, or why one cannot be imported."""
    for name in ADAPTERS:
        try:
            yield name, importlib.import_module(f"benchmarks.peers.{name}")
        except ImportError as error:
            yield name, error


def numbers(parameters: dict[str, Any], *, sweep: bool) -> dict[str, Any]:
    """The parameters as Python numbers, as the libraries take them."""
    found = dict(parameters)
    for name, value in parameters.items():
        if isinstance(value, str) and value[:1].isdigit():
            found[name] = [one.value for one in budgets(value)] if sweep else float(Fraction(value))
    return found


def tools(cell: Cell, subject: Subject) -> list[Tool]:
    """Ours first, then the peers that have the method."""
    models, run = ours.prepare(cell, subject)
    found = [Tool(OURS, advcli.__version__, models, run)]
    if cell.half:
        models, run = ours.prepare(cell, subject, half=True)
        found.append(Tool(f"{OURS}, bfloat16", advcli.__version__, models, run))
    for name, adapter in adapters():
        if isinstance(adapter, ImportError):
            print(f"  {name} left out: {adapter}")
        else:
            found += _peers(cell, subject, name, adapter)
    return found


def _peers(cell: Cell, subject: Subject, name: str, adapter: ModuleType) -> Iterator[Tool]:
    """A library's attack, and the loops around it that its file has."""
    sweep = cell.method == "fgsm_sweep"
    given = numbers({**cell.parameters, **cell.tuned.get(name, {})}, sweep=sweep)
    batch = getattr(adapter, "BATCH", {}).get(cell.method, BATCH)
    label, which = adapter.PACKAGE, version(adapter.PACKAGE)
    model = subject.module()
    checks = getattr(adapter, "CHECKS", False) or cell.question != VERDICT
    if hasattr(adapter, cell.method):
        run = getattr(adapter, cell.method)(model, **given)
        yield Tool(label, which, {model}, _on(subject, run if checks else _checked(model, run)), batch)
    elif sweep and hasattr(adapter, "fgsm"):
        yield Tool(label, which, {model}, _on(subject, _one_by_one(model, adapter, given["eps"], checks=checks)), batch)
    if cell.question == VERDICT:
        for chunk in getattr(adapter, "LOOPS", {}).get(cell.method, ()):
            run = getattr(adapter, f"{cell.method}_loop")(model, chunk, **given)
            yield Tool(f"{label}, loop of {chunk}", which, {model}, _on(subject, run), batch)


def _on(subject: Subject, run: Callable[[Tensor, Tensor], Tensor]) -> Callable[[int, int], Tensor]:
    def some(start: int, stop: int) -> Tensor:
        found = run(subject.x[start:stop].clone(), subject.y[start:stop].clone()).detach()
        return found if found.ndim > subject.x.ndim else found[None]

    return some


def _checked(model: nn.Module, run: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """A verdict needs one look at what came out."""

    def both(x: Tensor, y: Tensor) -> Tensor:
        found = run(x, y)
        with torch.no_grad():
            model(found).argmax(1).eq(y)
        return found

    return both


def _one_by_one(model: nn.Module, adapter: ModuleType, eps: list[float], *, checks: bool) -> Callable[[Tensor, Tensor], Tensor]:
    """A sweep with a library that has none: one attack for every budget but zero."""
    runs = [adapter.fgsm(model, eps=one) for one in eps if one]
    runs = runs if checks else [_checked(model, run) for run in runs]
    return lambda x, y: torch.stack([x] * (len(eps) - len(runs)) + [run(x, y) for run in runs])

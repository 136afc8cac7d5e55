"""Verdicts as figures show them: one line for each model and set, by budget, with names, looks, and the numbers of its CSV."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from advcli.catalog import discovery
from advcli.evaluation.decisions import AttackedVerdicts, Verdicts
from advcli.evaluation.drawing import shortened
from advcli.evaluation.line_styles import DASHES, MARKS, OKABE_ITO
from advcli.evaluation.rows import JudgedSet, Row
from advcli.evaluation.threat_model import ThreatModel
from advcli.numerics.quantities import fraction

LONGEST = 26  # characters of a name in a legend


@dataclass(frozen=True, slots=True)
class Line:
    """One model on one set, budget by budget."""

    name: str
    seen: Sequence[JudgedSet]

    @property
    def originals(self) -> JudgedSet | None:
        """The verdicts on the originals of the set, each once; None if a filter or nobody knows what these looked like."""
        first = self.seen[0]
        if first.subject.header["kind"] == "filtered" or not isinstance(first.rounds[0], AttackedVerdicts):
            return None
        rounds = [_on_originals(one) for one in first.rounds if isinstance(one, AttackedVerdicts)]
        threat = ThreatModel(pixels=first.threat.pixels, defenses=first.threat.defenses)
        return replace(first, rounds=rounds, budget=None, threat=threat, rounded=None)


@dataclass(frozen=True, slots=True)
class Look:
    """The looks of a line: a colour of Okabe and Ito's, a marker and a style, so that no two differ by colour alone."""

    colour: Any
    marker: str
    style: str


def lines(verdicts: Sequence[JudgedSet]) -> list[Line]:
    """One line for each model and set, in the order in which they were given; budgets from small to large."""
    found: dict[tuple[str, str], list[JudgedSet]] = {}
    for one in verdicts:
        found.setdefault((str(one.model.path), one.subject.name), []).append(one)
    models, sets = (short_names([key[k] for key in found]) for k in (0, 1))
    names = [" on ".join([models[a]] * (len(models) > 1) + [sets[b]] * (len(sets) > 1 or len(models) == 1)) for a, b in found]
    return [Line(name, sorted(seen, key=amount)) for name, seen in zip(names, found.values(), strict=True)]


def short_names(paths: Sequence[str], most: int = LONGEST) -> dict[str, str]:
    """Names of files without folder and extension, if they stay distinguishable; in one line, and not too long."""
    for form in (lambda path: Path(path).stem, str):
        names = {path: " ".join(form(path).split()) for path in paths}
        if len({shortened(name, most) for name in names.values()}) == len(names):
            return {path: shortened(name, most) for path, name in names.items()}
    return {path: f"{shortened(names[path], most - 4)} {k}" for k, path in enumerate(names, 1)}


def amount(seen: JudgedSet) -> float:
    """The budget as a number; infinite where there is none."""
    return math.inf if seen.budget is None else float(fraction(seen.budget))


def look(place: int) -> Look:
    """The looks of the line at some place of a legend."""
    return Look(OKABE_ITO[place % len(OKABE_ITO)], MARKS[place % len(MARKS)], DASHES[place % len(DASHES)])


def measured(seen: JudgedSet, metric: str, **options: object) -> list[Row]:
    """The figures of a metric, as `evaluate` has them."""
    bound = discovery.spec("metric", metric).bind(options)
    return list(seen.rows([bound])) if seen.applies(bound) else []


def about(seen: JudgedSet) -> dict[str, Any]:
    """The columns of a CSV that say what was judged."""
    line = seen.threat
    return {"model": str(seen.model.path), "set": seen.subject.name, "attack": line.attack or "none",
            "norm": line.norm or "none", "epsilon": seen.budget or ("0" if line.attack is None else "none")}  # fmt: skip


def numbers(row: Row) -> dict[str, Any]:
    """The columns of a CSV that hold a figure, its counts, its interval and its spread over draws; 0 of 0 is no number."""
    found: dict[str, Any] = {"value": math.nan if row.undefined else row.value, "n": row.n, "k": row.k}
    found |= {"low": row.low, "high": row.high}
    if "rows" in row.about:
        found |= {"rows": row.about["rows"], "hits": row.about["hits"]}
    if row.spread is not None:
        found |= {"draws": row.spread.draws, "draws_min": row.spread.min, "draws_max": row.spread.max}
    return found


def counted(verdicts: Sequence[JudgedSet]) -> str:
    """How many images were judged, for a title."""
    counts = sorted({one.rounds[0].images for one in verdicts})
    return "no images" if not counts else f"{_images(counts[0])}" if len(counts) == 1 else f"{counts[0]} to {_images(counts[-1])}"


def nothing(title: str, why: str = "no rows") -> Figure:
    """A picture that says that there is nothing to draw."""
    figure = Figure(figsize=(3.3, 1.6))
    figure.suptitle(title)
    axes = figure.subplots()
    axes.axis("off")
    axes.text(0.5, 0.5, why, ha="center", va="center", transform=axes.transAxes)
    return figure


def _images(count: int) -> str:
    return f"{count:,} image{'s' * (count != 1)}"


def _on_originals(verdicts: AttackedVerdicts) -> Verdicts:
    """The verdicts on the originals of some rows, each once."""
    _, first = np.unique(verdicts.original, return_index=True)
    return Verdicts(classes=verdicts.classes, labels=verdicts.labels[first], said=verdicts.before[first],
                    image=None if verdicts.image is None else verdicts.image[first], generated=False)  # fmt: skip

"""ROC curves of detectors: adversarial images found, against false alarms on their originals.

Positives are the attacked images that fool the classifier behind the detector, or all of them. The legend has the area under
each curve with its interval; markers are the points with at most 1 % and 5 % of false alarms.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from advcli.catalog.params import Param
from advcli.catalog.registry import figure
from advcli.errors import CommandError
from advcli.evaluation.decisions import AttackedVerdicts
from advcli.evaluation.detector_curve import corners, sides
from advcli.evaluation.drawing import COLOURS, Drawing
from advcli.evaluation.judged_lines import Look, about, lines, look, measured, nothing, numbers
from advcli.evaluation.rows import JudgedSet, Row
from advcli.numerics.arrays import Array

MOST_BARS = 3  # curves whose intervals can be told apart


@dataclass(frozen=True, slots=True)
class Detector:
    """The curves of a detector on one set at one budget, one for each draw of a random one, and its figures."""

    label: str
    look: Look
    curves: Sequence[Array]
    figures: dict[str, Row]

    @property
    def empty(self) -> bool:
        """True if there is nothing to detect, or nothing to raise a false alarm."""
        return self.figures["auc"].undefined


@figure(model="verdicts", needs=("score",))
def roc(
    verdicts: Sequence[JudgedSet],
    *,
    positives: Annotated[
        Literal["successful", "all"], Param("Images to detect: those that fool the classifier, or all attacked ones.")
    ] = "successful",
) -> Drawing:
    found: list[Detector] = []
    table: list[dict[str, Any]] = []
    chosen = [one for one in verdicts if isinstance(one.rounds[0], AttackedVerdicts) and one.rounds[0].said.score is not None]
    if not chosen:
        raise CommandError("--figure roc: needs a model with a reject option and a set that an attack made; none was given")
    every = lines(chosen)
    for line in every:
        colours = mpl.colormaps[COLOURS](np.linspace(0, 0.9, len(line.seen)))
        for k, seen in enumerate(line.seen):
            own = replace(look(k), colour=tuple(colours[k])) if len(every) == 1 and len(line.seen) > 1 else look(len(found))
            label = " ".join(filter(None, (line.name if len(every) > 1 else "", seen.budget or "")))
            one = _detector(seen, label or line.name, own, positives)
            found.append(one)
            table += _lines(seen, one, positives)
    words = "images that fool the classifier" if positives == "successful" else "all attacked images"
    title = f"Detection of {words}"
    drawn = [one for one in found if not one.empty]
    return Drawing(_drawn(title, drawn) if drawn else nothing(title, "nothing to detect"), table)


def _detector(seen: JudgedSet, label: str, own: Look, positives: str) -> Detector:
    figures = {row.metric: row for row in measured(seen, "roc") if row.about["positives"] == positives}
    curves = []
    for one in seen.rounds:
        if isinstance(one, AttackedVerdicts):
            both = sides(one.known())
            curves.append(corners(both.scores[both.positives[positives]], both.clean))
    return Detector(label, own, curves, figures)


def _lines(seen: JudgedSet, one: Detector, positives: str) -> list[dict[str, Any]]:
    """The rows of the CSV: the figures, then the corners of the curve, of the first draw."""
    start = about(seen) | {"positives": positives}
    told = [start | {"of": name, "negatives": row.about["negatives"]} | numbers(row) for name, row in one.figures.items()]
    curve, clean, rows = one.curves[0], one.figures["auc"].about["negatives"], one.curves[0][-1, 2]
    if one.empty:
        return told
    return told + [
        start | {"of": "curve", "negatives": clean, "above": bar, "false_alarms": false / clean, "value": true / rows}
        for bar, false, true in curve.tolist()
    ]


def _drawn(title: str, found: Sequence[Detector]) -> Figure:
    whole = Figure(figsize=(3.4, 3.5 + 0.17 * len(found)))
    whole.suptitle(title, fontsize=9)
    axes = whole.subplots()
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=0.8)
    for one in found:
        area, shares = one.figures["auc"], [_shares(each) for each in one.curves]
        label = f"{one.label}: AUC {area.value:.3f} ({area.low:.3f} to {area.high:.3f}), n={area.n}"
        for other in shares[1:]:
            axes.plot(*other.T, color=one.look.colour, linewidth=0.5, alpha=0.6)
        axes.plot(*shares[0].T, one.look.style, color=one.look.colour, linewidth=1.3, label=label)
        for name, limit in (("tpr@1%", 0.01), ("tpr@5%", 0.05)):
            row = one.figures[name]
            axes.plot(limit, row.value, one.look.marker, color=one.look.colour, markersize=3.5)
            if len(found) <= MOST_BARS:
                axes.vlines(
                    limit, row.low or 0.0, row.value if row.high is None else row.high, color=one.look.colour, linewidth=0.8
                )
    axes.set(xlim=(-0.01, 1), ylim=(0, 1.02), xlabel="false alarms, share of the originals", ylabel="detected, share of rows")
    axes.set_aspect("equal")
    whole.legend(loc="outside lower center", frameon=False, fontsize=7, handlelength=3)
    return whole


def _shares(curve: Array) -> Array:
    """False alarms and detections as shares."""
    found: Array = curve[:, 1:] / np.maximum(curve[-1, 1:], 1)
    return found

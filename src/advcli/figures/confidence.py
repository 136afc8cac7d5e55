"""The probability of the model's answer as box plots, budget by budget, beside that on the originals.

A box goes from quartile to quartile, with the median across it and a dot at the mean; whiskers go to the least and the largest
value. Rejected images are left out, since the model answers nothing about them. Beside the boxes the CSV has the accuracy.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from advcli.catalog.params import Param
from advcli.catalog.registry import figure
from advcli.evaluation.broken import turned
from advcli.evaluation.decisions import AttackedVerdicts
from advcli.evaluation.drawing import ONE, Drawing
from advcli.evaluation.judged_lines import Line, about, amount, counted, lines, measured, nothing, numbers
from advcli.evaluation.rows import JudgedSet, Row

PARTS = {"min": "confidence-min", "quartile_1": "confidence-quartile-1", "median": "confidence-median",
         "quartile_3": "confidence-quartile-3", "max": "confidence-max", "mean": "confidence"}  # fmt: skip
CLEAN = "#e69f00"
Box = dict[str, Any]


@figure(model="verdicts")
def confidence(
    verdicts: Sequence[JudgedSet],
    *,
    among: Annotated[Literal["all", "successes"], Param("Attacked images to show: all, or those that fooled the model.")] = "all",
) -> Drawing:
    panels = {line.name: _boxes(line, among) for line in lines(verdicts)}
    table = [box for boxes in panels.values() for box in boxes]
    words = "images that fool it" if among == "successes" else "attacked images"
    title = f"Confidence of {counted(verdicts)}: originals (filled) and {words}"
    drawn = {name: kept for name, boxes in panels.items() if (kept := [one for one in boxes if one["answered"]])}
    return Drawing(_drawn(title, drawn) if drawn else nothing(title), table)


def _boxes(line: Line, among: str) -> list[Box]:
    """The originals, unless the line has a budget of 0, and every budget."""
    clean = line.originals if amount(line.seen[0]) > 0 else None
    attacked = [_successes(one) for one in line.seen] if among == "successes" else line.seen
    return [_box(clean, "all"), *(_box(one, among) for one in attacked)] if clean else [_box(one, among) for one in attacked]


def _successes(seen: JudgedSet) -> JudgedSet:
    """The rows that the attack broke."""
    rounds = [one[turned(one)[0]] if isinstance(one, AttackedVerdicts) else one for one in seen.rounds]
    return replace(seen, rounds=rounds)


def _box(seen: JudgedSet, among: str) -> Box:
    """One row of the CSV: accuracy with its interval, and the quantiles of the confidence."""
    found = about(seen) | {"of": "originals" if seen.threat.attack is None else among}
    found |= {name: value for row in measured(seen, "accuracy") for name, value in numbers(row).items()} if among == "all" else {}
    rows = {row.metric: row for row in measured(seen, "confidence")}
    answered = rows["confidence"].n
    found |= {"answered": answered} | {name: _number(rows[metric], answered) for name, metric in PARTS.items()}
    if (spread := rows["confidence-median"].spread) is not None:
        found |= {"median_draws_min": spread.min, "median_draws_max": spread.max}
    return found


def _number(row: Row, answered: int) -> float:
    return row.value if answered else float("nan")


def _drawn(title: str, panels: dict[str, list[Box]]) -> Figure:
    across = 1 if len(panels) == 1 else 2
    down, most = -(-len(panels) // across), max(map(len, panels.values()))
    whole = Figure(figsize=(3.5 if across == 1 and most < 9 else 7.0, 2.3 * down + 0.5))
    whole.suptitle(title, fontsize=9)
    grid = list(whole.subplots(down, across, squeeze=False, sharey=True).flat)
    for axes, (name, boxes) in zip(grid, panels.items(), strict=False):
        _panel(axes, name, boxes)
    for axes in grid[len(panels) :]:
        axes.axis("off")
    return whole


def _panel(axes: Axes, name: str, boxes: list[Box]) -> None:
    """The boxes of one model on one set; beside each the range of its median over the draws of a random model."""
    stats = [{"med": one["median"], "q1": one["quartile_1"], "q3": one["quartile_3"], "whislo": one["min"], "whishi": one["max"],
              "mean": one["mean"], "fliers": []} for one in boxes]  # fmt: skip
    mean = {"marker": "o", "markersize": 3, "markerfacecolor": "black", "markeredgecolor": "black"}
    middle = {"color": "black", "linewidth": 1.4}
    drawn = axes.bxp(stats, showmeans=True, showfliers=False, patch_artist=True, widths=0.6, medianprops=middle, meanprops=mean)
    for patch, one in zip(drawn["boxes"], boxes, strict=True):
        patch.set(facecolor=CLEAN if one["of"] == "originals" or _zero(one) else "white", edgecolor=ONE, linewidth=0.8)
    for place, one in enumerate(boxes, 1):
        if "median_draws_min" in one:
            axes.vlines(place + 0.38, one["median_draws_min"], one["median_draws_max"], color="0.3", linewidth=1.5)
    texts = ["clean" if one["of"] == "originals" else one["epsilon"] for one in boxes]
    steep = len("".join(texts)) > 34
    axes.set_xticks(np.arange(1, len(boxes) + 1), texts, rotation=60 if steep else 0, ha="right" if steep else "center",
                    rotation_mode="anchor" if steep else None)  # fmt: skip
    norm = next((one["norm"] for one in boxes if one["norm"] != "none"), "")
    axes.set(title=name, ylim=(0, 1.03), ylabel="probability of the answer", xlabel=f"budget ({norm})" if norm else "")


def _zero(box: Box) -> bool:
    """True for a budget of nothing."""
    try:
        return float(box["epsilon"]) == 0
    except ValueError:
        return False

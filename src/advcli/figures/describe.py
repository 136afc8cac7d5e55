"""A model as a diagram, from the image to the logits, and as a table: every layer, its output for one image, its parameters.

A stack or a vote has one column for each of its models, with the defenses of each in their order. A large network is drawn by
its blocks; the table has all layers. `stored` counts numbers that are no parameters: those of trees and neighbours, of batch
norm, constants of a graph. The network is described as it was written; a function of the user's own is not asked.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from advcli.catalog import discovery
from advcli.catalog.registry import figure
from advcli.evaluation.captions import LONGEST, on_one_line
from advcli.evaluation.description import Branch, Defense, Description, Group, described, groups
from advcli.evaluation.drawing import Drawing
from advcli.evaluation.judge import Judge

MOST_BOXES = 14  # of one network
FILLS = {"filter": "#cfe3f1", "network": "#eeeeee", "decision": "#f7dcc0", "end": "white"}
WIDE, NARROW = 3.3, 1.08  # inches: a box of a single column, and of one of several
LINE = "0.3"
HEAD: dict[str, Any] = {"arrowstyle": "-|>", "color": LINE, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0}
TITLE = 0.5
TALL, GAP = 0.4, 0.17
MARGIN = 0.1


@dataclass(frozen=True, slots=True)
class Box:
    """Two lines and what they are."""

    kind: str
    first: str
    second: str = ""


@figure(sets="none", model="one")
def describe(model: Judge) -> Drawing:
    found = described(model.file)
    table = _table(found)
    shape = "x".join(map(str, model.file.shape))
    image = Box("end", "image", shape)
    logits = Box("end", "logits", f"{len(model.file.classes)} classes")
    arch = on_one_line(found.branches[0].arch if len(found.branches) == 1 else f"{len(found.branches)} networks", LONGEST - 10)
    title = f"{on_one_line(model.file.path.name, LONGEST - 10)}\n{arch}: {table[-1]['parameters']:,} parameters"
    return Drawing(_drawn(found, image, logits, title), table)


def _table(found: Description) -> list[dict[str, Any]]:
    """The rows of the CSV, and their sum."""
    rows = []
    for branch in found.branches:
        for one in branch.defenses:
            rows += _defense_rows(branch.name, one)
        rows += [{"branch": branch.name, **part} for part in branch.layers]
    for one in found.around:
        rows += _defense_rows("all", one)
    total = {name: sum(row[name] for row in rows) for name in ("parameters", "stored")}
    return [*rows, {"branch": "all", "layer": "total", "type": "", "output": "", **total}]


def _defense_rows(branch: str, one: Defense) -> list[dict[str, Any]]:
    options = ", ".join(f"{name}={value}" for name, value in one.options.items())
    head = {
        "branch": branch,
        "layer": one.name,
        "type": "defense",
        "output": "",
        "parameters": 0,
        "stored": 0,
        "options": options,
    }
    return [head, *({"branch": branch, **part} for part in one.learned)]


def _column(branch: Branch, *, alone: bool) -> list[Box]:
    """The boxes of a branch from the image downwards: filters, the network, what decides by it."""
    before = [_defense(one) for one in reversed(branch.defenses) if one.before]
    after = [_defense(one) for one in branch.defenses if not one.before]
    parameters = sum(part["parameters"] for part in branch.layers)
    whole = Box("network", branch.arch, f"{parameters:,} param." if parameters else _stored(branch))
    apart = alone and len(branch.layers) > 1
    return [*before, *([_group(one) for one in groups(branch, MOST_BOXES)] if apart else [whole]), *after]


def _stored(branch: Branch) -> str:
    stored = sum(part["stored"] for part in branch.layers)
    return f"{stored:,} stored numbers" if stored else "not looked into"


def _defense(one: Defense) -> Box:
    """A defense with the options that are not the usual ones, or the parameters that it has learned."""
    usual = {option.name: option.default for option in discovery.from_file("defense", one.name).options}
    other = [f"{name} {value}" for name, value in one.options.items() if value != usual.get(name)]
    parameters = sum(part["parameters"] for part in one.learned)
    told = [f"{parameters:,} param."] if parameters else []
    return Box("filter" if one.before else "decision", one.name, ", ".join([*told, *other]))


def _group(one: Group) -> Box:
    """The types of some layers, and what comes out of them."""
    kinds = ", ".join(f"{count} {kind}" if count > 1 else kind for kind, count in Counter(one.kinds).items())
    parameters = f"{one.parameters:,} param." if one.parameters else ""
    return Box("network", f"{one.name}: {kinds}", " · ".join(filter(None, (one.output, parameters))))


def _drawn(found: Description, image: Box, logits: Box, title: str) -> Figure:
    """Columns of boxes: what all branches share above and below, the branches side by side."""
    alone = len(found.branches) == 1
    columns = [_column(branch, alone=alone) for branch in found.branches]
    above = [image, *(_defense(one) for one in reversed(found.around) if one.before)]
    below = [*(_defense(one) for one in found.around if not one.before), logits]
    width, most, bend = WIDE if alone else NARROW, max(map(len, columns)), 0.0 if alone else GAP
    across = len(columns) * (width + MARGIN) + MARGIN
    height = (len(above) + most + len(below)) * (TALL + GAP) + MARGIN + 2 * bend
    whole = Figure(figsize=(max(across, WIDE + 2 * MARGIN), height + TITLE))
    whole.suptitle(title)
    axes = whole.subplots()
    axes.axis("off")
    axes.set(xlim=(0, across), ylim=(height, 0))
    centre, shared = across / 2, min(WIDE, across - 2 * MARGIN)
    y = _chain(axes, above, centre, MARGIN, shared) - GAP
    start = y + most * (TALL + GAP) + GAP + 2 * bend
    for k, boxes in enumerate(columns):
        x = MARGIN + k * (width + MARGIN) + width / 2
        top = y + GAP + bend + (most - len(boxes)) * (TALL + GAP)
        _arrow(axes, (centre, y), *(() if alone else ((centre, y + bend), (x, y + bend))), (x, top))
        end = _chain(axes, boxes, x, top, width) - GAP
        _arrow(axes, (x, end), *(() if alone else ((x, start - GAP), (centre, start - GAP))), (centre, start))
    _chain(axes, below, centre, start, shared)
    return whole


def _chain(axes: Axes, boxes: list[Box], x: float, y: float, width: float) -> float:
    """Boxes below each other, from y downwards, with arrows between them; returns where the next one would begin."""
    for k, one in enumerate(boxes):
        if k:
            _arrow(axes, (x, y - GAP), (x, y))
        corner, rounded = (x - width / 2 + 0.03, y + 0.03), "round,pad=0.03,rounding_size=0.05"
        frame = FancyBboxPatch(corner, width - 0.06, TALL - 0.06, boxstyle=rounded, fc=FILLS[one.kind], ec=LINE, lw=0.7)
        axes.add_patch(frame)
        lines = [on_one_line(text, int(width * 15)) for text in (one.first, one.second) if text]
        axes.text(x, y + TALL / 2, "\n".join(lines), ha="center", va="center", fontsize=7, linespacing=1.2)
        y += TALL + GAP
    return y


def _arrow(axes: Axes, *points: tuple[float, float]) -> None:
    """A line through some points, with a head at the last."""
    axes.plot(*zip(*points, strict=True), color=LINE, linewidth=0.8, solid_joinstyle="miter")
    axes.annotate("", points[-1], points[-2], arrowprops=HEAD)

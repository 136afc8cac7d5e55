"""The votes of a random model: how often it decides on each class, for an image (above) and its adversarial one (below).

The votes are those of dropout-vote, smoothing or average, or the decisions of another random model under --draws draws. The
table has the mean entropy -sum_k p_k log p_k (nats) of the votes over all rows too: images that barely cross the boundary have
a larger one than clean images, and those far beyond it have not.
"""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.special import entr

from advcli.catalog.params import Param
from advcli.catalog.registry import figure
from advcli.errors import CommandError
from advcli.evaluation.captions import heading, no_rows, on_one_line
from advcli.evaluation.drawing import ONE, Drawing
from advcli.evaluation.judge import Judge
from advcli.evaluation.selected_rows import SelectedRows
from advcli.evaluation.single_votes import classes_of, counter
from advcli.numerics.arrays import Array
from advcli.numerics.intervals import exact_interval

KINDS = {"originals": "original", "images": "adversarial"}
COLOURS = {"originals": ONE, "images": "#d55e00"}
MOST_BARS = 20  # classes; of more only those with votes are shown
WRITTEN = 12  # classes whose names are written side by side


@dataclass(frozen=True, slots=True)
class Chosen:
    """The shown row: its place among the selected ones, and its votes."""

    place: int
    counts: dict[str, Array]
    classes: list[str]


@figure(model="one", needs=("original",))
def votes(
    rows: SelectedRows,
    model: Judge,
    *,
    index: Annotated[
        int | None, Param("Index in its data set of the image that is shown. [default: that of the first row]", low=0, form="N")
    ] = None,
) -> Drawing:
    count, counted = counter(model)
    title = heading(f"Votes of {count} passes", rows, model.file.path.name, f"one of {len(rows):,} rows ({rows.rows})")
    if not len(rows):
        return Drawing(no_rows(title), [])
    place, entropy = _place(rows, index), {kind: np.zeros(len(rows)) for kind in KINDS}
    shown: dict[str, Array] = {}
    for part, pictures in rows.batches(*KINDS):
        ids = rows.column("index")[part]
        for kind in KINDS:
            found = counted(torch.from_numpy(pictures[kind]), ids)
            entropy[kind][part] = entr(found / count).sum(1)
            if part.start <= place < part.stop:
                shown[kind] = found[place - part.start]
    chosen = Chosen(place, shown, classes_of(model, shown["images"]))
    return Drawing(_drawn(rows, chosen, count, title), [*_entropies(rows, entropy, count), *_table(rows, chosen, count)])


def _place(rows: SelectedRows, index: int | None) -> int:
    """The place among the selected rows of the first one of an image."""
    known = rows.column("index")
    found = np.flatnonzero(known == (known[0] if index is None else index))
    if not len(found):
        some = ", ".join(map(str, np.unique(known)[:5]))
        raise CommandError(f"--index {index}: no selected row of {rows.opened.path} is of that image; there are {some}, ...")
    return int(found[0])


def _entropies(rows: SelectedRows, entropy: dict[str, Array], count: int) -> list[dict[str, Any]]:
    """The mean entropy of the votes, for every budget."""
    texts, numbers = rows.budgets
    return [
        {"of": "mean entropy", "image": name, "epsilon": text, "rows": int((numbers == k).sum()), "passes": count,
         "entropy": float(entropy[kind][numbers == k].mean())}
        for k, text in enumerate(texts)
        for kind, name in KINDS.items()
    ]  # fmt: skip


def _table(rows: SelectedRows, chosen: Chosen, count: int) -> list[dict[str, Any]]:
    """The votes of the shown image for every class."""
    texts, numbers = rows.budgets
    where = {"row": int(rows.places[chosen.place]), "index": int(rows.column("index")[chosen.place])}
    found = []
    for kind, name in KINDS.items():
        for votes_, word in zip(chosen.counts[kind].tolist(), chosen.classes, strict=True):
            low, high = exact_interval(votes_, count)
            found.append(
                {"of": "votes", "image": name, "epsilon": texts[numbers[chosen.place]], "passes": count, **where, "class": word,
                 "votes": votes_, "share": votes_ / count, "low": low, "high": high}
            )  # fmt: skip
    return found


def _drawn(rows: SelectedRows, chosen: Chosen, count: int, title: str) -> Figure:
    """Two bar charts on the same classes and the same scale."""
    columns, (texts, numbers) = bars(chosen), rows.budgets
    budget = texts[numbers[chosen.place]]
    label = rows.names("label", rows.places[[chosen.place]])[0]
    whole = Figure(figsize=(max(4.2, min(7.0, 0.3 * len(columns))), 3.9))
    whole.suptitle(f"{title}\nimage {rows.column('index')[chosen.place]}, class {on_one_line(label, 30)}")
    panels = whole.subplots(2, 1, sharex=True, sharey=True)
    for axes, (kind, name) in zip(panels, KINDS.items(), strict=True):
        _bars(axes, chosen.counts[kind][columns], COLOURS[kind])
        axes.set(title=f"{name}, budget {budget}" if kind == "images" and budget != "-" else name, ylabel="votes")
    names = [on_one_line(chosen.classes[k], 16) for k in columns]
    flat = len(names) <= WRITTEN and max(map(len, names)) <= 3
    panels[1].set_xticks(range(len(columns)), names, rotation=0 if flat else 90)
    left_out = len(chosen.classes) - len(columns)
    panels[1].set(ylim=(0, 1.12 * count), xlabel=f"class ({left_out} without a vote left out)" if left_out else "class")
    panels[1].yaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
    return whole


def bars(chosen: Chosen) -> list[int]:
    """The classes that are shown: all of few, and of many those with a vote."""
    if len(chosen.classes) <= MOST_BARS:
        return list(range(len(chosen.classes)))
    return [int(k) for k in np.flatnonzero(sum(chosen.counts.values()))]


def _bars(axes: Axes, counts: Array, colour: str) -> None:
    """Bars with their counts above; none where there is no vote."""
    (some,) = np.nonzero(counts)
    drawn = axes.bar(some, counts[some], color=colour, width=0.8)
    axes.bar_label(drawn, fontsize=7)
    axes.set_xlim(-0.6, len(counts) - 0.4)

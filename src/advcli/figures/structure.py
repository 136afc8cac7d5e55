"""The structure of perturbations: their spectrum, their share of low frequencies, how far they spread, whether they follow edges.

Several sets share one picture, such as the same attack on a plain and on a robust network; of each the spectrum under its largest
budget is drawn. White noise is the reference. Rows without a perturbation are left out; rows of one image are not taken for
independent ones. `advcli/evaluation/perturbation_structure.py` has the formulas.

Donoghue, Lines and Pereira, figure 8.
"""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from advcli.catalog.params import Param
from advcli.catalog.registry import figure
from advcli.evaluation.captions import WIDE, colours, heading, legend, no_rows, on_one_line
from advcli.evaluation.drawing import Drawing
from advcli.evaluation.line_styles import DASHES, MARKS, OKABE_ITO
from advcli.evaluation.perturbation_structure import MEASURES, Frequencies, structure_of
from advcli.evaluation.selected_rows import NONE, SelectedRows
from advcli.numerics.arrays import Array
from advcli.numerics.intervals import mean_interval
from advcli.numerics.moments import Moments
from advcli.numerics.quantities import fraction

TITLES = {
    "low": "share of the power\nat low frequencies",
    "centroid": "mean frequency\n(cycles per image)",
    "area": "area that changes\n(share of the image)",
    "spread": "distance from its centre\n(share of the diagonal)",
    "edges": "correlation with\nthe original's edges",
}
MOST_TICKS = 5


@dataclass(frozen=True)
class Found:
    """The structure of one set's perturbations."""

    rows: SelectedRows
    frequencies: Frequencies
    spectra: Array  # (budgets, rings) mean shares of the power
    lines: list[dict[str, Any]]  # of the CSV

    def measured(self, of: str) -> dict[str, dict[str, Any]]:
        """The lines of a measure that have rows, by budget."""
        return {line["epsilon"]: line for line in self.lines if line["of"] == of and line["n"]}


@figure(sets="all")
def structure(
    sets: list[SelectedRows],
    *,
    radius: Annotated[
        float | None,
        Param("Low are frequencies up to so many cycles per image. [default: an eighth of the smaller side]", low=0, high=1e6),
    ] = None,
) -> Drawing:
    found = [_found(rows, radius) for rows in sets]
    title = "Structure of perturbations"
    if known := [one for one in found if one.measured("low")]:
        picture = _drawn(known, title)
    else:
        picture = no_rows(heading(title, sets[0]) if len(sets) == 1 else title, "no perturbations")
    return Drawing(picture, [line for one in found for line in one.lines])


def _found(rows: SelectedRows, radius: float | None) -> Found:
    """One pass over the perturbations of a set."""
    texts, numbers = rows.budgets
    frequencies = Frequencies.of(rows.opened.shape[1:], radius)
    spectra, measures = Moments(len(texts) * frequencies.rings), {name: np.full(len(rows), np.nan) for name in MEASURES}
    kinds = ("perturbations",) if rows.opened.signed else ("perturbations", "originals")
    for part, pictures in rows.batches(*kinds):
        spectrum, found = structure_of(pictures["perturbations"], pictures.get("originals"), frequencies)
        there = np.isfinite(spectrum).all(1)
        ring = numbers[part][there, None] * frequencies.rings + np.arange(frequencies.rings)
        spectra.add(ring.ravel(), spectrum[there].ravel())
        for name, values in found.items():
            measures[name][part] = values
    lines = _spectrum_lines(rows, frequencies, spectra)
    lines += [_measure_line(rows, frequencies, name, values, k) for name, values in measures.items() for k in range(len(texts))]
    return Found(rows, frequencies, spectra.mean.reshape(len(texts), frequencies.rings), lines)


def _spectrum_lines(rows: SelectedRows, frequencies: Frequencies, spectra: Moments) -> list[dict[str, Any]]:
    """The rows of the CSV for the mean share of the power at each ring of frequencies."""
    columns, (white, _) = spectra.columns(), frequencies.white()
    return [
        {"set": rows.title, "epsilon": text, "rows": rows.rows, "of": "spectrum", "radius": ring, "n": int(columns["n"][place])}
        | ({"mean": float(columns["mean"][place]), "std": float(columns["std"][place])} if columns["n"][place] else {})
        | {"white_noise": float(white[ring])}
        for budget, text in enumerate(rows.budgets[0])
        for ring in range(frequencies.rings)
        for place in [budget * frequencies.rings + ring]
    ]


def _measure_line(rows: SelectedRows, frequencies: Frequencies, name: str, values: Array, budget: int) -> dict[str, Any]:
    """The row of the CSV for one measure under one budget."""
    texts, numbers = rows.budgets
    mine = (numbers == budget) & np.isfinite(values)
    line = {"set": rows.title, "epsilon": texts[budget], "rows": rows.rows, "of": name, "n": int(mine.sum())}
    line |= {"radius": frequencies.radius} if name == "low" else {}
    line |= {"white_noise": frequencies.white()[1].get(name)}
    if not mine.any():
        return line
    image = rows.column("index")[mine]
    low, high = mean_interval(values[mine], image) or (None, None)
    return line | {"images": len(np.unique(image)), "mean": float(values[mine].mean()), "std": float(values[mine].std()),
                   "low": low, "high": high}  # fmt: skip


def _drawn(found: list[Found], title: str) -> Figure:
    """The spectra, and every measure against the budget."""
    several = len(found) > 1
    names = [name for name in MEASURES if any(one.measured(name) for one in found)]
    whole = Figure(figsize=(WIDE, 4.6 if len(names) > 2 else 2.6))
    total = sum(len(one.rows) for one in found)
    told = f"{title}\n{len(found)} sets: {total:,} rows ({', '.join(dict.fromkeys(one.rows.rows for one in found))})"
    whole.suptitle(told if several else heading(title, found[0].rows))
    panels = list(whole.subplots(-(-(1 + len(names)) // 3), 3, squeeze=False).flat)
    for axes in panels[1 + len(names) :]:
        axes.axis("off")
    _spectra(panels[0], found)
    for axes, name in zip(panels[1:], names, strict=False):
        _measure(axes, found, name)
    if several:
        handles, _ = panels[0].get_legend_handles_labels()
        whole.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    else:
        legend(whole, found[0].rows)
    return whole


def _spectra(axes: Axes, found: list[Found]) -> None:
    """The mean power at each distance from frequency zero, divided by that of white noise."""
    several = len(found) > 1
    for place, one in enumerate(found):
        texts = one.rows.budgets[0]
        shades = [OKABE_ITO[place % len(OKABE_ITO)]] if several else colours(len(texts))
        chosen = range(len(texts))[-1:] if several else range(len(texts))
        for colour, k in zip(shades, chosen, strict=True):
            label = on_one_line(one.rows.title, 40)
            if texts[k] not in one.measured("low"):
                continue
            axes.plot(one.spectra[k] / one.frequencies.white()[0], DASHES[place % len(DASHES)], color=colour, linewidth=1.2,
                      marker=MARKS[place % len(MARKS)] if several else None, markersize=3, label=label)  # fmt: skip
    axes.axhline(1, color="0.6", linestyle=":", linewidth=0.8)
    swept = several and any(len(one.rows.budgets[0]) > 1 for one in found)
    axes.set(yscale="log", title="power, white noise = 1" + "\n(largest budget)" * swept, xlabel="cycles per image")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 30 * low else (1,)))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(lambda value, _: "")


def _measure(axes: Axes, found: list[Found], name: str) -> None:
    """The mean of a measure under each budget, with its interval."""
    budgets = sorted({text for one in found for text in one.measured(name)}, key=_size)
    for place, one in enumerate(found):
        known = one.measured(name)
        across = [budgets.index(text) + 0.12 * (place - (len(found) - 1) / 2) for text in known]
        mean = np.array([line["mean"] for line in known.values()])
        ends = np.array(
            [[line["mean"] if line[end] is None else line[end] for line in known.values()] for end in ("low", "high")]
        )
        axes.errorbar(across, mean, np.abs(ends - mean), color=OKABE_ITO[place % len(OKABE_ITO)],
                      linestyle=DASHES[place % len(DASHES)],
                      marker=MARKS[place % len(MARKS)], markersize=3.5, linewidth=1, capsize=2)  # fmt: skip
    for white in (one.frequencies.white()[1] for one in found if name in one.frequencies.white()[1]):
        axes.axhline(white[name], color="0.6", linestyle=":", linewidth=0.8)
    some = np.unique(np.linspace(0, len(budgets) - 1, MOST_TICKS).round().astype(int))
    axes.set_xticks(some, [budgets[k] for k in some])
    axes.set(title=TITLES[name], xlim=(-0.5, len(budgets) - 0.5), xlabel="" if budgets == [NONE] else "budget")


def _size(text: str) -> float:
    """The budget as a number; rows without one come last."""
    return float("inf") if text == NONE else float(fraction(text))

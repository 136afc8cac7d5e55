"""How the difference between clean and adversarial images grows through the layers of a network.

|a(x') - a(x)| / |a(x)| (l2) for the output a of every layer, and the cosine of a(x) and a(x'), from the image to the logits.
Both images go through the network in one pass, with the same draws. A layer that is passed several times counts as one; layers
that leave values as they are (dropout in evaluation, flattening) are left out.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from advcli.catalog.registry import figure
from advcli.evaluation.captions import WIDE, colours, heading, legend, no_rows, on_one_line
from advcli.evaluation.drawing import Drawing
from advcli.evaluation.judge import Judge
from advcli.evaluation.layer_differences import Sums, measured
from advcli.evaluation.selected_rows import SelectedRows
from advcli.numerics.arrays import Array

BANDS = 3  # budgets whose quartiles can be told apart
MOST_TICKS = 60
QUARTILES = (0.25, 0.5, 0.75)


@figure(model="one", needs=("original",))
def activations(rows: SelectedRows, model: Judge) -> Drawing:
    title = heading("Clean against adversarial activations", rows, model.file.path.name)
    if not len(rows):
        return Drawing(no_rows(title), [])
    layers = measured(rows, model)
    texts, numbers = rows.budgets
    table = [
        {"number": number, "layer": name, "type": one.kind, "epsilon": text} | _of_rows(one, numbers == k)
        for k, text in enumerate(texts)
        for number, (name, one) in enumerate(layers.items())
    ]
    return Drawing(_drawn(table, captions(layers), rows, title), table)


def _of_rows(one: Sums, here: Array) -> dict[str, Any]:
    """Medians and quartiles over some rows; rows whose clean activations are all zero have no ratio."""
    relative, cosine = one.relative[here], one.cosine[here]
    low, middle, high = _quantiles(relative)
    return {
        "rows": int(here.sum()),
        "undefined": int(np.isnan(relative).sum()),
        "difference": float(np.median(one.difference[here])),
        "relative": middle,
        "lower quartile": low,
        "upper quartile": high,
        "cosine": _quantiles(cosine)[1],
        "cosine lower quartile": _quantiles(cosine)[0],
        "cosine upper quartile": _quantiles(cosine)[2],
    }


def _quantiles(values: Array) -> tuple[float, float, float]:
    known = values[~np.isnan(values)]
    low, middle, high = np.quantile(known, QUARTILES) if len(known) else (np.nan,) * 3
    return float(low), float(middle), float(high)


def _drawn(table: list[dict[str, Any]], names: list[str], rows: SelectedRows, title: str) -> Figure:
    whole = Figure(figsize=(WIDE, 3.5 + 0.05 * max(map(len, names))))
    whole.suptitle(f"{title}\nmedian{' and quartiles' if len(rows.budgets[0]) <= BANDS else ''} over the rows")
    upper, lower = whole.subplots(2, 1, sharex=True)
    _lines(upper, table, rows, ("relative", "lower quartile", "upper quartile"))
    _lines(lower, table, rows, ("cosine", "cosine lower quartile", "cosine upper quartile"))
    upper.set(ylabel="|a(x′) − a(x)| / |a(x)|", ylim=(0, None))
    lower.set(ylabel="cosine of a(x), a(x′)", xlabel="layer", xlim=(-0.5, len(names) - 0.5))
    some = np.unique(np.linspace(0, len(names) - 1, MOST_TICKS).round().astype(int))
    lower.set_xticks(some, [names[k] for k in some], rotation=90, fontsize=6 if len(names) > MOST_TICKS / 2 else 8)
    legend(whole, rows)
    return whole


def _lines(axes: Axes, table: list[dict[str, Any]], rows: SelectedRows, named: tuple[str, str, str]) -> None:
    """One line for each budget."""
    texts, _ = rows.budgets
    for text, colour in zip(texts, colours(len(texts)), strict=True):
        mine = [row for row in table if row["epsilon"] == text]
        places = [row["number"] for row in mine]
        middle, low, high = ([row[name] for row in mine] for name in named)
        axes.plot(places, middle, color=colour, linewidth=1, marker="o", markersize=3)
        if len(texts) <= BANDS:
            axes.fill_between(places, low, high, color=colour, alpha=0.2, linewidth=0)


def captions(layers: dict[str, Sums]) -> list[str]:
    """The names of layers without the beginning that all share; beside a mere number the type of the layer."""
    parts = {name: name.split(".") for name, one in layers.items() if one.kind}
    same = 0
    while parts and all(len(one) > same + 1 for one in parts.values()) and len({one[same] for one in parts.values()}) == 1:
        same += 1
    words = {name: ".".join(one[same:]) + (f" {layers[name].kind}" if one[-1].isdecimal() else "") for name, one in parts.items()}
    return [on_one_line(words.get(name, name), 26) for name in layers]

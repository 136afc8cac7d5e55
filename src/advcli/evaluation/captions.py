"""What figures have in common: the heading, the empty picture, one colour for each budget, and the legend of budgets."""

import textwrap
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from advcli.evaluation.drawing import COLOURS, ONE, shortened
from advcli.evaluation.outcomes import attack_of
from advcli.evaluation.selected_rows import SelectedRows

WIDE = 7.0  # inches: two columns of a paper
MOST_NAMED = 14  # budgets in the legend
LONGEST = 50  # characters of a file's name


def heading(what: str, rows: SelectedRows, model: str | None = None, count: str | None = None) -> str:
    """The title of a figure: what is shown, of which model if any, of how many rows, and which."""
    shown = f"{len(rows):,} rows ({rows.rows})" if count is None else count
    most, start = (LONGEST, "") if model is None else (LONGEST - 10, f"{on_one_line(model, LONGEST - 10)} on ")
    return f"{what}\n{start}{on_one_line(rows.title, most)}: {shown}"


def on_one_line(name: str, most: int = 14) -> str:
    """A name that fits into a caption, without line breaks."""
    return shortened(" ".join(name.split()), most)


def wrapped(text: str, most: int) -> str:
    """The text with every line broken at words where it is longer than `most` characters."""
    return "\n".join(textwrap.fill(line, most) for line in text.split("\n"))


def no_rows(title: str, words: str = "no rows") -> Figure:
    """The picture of a selection that has nothing to show."""
    empty = Figure(figsize=(WIDE, 1.5))
    empty.suptitle(title)
    axes = empty.subplots()
    axes.axis("off")
    axes.text(0.5, 0.5, words, ha="center", va="center", color="0.4")
    return empty


def colours(count: int) -> list[Any]:
    """One colour for each budget, told apart by lightness."""
    return list(mpl.colormaps[COLOURS](np.linspace(0, 0.9, count))) if count > 1 else [ONE]


def legend(whole: Figure, rows: SelectedRows) -> None:
    """The budgets by their colours, where there are several; of many only some are named."""
    texts, _ = rows.budgets
    if len(texts) < 2:
        return
    some = np.unique(np.linspace(0, len(texts) - 1, MOST_NAMED).round().astype(int))
    shades = colours(len(texts))
    handles = [mpl.lines.Line2D([], [], color=shades[k], label=texts[k]) for k in some]
    made, among = attack_of(rows.opened.header), "" if len(some) == len(texts) else f"\nsome of {len(texts)}"
    title = (f"budget ({made['norm']})" if made else "budget") + among
    whole.legend(handles=handles, title=title, loc="outside right upper", frameon=False)

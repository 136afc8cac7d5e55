"""The result of a figure, and its rendering to a file: equal content gives equal bytes on any machine.

A `matplotlibrc` in the current folder or in the user's home is ignored, and names of classes are text, never formulas.
"""

import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from advcli.errors import CommandError

STYLE: Any = {
    "figure.dpi": 120,
    "savefig.dpi": 240,  # legible at twice the size
    "figure.constrained_layout.use": True,
    "font.size": 8,
    "axes.titlesize": 9,
    "figure.titlesize": 10,
    "text.parse_math": False,  # a logarithmic axis then needs a formatter of its own
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "advcli",  # names inside the file do not change from run to run
    "svg.fonttype": "none",  # text stays text
    "pdf.fonttype": 42,  # fonts that printers of papers accept
}
NO_DATES: dict[str, Any] = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None, "ModDate": None}}
COLOURS = "viridis"  # of what has an order, such as budgets: told apart by lightness alone
ONE = "#33658a"


@dataclass(frozen=True)
class Drawing:
    """A figure and the numbers under it, which become the rows of its CSV."""

    figure: Figure
    rows: list[dict[str, Any]]


@contextmanager
def style() -> Iterator[None]:
    """Matplotlib's own defaults and ours, whatever files or a notebook have set; earlier settings are restored afterwards."""
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # a box is drawn in its place
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield


def drawn(draw: Callable[[], Any], name: str, formats: Sequence[str] = ("png",)) -> tuple[dict[str, bytes], list[dict[str, Any]]]:
    """A figure as files of some formats, and the rows of its CSV."""
    with style():
        found = draw()
        if not isinstance(found, Drawing):
            raise CommandError(f"{name}: returned {type(found).__name__}, expected a Drawing")
        return {one: _saved(found.figure, one) for one in formats}, found.rows


def _saved(figure: Figure, form: str) -> bytes:
    """The bytes of a file of a figure, without the time at which it was made."""
    data = io.BytesIO()
    figure.savefig(data, format=form, metadata=NO_DATES[form])
    return data.getvalue()


def shortened(name: str, most: int = 14) -> str:
    """A name that fits into a caption."""
    return name if len(name) <= most else name[: most - 1] + "…"

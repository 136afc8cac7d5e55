"""Columns of text, aligned by spaces and fitted to a width.

If a table is wider than the terminal, values that many of its lines share become a heading above them, as few as are needed;
then long texts are shortened in the middle.
"""

import shutil
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from advcli.evaluation.cells import middle_cut

Line = dict[str, str]  # a column's title -> a cell, of one line or several
HEADINGS = (("model", "against"), ("model", "against", "threat model"), ("model", "against", "set", "threat model"))
KEYS = ("model", "against", "set", "threat model", "eps", "epsilon", "label", "target", "prediction", "metric", "rows", "of")
CODES = ("eps", "epsilon", "label", "target", "prediction")  # columns whose cells need their title in a heading
NARROWEST = 40  # columns that a table needs
READABLE, LEAST = 24, 12  # characters that a shortened text keeps, if it can, and anyway


def columns_of(otherwise: int) -> int:
    """Columns of the terminal, or of COLUMNS; another number if neither is known."""
    return max(NARROWEST, shutil.get_terminal_size((otherwise, 24)).columns)


def table(lines: Sequence[Line]) -> str:
    """Columns aligned by spaces; numbers to the right. Columns without any value are left out."""
    if not lines:
        return "(no rows)"
    head, *blocks = blocks_of(lines)
    return "\n".join([*head, *(line for block in blocks for line in block)])


def blocks_of(lines: Sequence[Line], leave_out: Iterable[str] = ()) -> list[list[str]]:
    """The head of a table and each of its rows, as lines of text."""
    names = [name for name in lines[0] if name not in leave_out and any(line.get(name) for line in lines)]
    cells = [{name: name.split("\n") for name in names}] + [{n: line.get(n, "").split("\n") for n in names} for line in lines]
    widths = {name: max(len(text) for row in cells for text in row[name]) for name in names}
    right = {name for name in names if _numbers(lines, name)}
    blocks = []
    for row in cells:
        height = max((len(row[name]) for name in names), default=0)
        padded = {name: [*row[name], *[""] * (height - len(row[name]))] for name in names}
        blocks.append([
            "  ".join(padded[n][k].rjust(widths[n]) if n in right else padded[n][k].ljust(widths[n]) for n in names).rstrip()
            for k in range(height)
        ])  # fmt: skip
    return blocks


def _numbers(lines: Sequence[Line], name: str) -> bool:
    """True if all cells of a column are numbers."""
    return all(_numeric(text) for line in lines for text in line.get(name, "").split("\n"))


def _numeric(text: str) -> bool:
    return not text or text[0] in "-+.0123456789*" or text in ("nan", "n=0")


def widest(text: str) -> int:
    return max(map(len, text.splitlines()), default=0)


def fitted(lines: Sequence[Line], width: int) -> str:
    """A table no wider than the terminal."""
    text = table(lines)
    if not lines or widest(text) <= width:
        return text
    few, more, most = HEADINGS
    for shared, given in ((few, lines), (more, lines), (more, shortened(lines, more, width - 2, READABLE)), (most, lines)):
        text = _under_headings(given, shared, width)
        if widest(text) <= width:
            return text
    return "\n\n".join(_pieces(shortened(lines, most, width - 2, LEAST), width))


def _pieces(lines: Sequence[Line], width: int) -> Iterator[str]:
    """The columns in several tables, each with the columns that distinguish its lines."""
    keys = [name for name in lines[0] if name in KEYS]
    left = [name for name in lines[0] if name not in KEYS and any(line.get(name) for line in lines)]

    def piece(some: Sequence[str], shared: Iterable[str]) -> str:
        return _under_headings([{k: v for k, v in line.items() if k in (*keys, *some)} for line in lines], shared, width)

    inner = [name for name in keys if name not in HEADINGS[-1]]
    shared: tuple[str, ...] = HEADINGS[-1]
    while len(inner) > 1 and any(widest(piece([name], shared)) > width for name in left):
        shared = (*shared, inner.pop(0))
    while left:
        count = len(left)
        while count > 1 and widest(piece(left[:count], shared)) > width:
            count -= 1
        yield piece(left[:count], shared)
        left = left[count:]


def _under_headings(lines: Sequence[Line], shared: Iterable[str], width: int) -> str:
    """A table whose lines are grouped under their shared values, with the lines before and after them."""
    shared = [name for name in shared if name in lines[0]]
    head, *blocks = blocks_of(lines, shared)
    found, last = [f"  {line}" for line in head], None
    for line, block in zip(lines, blocks, strict=True):
        if (heading := tuple(line[name] for name in shared)) != last:
            last = heading
            words = [f"{name} {word}" if name in CODES else word for name, word in zip(shared, heading, strict=True) if word]
            found += wrapped(" | ".join(words), width)
        found += [f"  {text}" for text in block]
    return "\n".join(found)


def definitions(entries: Sequence[tuple[str, Sequence[str]]], width: int, indent: str = "  ") -> str:
    """Names and their descriptions beside them, in lines that fit; below the name if there is little room."""
    column = len(indent) + max((len(name) for name, _ in entries), default=0) + 2
    below = width - column < READABLE
    margin = indent * 2 if below else " " * column
    found: list[str] = []
    for name, texts in entries:
        lines = [line for text in texts if text for line in textwrap.wrap(text, width - len(margin), break_on_hyphens=False)]
        head = f"{indent}{name}"
        first = [head] if below or not lines else [f"{head:{column}}{lines.pop(0)}"]
        found += [*first, *(margin + line for line in lines)]
    return "\n".join(found)


def wrapped(text: str, width: int) -> list[str]:
    """A text in lines; names are not broken at their hyphens."""
    return textwrap.wrap(text, width, subsequent_indent="    ", break_on_hyphens=False)


def shortened(lines: Sequence[Line], leave_out: Iterable[str], width: int, least: int) -> list[Line]:
    """The lines with the longest texts cut in the middle until they fit, if they stay distinguishable."""
    names = [name for name in lines[0] if name not in leave_out and any(line.get(name) for line in lines)]
    widths = {name: max(len(text) for line in lines for text in [name, *line.get(name, "").split("\n")]) for name in names}
    texts = [name for name in names if not _numbers(lines, name)]
    excess = sum(widths.values()) + 2 * (len(names) - 1) - width
    while excess > 0 and (long := [name for name in texts if widths[name] > least]):
        name = max(long, key=lambda one: widths[one])
        widths[name], excess = widths[name] - 1, excess - 1
    found = [{**line, **{name: _cut(line.get(name, ""), widths[name]) for name in texts}} for line in lines]
    apart = all(len({one.get(name, "") for one in lines}) == len({one[name] for one in found}) for name in texts)
    return found if apart or least < READABLE else list(lines)


def _cut(cell: str, most: int) -> str:
    return "\n".join(middle_cut(text, most) for text in cell.split("\n"))

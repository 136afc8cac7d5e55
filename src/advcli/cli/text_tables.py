"""Columns of text: aligned by spaces, and fitted to a width.

Where a table would be wider than the terminal, what many of its lines share becomes a heading above them.
"""

import textwrap
from collections.abc import Iterable, Sequence

Line = dict[str, str]  # a column's title -> a cell, of one line or several
SHARED = ("model", "against", "set", "threat model")  # what may become a heading


def table(lines: Sequence[Line]) -> str:
    """Columns aligned by spaces; numbers to the right. Columns that are empty throughout are left out."""
    if not lines:
        return "(no rows)"
    head, *blocks = blocks_of(lines)
    return "\n".join([*head, *(line for block in blocks for line in block)])


def blocks_of(lines: Sequence[Line], leave_out: Iterable[str] = ()) -> list[list[str]]:
    """The head of a table and each of its rows, as lines of text."""
    names = [name for name in lines[0] if name not in leave_out and any(line.get(name) for line in lines)]
    cells = [{name: name.split("\n") for name in names}] + [{n: line.get(n, "").split("\n") for n in names} for line in lines]
    widths = {name: max(len(text) for row in cells for text in row[name]) for name in names}
    right = {name for name in names if all(_numeric(text) for row in cells[1:] for text in row[name])}
    blocks = []
    for row in cells:
        height = max((len(row[name]) for name in names), default=0)
        padded = {name: [*row[name], *[""] * (height - len(row[name]))] for name in names}
        blocks.append([
            "  ".join(padded[n][k].rjust(widths[n]) if n in right else padded[n][k].ljust(widths[n]) for n in names).rstrip()
            for k in range(height)
        ])  # fmt: skip
    return blocks


def _numeric(text: str) -> bool:
    return not text or text[0] in "-+.0123456789*" or text in ("nan", "n=0")


def widest(text: str) -> int:
    return max(map(len, text.splitlines()), default=0)


def fitted(lines: Sequence[Line], width: int | None) -> str:
    """A table, with headings for what its lines share where it would be too wide without."""
    text = table(lines)
    if width is None or not lines or widest(text) <= width:
        return text
    shared = [name for name in SHARED if name in lines[0]]
    head, *blocks = blocks_of(lines, shared)
    found, last = [f"  {line}" for line in head], None
    for line, block in zip(lines, blocks, strict=True):
        if (heading := tuple(line[name] for name in shared)) != last:
            last = heading
            who, *what = [word for word in heading if word]
            found += textwrap.wrap(" | ".join([who, *what]), width, subsequent_indent="    ")
        found += [f"  {text}" for text in block]
    return "\n".join(found)

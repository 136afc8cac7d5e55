"""The matrix of `--metric transfer`: the share of each model's images that each set breaks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from advcli.cli.rows_together import together
from advcli.cli.text_tables import Line, table, widest
from advcli.evaluation import cells
from advcli.evaluation.cells import middle_cut

if TYPE_CHECKING:  # the help must not wait for torch
    from advcli.evaluation.rows import Row

TITLE = (
    "transfer: of the images that a model (across) has right, the share that the set (down) has it get wrong; "
    "linf and l2: mean distance to the original; *: the set was made against this model"
)


def transfer_table(rows: Sequence[Row], width: int) -> str:
    """The matrix of sources (sets) and targets (models), in several pieces where it is too wide."""
    sources = _sources(rows)
    targets = list(dict.fromkeys(row.model for row in rows))
    short = _shortened(targets)
    flat = table(_matrix(sources, targets, short, "{value} {count} ({interval}){draws}".format, "  ", width))
    if widest(flat) <= width:
        return flat
    bodies, left = [], targets
    while left:
        take = len(left)
        while take > 1 and widest(_tall(sources, left[:take], short, width)) > width:
            take -= 1
        bodies.append(_tall(sources, left[:take], short, width))
        left = left[take:]
    return "\n\n".join(bodies)


def _tall(sources: Sequence[list[list[Row]]], targets: Sequence[str], short: dict[str, str], width: int) -> str:
    return table(_matrix(sources, targets, short, "{value}\n{count}\n{interval}{draws}".format, "\n", width // 2))


def _sources(rows: Sequence[Row]) -> list[list[list[Row]]]:
    """The rows of each set and budget; sets of one budget together, unless every set has a budget of its own."""
    sets = list(together(rows, ("set", "epsilon")))
    alone = len({row.set for row in rows}) == len({(row.set, row.epsilon) for row in rows})
    found: dict[tuple[str, str], list[list[Row]]] = {}
    for group in sets:
        found.setdefault((cells.rounded(group[0]), "" if alone else cells.budget(group[0])), []).append(group)
    return list(found.values())


def _matrix(
    sources: Sequence[list[list[Row]]],
    targets: Sequence[str],
    short: dict[str, str],
    form: Callable[..., str],
    gap: str,
    most: int,
) -> list[Line]:
    """A line for each source and, below, the mean over the sources that are not the model itself."""
    lines = []
    for same_budget in sources:
        for group in same_budget:
            one = group[0]
            label = [
                f"{middle_cut(one.set, most)} {cells.budget(one)}".strip() + cells.rounded(one),
                f"linf {one.about['linf']:.3g}",
                f"l2 {one.about['l2']:.3g}",
            ]
            lines.append({"set": gap.join(label), **{short[r.model]: _cell(r, form) for r in group if r.model in targets}})
        others = [row for group in same_budget for row in group if not _own(row) and not row.undefined]
        values = {name: [row.value for row in others if row.model == name] for name in targets}
        means = {short[name]: f"{sum(each) / len(each):.1%}" for name, each in values.items() if each}
        lines += [{"set": gap.join(["mean of", "the others"]).replace("  ", " "), **means}] if len(same_budget) > 1 else []
    return lines


def _own(row: Row) -> bool:
    return row.threat.knowledge in ("adaptive", "white-box")


def _cell(row: Row, form: Callable[..., str]) -> str:
    if row.undefined:
        return "n=0"
    draws = f" {text}" if (text := cells.short_draws(row)) else ""
    return form(
        value=f"{'*' * _own(row)}{row.value:.1%}", count=cells.count(row), interval=cells.short_interval(row), draws=draws
    )


def _shortened(names: Sequence[str]) -> dict[str, str]:
    """File names without folder and extension, if they stay distinguishable."""
    short = {name: Path(name).stem for name in names}
    return short if len(set(short.values())) == len(names) else {name: name for name in names}

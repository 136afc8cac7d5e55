"""The results of one paper's scripts, and what they show of a row of the catalogue."""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

PAPERS = Path(__file__).parent
NAMES = ("wang_kunin_pyron", "donoghue_lines_pereira", "possas", "alzantot_chakraborty_srivastava", "wang_zhang")  # S0 to S4
Line = dict[str, str]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a full run shows: the paper's claim holds, holds in direction only, or does not; then `why` says more."""

    verdict: Literal["reproduced", "in direction only", "not reproduced"]
    ours: str
    why: str = ""


def seen(*ours: str, holds: bool, direction: bool = False, why: str = "") -> Seen:
    """What was found, with the verdict: the criterion holds, the direction at least, or neither."""
    return Seen("reproduced" if holds else "in direction only" if direction else "not reproduced", "; ".join(ours), why)


@dataclass(frozen=True, slots=True)
class Results:
    """The CSV files of one paper's scripts."""

    folder: Path

    def lines(self, name: str, **wanted: str) -> list[Line]:
        """The lines of NAME.csv with these cells."""
        with (self.folder / f"{name}.csv").open(newline="") as file:
            return [one for one in csv.DictReader(file) if all(one[key] == value for key, value in wanted.items())]

    def number(self, name: str, column: str, **wanted: str) -> float:
        """A cell of the only line of NAME.csv with these cells."""
        found = self.lines(name, **wanted)
        if len(found) != 1:
            raise LookupError(f"{self.folder / name}.csv: {len(found)} lines have {wanted}, expected one")
        return float(found[0][column])


Judgement = Callable[[Results], Seen]


@dataclass(frozen=True, slots=True)
class Shown:
    """A row of the catalogue, the script whose results show it, and what the paper says."""

    row: str
    script: str
    paper: str
    judgement: Judgement


ROWS: dict[str, list[Shown]] = {}  # by the name of the module that judges them


def shows(row: str, *, by: str, paper: str) -> Callable[[Judgement], Judgement]:
    """Register the function below as what judges a row by the results of a script."""

    def keep(judgement: Judgement) -> Judgement:
        ROWS.setdefault(judgement.__module__, []).append(Shown(row, by, paper, judgement))
        return judgement

    return keep

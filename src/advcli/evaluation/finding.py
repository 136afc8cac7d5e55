"""The result of `verify` for one file: what was checked, what is wrong, and what could not be checked."""

from dataclasses import dataclass, field
from typing import Any

BATCH = 512  # rows that a check reads at a time
MOST = 1000  # faults that are kept


@dataclass(slots=True)
class Finding:
    """The checks of one file; `ties` counts predictions that are too close to decide."""

    path: str
    checked: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    ties: int = 0

    def document(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "checked": self.checked,
            "wrong": self.wrong,
            "unchecked": self.unchecked,
            "ties": self.ties,
        }

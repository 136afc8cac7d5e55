"""The estimated cost of a run: the result of `--dry-run`."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Estimate:
    """Rows, bytes and seconds; `at_least` if the measurement was ended before its first images were done."""

    rows: int
    bytes: int
    seconds: float
    at_least: bool = False

    def document(self) -> dict[str, Any]:
        return asdict(self)

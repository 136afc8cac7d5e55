"""The estimated cost of a run: the result of `--dry-run`."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Estimate:
    """Rows, bytes and seconds."""

    rows: int
    bytes: int
    seconds: float

    def document(self) -> dict[str, Any]:
        return asdict(self)

"""The result of a trust check: PASS, WARN or FAIL, a figure and its threshold, the cause, and advice."""

from dataclasses import asdict, dataclass, fields
from math import isfinite
from typing import Any, Literal

from advcli.files.header import Header

Status = Literal["PASS", "WARN", "FAIL"]
WORST_FIRST: tuple[Status, ...] = ("FAIL", "WARN", "PASS")
MOST, LONGEST = 1000, 2000  # results in a header, characters of a text


@dataclass(frozen=True, slots=True)
class Result:
    """One check's result; `n` is the number of images, rows or sets that it used, `advice` the cause and the remedy."""

    status: Status
    figure: float
    threshold: float
    n: int
    found: str
    advice: str

    def document(self, name: str) -> Header:
        """The entry of a header or a JSON document."""
        return {"check": name, **asdict(self)}


def judged(figure: float, n: int, *, warn: float, fail: float = float("inf"), found: str, advice: str) -> Result:
    """WARN or FAIL if the figure is above one of the two thresholds; otherwise PASS, without advice.

    Four digits are kept: rounding differences between batches or machines are not a finding.
    """
    figure = float(f"{figure:.4g}") if isfinite(figure) else 1e9
    status: Status = "FAIL" if figure > fail else "WARN" if figure > warn else "PASS"
    return Result(status, figure, float(fail if status == "FAIL" else warn), int(n), found, "" if status == "PASS" else advice)


def of_document(entry: Header) -> tuple[str, Result]:
    """The name of a check and its result, as a header has them."""
    return entry["check"], Result(**{one.name: entry[one.name] for one in fields(Result)})


def valid(found: Any) -> bool:
    """True if a header's list of results is one."""
    return isinstance(found, list) and len(found) <= MOST and all(map(_entry, found))


def _entry(one: Any) -> bool:
    if not isinstance(one, dict) or one.keys() != {"check", *(each.name for each in fields(Result))}:
        return False
    texts = all(isinstance(one[key], str) and one[key].isprintable() and len(one[key]) <= LONGEST for key in TEXTS)
    numbers = all(isinstance(one[key], int | float) and not isinstance(one[key], bool) for key in NUMBERS)
    return texts and numbers and all(isfinite(one[key]) for key in NUMBERS) and one["status"] in WORST_FIRST


TEXTS, NUMBERS = ("check", "found", "advice"), ("figure", "threshold", "n")

"""Numbers as users write them: 0.3, 8/255, 0:0.3:0.025, 2/255,4/255; exact until they become floats."""

import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from math import inf, sqrt

from advcli.errors import CommandError

BUDGETS = {"linf": ("0.3", "8/255"), "l2": ("2.0", "0.5"), "l1": ("20", "12"), "raw": ("1", "1")}  # of grey and colour images
MOST_BUDGETS = 1000
LARGEST = 1e6


def fraction(text: str) -> Fraction:
    """The exact value of a decimal or a fraction; ValueError if it is neither."""
    text = text.strip()
    if not re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d{1,3})?(/\d+)?", text, flags=re.ASCII | re.IGNORECASE):
        raise ValueError(f"{text!r} is not a number or a fraction such as 8/255")
    top, _, bottom = text.partition("/")
    if bottom and int(bottom) == 0:
        raise ValueError(f"{text!r} divides by zero")
    return Fraction(top) / Fraction(bottom or 1)


def shortest(value: Fraction) -> str:
    """A fraction as text that `fraction` reads back exactly: a decimal if it is finite, else a/b."""
    bottom = value.denominator
    while bottom % 2 == 0:
        bottom //= 2
    while bottom % 5 == 0:
        bottom //= 5
    if bottom != 1:
        return f"{value.numerator}/{value.denominator}"
    places = 0
    while (value * 10**places).denominator != 1:
        places += 1
    digits = f"{abs(value * 10**places).numerator:0{places + 1}d}"
    sign = "-" if value < 0 else ""
    return sign + (f"{digits[:-places]}.{digits[-places:]}" if places else digits)


@dataclass(frozen=True, slots=True)
class Budget:
    """One budget: the text that the user wrote, and its exact value."""

    text: str
    value: float


def as_float32(value: Fraction) -> bytes:
    """The budget as a file stores it, bit for bit."""
    return struct.pack("<f", float(value))


def budgets(text: str) -> tuple[Budget, ...]:
    """`0.3`, a list `2/255,4/255`, or a range `first:last:step` with both ends."""
    found: list[str] = []
    for piece in text.split(","):
        bounds = piece.split(":")
        if len(bounds) == 1:
            fraction(piece)
            found.append(piece.strip())
        elif len(bounds) == 3:
            first, last, step = map(fraction, bounds)
            if step <= 0 or last < first:
                raise ValueError(f"{piece!r}: a sweep is first:last:step, upwards, such as 0:0.3:0.025")
            if (last - first) / step >= MOST_BUDGETS:
                raise ValueError(f"{piece!r}: more than {MOST_BUDGETS} budgets")
            found += [shortest(first + k * step) for k in range(int((last - first) / step) + 1)]
        else:
            raise ValueError(f"{piece!r}: a sweep is first:last:step, such as 0:0.3:0.025")
    values = [fraction(one) for one in found]
    if min(values) < 0:
        raise ValueError(f"{text!r}: a budget is not negative")
    if max(values) > LARGEST:
        raise ValueError(f"{text!r}: pixels are in [0, 1]; the budget must be at most {LARGEST:g}")
    if len({as_float32(value) for value in values}) < len(values):
        raise ValueError(f"{text!r}: contains a budget twice")
    return tuple(Budget(one, float(value)) for one, value in zip(found, values, strict=True))


def budget(text: str) -> Budget:
    """A single budget."""
    found = budgets(text)
    if len(found) > 1:
        raise ValueError(f"{text!r}: contains {len(found)} budgets; expected one")
    return found[0]


def diameter(norm: str, pixels: int) -> float:
    """The largest distance between two images."""
    return {"linf": 1.0, "l2": sqrt(pixels), "l1": float(pixels)}.get(norm, inf)


def refuse_beyond(norm: str, wanted: Iterable[Budget], pixels: int) -> None:
    """Refuse a budget beyond the diameter of the images: it was most likely meant for pixels from 0 to 255."""
    widest = diameter(norm, pixels)
    if over := next((one for one in wanted if one.value > widest), None):
        meant = f"; did you mean {over.text}/255?" if "/" not in over.text and over.value / 255 <= widest else ""
        raise CommandError(
            f"eps {over.text}: no two images are further apart than {norm} {widest:.4g}, since pixels are in [0, 1]{meant}"
        )


@dataclass(frozen=True, slots=True)
class StepLength:
    """The length of one step: `0.01`, `2/255`, or in budgets as `eps/10` or `2.5*eps/steps`."""

    factor: float
    of_eps: bool = False
    per_step: bool = False

    def at(self, eps: float, steps: int) -> float:
        """The length for one budget and a number of steps."""
        return self.factor * (eps if self.of_eps else 1.0) / (steps if self.per_step else 1)


def step_length(text: str) -> StepLength:
    """Read a step length; ValueError lists the accepted forms."""
    match = re.fullmatch(r"(?:([^*]+)\*)?eps(?:/(steps|[^/]+))?", text.replace(" ", ""))
    try:
        if match is None:
            found = StepLength(float(fraction(text)))
        else:
            bottom = match[2] or "1"
            factor = fraction(match[1] or "1") / (1 if bottom == "steps" else fraction(bottom))
            found = StepLength(float(factor), of_eps=True, per_step=bottom == "steps")
    except (ValueError, ZeroDivisionError, OverflowError):
        raise ValueError(f"{text!r} is not a length such as 0.01, 2/255, eps/10 or 2.5*eps/steps") from None
    if not 0 < found.factor <= LARGEST:
        raise ValueError(f"{text!r}: a step is longer than zero and no longer than {LARGEST:g}")
    return found


def whole_numbers(text: str, flag: str) -> tuple[int, ...]:
    """A list such as 3,17,40, each number once; CommandError names the option."""
    pieces = [piece.strip() for piece in text.split(",")]
    if bad := [piece for piece in pieces if not (piece.isascii() and piece.isdecimal() and len(piece) < 19)]:
        raise CommandError(f"{flag} {text}: {bad[0]!r} is not a whole number; write 3,17,40")
    return tuple(dict.fromkeys(map(int, pieces)))

"""One number for each channel, as in --mean and --std."""

from advcli.errors import CommandError
from advcli.files.header_schema import LARGEST, LEAST
from advcli.numerics.quantities import fraction


def numbers(text: str | None, count: int, default: float | list[float], name: str) -> list[float]:
    """One number for each channel."""
    if text is None:
        return default if isinstance(default, list) else [default] * count
    try:
        values = [float(fraction(piece)) for piece in text.split(",")]
    except (ValueError, OverflowError) as error:
        raise CommandError(f"--{name}: {error}") from None
    values = values * count if len(values) == 1 else values
    if len(values) != count or (name == "std" and min(values) <= LEAST):
        raise CommandError(f"--{name} {text}: expected {count} positive numbers, one for each channel")
    if max(map(abs, values)) >= LARGEST:
        raise CommandError(f"--{name} {text}: expected numbers below {LARGEST:,.0f}")
    return values

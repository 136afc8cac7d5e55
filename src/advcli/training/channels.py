"""One number for each channel, as in --mean and --std."""

from advcli.errors import CommandError
from advcli.files.header_schema import LARGEST, LEAST
from advcli.numerics.quantities import fraction

SMALLEST_STD, LARGEST_STD = 1e-6, 10.0


def numbers(text: str | None, count: int, default: float | list[float], name: str) -> list[float]:
    """One number for each channel."""
    if text is None:
        given = default if isinstance(default, list) else [default]
        return given * count if len(given) == 1 else given
    try:
        values = [float(fraction(piece)) for piece in text.split(",")]
    except (ValueError, OverflowError) as error:
        raise CommandError(f"--{name}: {error}") from None
    values = values * count if len(values) == 1 else values
    if len(values) != count or (name == "std" and min(values) <= LEAST):
        raise CommandError(f"--{name} {text}: expected {count} positive numbers, one for each channel")
    if max(map(abs, values)) >= LARGEST:
        raise CommandError(f"--{name} {text}: expected numbers below {LARGEST:,.0f}")
    _refuse_impossible(values, text, name)
    return values


def _refuse_impossible(values: list[float], text: str, name: str) -> None:
    """Pixels are in [0, 1], and so is their mean; their deviation is at most 0.5, and 1 leaves them as they are."""
    low, high = (-1.0, 2.0) if name == "mean" else (SMALLEST_STD, LARGEST_STD)
    if not low <= min(values) <= max(values) <= high:
        scaled = ",".join(f"{one / 255:.4g}" for one in values)
        of_bytes = f"; for pixels in 0..255 they are divided by 255: --{name} {scaled}" * (high < max(values) <= 255)
        raise CommandError(f"--{name} {text}: no {name} of pixels in [0, 1]: expected {low:g} to {high:g}{of_bytes}")

"""What a training needs beside the loop: its length, its filters."""

from advcli.catalog import discovery
from advcli.catalog.registry import Bound
from advcli.errors import CommandError

SHOWN = 48_000  # pictures that the automatic number of epochs shows, within 3 and 40 epochs


def filters(text: str | None) -> list[Bound]:
    """The defense of --preprocess, NAME or NAME:option=value,..."""
    if text is None:
        return []
    spec, typed = discovery.spelled("defense", text)
    if spec.traits.family != "filter":
        raise CommandError(f"--preprocess {spec.name}: is no filter of pictures")
    return [spec.bind(typed)]


def find_epochs(given: int | None, count: int) -> int:
    return given or min(40, max(3, round(SHOWN / count)))

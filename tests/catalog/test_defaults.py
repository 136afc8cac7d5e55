"""The defaults, ranges and choices of all verbs and methods: what they are is part of what a command makes.

Where one is changed on purpose, or a new one is to be held: python tests/catalog/test_defaults.py --write
"""

import sys
from pathlib import Path

from advcli.catalog import discovery
from advcli.catalog.params import Option
from advcli.catalog.requests import REQUESTS

KEPT = Path(__file__).with_name("defaults.txt")
ROLES = ("attack", "defense", "recipe", "architecture", "metric", "figure", "check")


def line(owner: str, one: Option) -> str:
    """One option: its type or choices, its default, its range, and what it needs."""
    kind = "|".join(one.choices) if one.choices else one.type.__name__
    limits = f" from {one.param.low} to {one.param.high}" if (one.param.low, one.param.high) != (None, None) else ""
    needs = f" needs {one.param.needs}" if one.param.needs else ""
    return f"{owner} {one.flag} {kind}{' ...' if one.many else ''} = {one.default!r}{limits}{needs}"


def lines() -> list[str]:
    found = [line(verb, one) for verb, request in REQUESTS.items() for one in request.options()]
    return found + [line(f"{role} {spec.name}", one) for role in ROLES for spec in discovery.specs(role) for one in spec.options]


def test_defaults_ranges_and_choices_are_what_they_were():
    """What is new stands beside them freely, so that a method stays one new file."""
    kept = KEPT.read_text().splitlines()
    assert len(kept) > 250
    assert not set(kept) - set(lines())


if __name__ == "__main__" and "--write" in sys.argv:
    KEPT.write_text("\n".join(lines()) + "\n")

"""timm's classifiers as `timm:NAME`: a known library, not code of a user's own, and installed by who wants it."""

import importlib.util
import re

from advcli.catalog.registry import Spec
from advcli.catalog.traits import ArchitectureTraits
from advcli.errors import CommandError

PREFIX = "timm:"
NAME = re.compile(r"timm:[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")  # no hub, no folder, no path: timm would fetch or open these
INSTALL = 'pip install "advcli[timm]"'


def is_timm(name: str) -> bool:
    """True for timm:NAME."""
    return name.startswith(PREFIX)


def spec(name: str) -> Spec:
    """The entry of one of them; timm itself is imported when the network is built."""
    if not NAME.fullmatch(name):
        raise CommandError(f"{name}: is no name of a network of timm; expected timm:resnet18, say")
    if importlib.util.find_spec("timm") is None:
        raise CommandError(f"{name}: needs timm: {INSTALL}")
    doc, traits = f"timm's {name.removeprefix(PREFIX)}.", ArchitectureTraits(family="timm", paper="")
    return Spec("architecture", name, doc, traits, (), "advcli.networks.timm_models", name)

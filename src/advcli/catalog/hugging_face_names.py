"""Image classifiers of Hugging Face's transformers as `hf:TYPE`: a known library, installed by who wants it.

The configuration of a network is a parameter of its architecture. It comes from a folder, by `import`; nobody types it.
"""

import importlib.util
import re
from typing import Annotated

from advcli.catalog.params import Param, option
from advcli.catalog.registry import Spec
from advcli.catalog.traits import ArchitectureTraits
from advcli.errors import CommandError

PREFIX = "hf:"
NAME = re.compile(r"hf:[A-Za-z0-9_-]+")
INSTALL = 'pip install "advcli[hf]"'


def is_hugging_face(name: str) -> bool:
    """True for hf:TYPE."""
    return name.startswith(PREFIX)


def spec(name: str) -> Spec:
    """The entry of one type of network; transformers itself is imported when the network is built."""
    if not NAME.fullmatch(name):
        raise CommandError(
            f"{name}: is no type of a network of transformers; such networks come from a folder: advcli import FOLDER"
        )
    if importlib.util.find_spec("transformers") is None:
        raise CommandError(f"{name}: needs transformers: {INSTALL}")
    doc, traits = f"transformers' {name.removeprefix(PREFIX)}.", ArchitectureTraits(family="hugging face", paper="")
    config = option("config", Annotated[str, Param("The network's configuration, as JSON.", form="JSON")], "")
    return Spec("architecture", name, doc, traits, (config,), "advcli.networks.hugging_face_models", name)

"""The names of torchvision's classifiers, read from its sources: nothing is imported to list or refuse one."""

import ast
import importlib.util
from functools import cache
from pathlib import Path

from advcli.catalog.registry import Spec
from advcli.catalog.traits import ArchitectureTraits


@cache
def names() -> tuple[str, ...]:
    """Every classifier of torchvision.models."""
    found = importlib.util.find_spec("torchvision")
    if found is None or found.origin is None:
        return ()
    known = []
    for file in sorted((Path(found.origin).parent / "models").glob("*.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and any("register_model(" in ast.unparse(one) for one in node.decorator_list):
                known.append(node.name)
    return tuple(sorted(known))


def spec(name: str) -> Spec:
    """The entry of one of them."""
    traits = ArchitectureTraits(family="torchvision", paper="")
    return Spec(
        "architecture",
        name,
        f"torchvision's {name}, for colour images.",
        traits,
        (),
        "advcli.networks.torchvision_models",
        name,
    )

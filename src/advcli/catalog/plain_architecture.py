"""An architecture without a decorator: a class or function of the user's own that returns a network.

Its signature says how it is called. Arguments with usual names (`num_classes`, `in_channels`, `input_shape`, `image_size`) get
what the images have; other arguments keep their defaults, which become options of the command: `--width 64`.
"""

import inspect
import math
from collections.abc import Callable
from typing import Annotated, Any

from advcli.catalog.params import Option, Param, flag_of, option
from advcli.catalog.registry import Spec
from advcli.catalog.requests import REQUESTS
from advcli.catalog.traits import ArchitectureTraits
from advcli.errors import CommandError

FACTS = {
    "classes": ("classes", "num_classes", "n_classes", "nb_classes", "num_class", "n_class", "nclasses", "num_labels",
                "n_labels", "num_outputs", "n_outputs"),
    "channels": ("in_channels", "input_channels", "in_chans", "in_ch", "num_input_channels"),
    "shape": ("shape", "input_shape", "image_shape", "in_shape"),
    "size": ("image_size", "img_size"),
}  # fmt: skip
FILLED = {name: fact for fact, names in FACTS.items() for name in names}  # argument -> what it gets
MANY = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def spec_of(name: str, module: str, attribute: str, made_by: Any) -> Spec:
    """The entry of a class or function; refused if it needs an argument that nothing is known about."""
    if not (inspect.isclass(made_by) or inspect.isroutine(made_by)):
        raise CommandError(
            f"{name}: is an object ({type(made_by).__name__}); name a class or function that returns a new network:\n"
            f"    def net(): return {type(made_by).__name__}(...)"
        )
    named = [one for one in _signature(name, made_by) if one.kind not in MANY]
    if unknown := [one.name for one in named if one.default is one.empty and one.name not in FILLED]:
        raise CommandError(_wrap(name, module, attribute, unknown, [one.name for one in named if one.name in FILLED]))
    fills = tuple((one.name, FILLED[one.name]) for one in named if one.name in FILLED)
    options = tuple(found for one in named if one.name not in FILLED and (found := _option(one, attribute)))
    doc = inspect.cleandoc(vars(made_by).get("__doc__") or "") if inspect.isclass(made_by) else inspect.getdoc(made_by) or ""
    return Spec("architecture", name, doc, ArchitectureTraits(family="own"), options, module, attribute, fills=fills)


def makes_network(function: Callable[..., Any]) -> bool:
    """True for a class, an architecture, and a function that can be called without images: all of these return a network."""
    if inspect.isclass(function) or hasattr(function, "__advcli__"):
        return True
    try:
        named = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):
        return False
    return all(one.default is not one.empty or one.kind in MANY or one.name in FILLED for one in named) and not any(
        one.kind in MANY for one in named
    )


def _signature(name: str, made_by: Callable[..., Any]) -> list[inspect.Parameter]:
    """The parameters, with annotations as types if these can be read."""
    try:
        found = inspect.signature(made_by, eval_str=True)
    except (ValueError, TypeError) as error:
        raise CommandError(f"{name}: has no signature that can be read ({error})") from None
    except Exception:  # an annotation that is not imported where it is written
        found = inspect.signature(made_by)
    return list(found.parameters.values())


def _wrap(name: str, module: str, attribute: str, unknown: list[str], filled: list[str]) -> str:
    """The refusal of arguments that nothing is known about, with the function that would give them."""
    wrapper = attribute.lower() if attribute.lower() != attribute else f"my_{attribute}"
    given = ", ".join([*(f"{one}=..." for one in unknown), *(f"{one}={one}" for one in filled)])
    asked = f"\nif it maps {unknown[0]} to scores or labels, it is no architecture: advcli import {name}"
    alone = asked if len(unknown) == 1 and not filled else ""
    return (
        f"{name}: needs {', '.join(unknown)}; write in {module.rpartition('.')[2]}.py: "
        f"def {wrapper}({', '.join(filled)}): return {attribute}({given}), and give --arch {module}:{wrapper}{alone}"
    )


def _option(one: inspect.Parameter, owner: str) -> Option | None:
    """The option of an argument with a plain default; None for others, and where a verb has an option of that name."""
    plain = isinstance(one.default, bool | int | float | str) and one.default != ""
    verbs = [request for request in REQUESTS.values() if "architecture" in request.choices().values()]
    reserved = {known.flag for request in verbs for known in request.options()}
    if not plain or flag_of(one.name) in reserved or (isinstance(one.default, float) and not math.isfinite(one.default)):
        return None
    number = one.annotation is float and type(one.default) is int
    kind = float if number else type(one.default)
    return option(one.name, Annotated[kind, Param(f"Argument of {owner}.")], kind(one.default))


def called(
    made_by: Callable[..., Any],
    fills: tuple[tuple[str, str], ...],
    shape: tuple[int, int, int],
    classes: int,
    **parameters: Any,
) -> Any:
    """The network for images of a shape and a number of classes."""
    size = shape[1] if shape[1] == shape[2] else shape[1:]
    facts = {"classes": classes, "channels": shape[0], "shape": shape, "size": size}
    return made_by(**{name: facts[fact] for name, fact in fills}, **parameters)

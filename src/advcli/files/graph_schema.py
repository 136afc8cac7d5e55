"""The check of a graph of operations in the metadata of a model, before a network is made of it."""

import re
from typing import Any

NAME = re.compile(r"c[0-9]{1,6}")
TYPES = ("float32", "int64", "bool")
MOST_STEPS = 20_000
MOST_AXES = 16
LARGEST = 1 << 31  # a whole number
DEEPEST = 3  # lists and dictionaries in an attribute


def fault(found: Any) -> str:
    """The part of a graph that is not as it should be; empty if there is none."""
    if not (isinstance(found, dict) and found.keys() == {"steps", "constants", "alone"} and isinstance(found["alone"], bool)):
        return "graph"
    steps, constants = found["steps"], found["constants"]
    if not (isinstance(constants, dict) and all(NAME.fullmatch(name) and _tensor(one) for name, one in constants.items())):
        return "graph.constants"
    if not (isinstance(steps, list) and 0 < len(steps) <= MOST_STEPS):
        return "graph.steps"
    wrong = (f"graph.steps (number {number})" for number, one in enumerate(steps, 1) if not _step(one, number, constants))
    return next(wrong, "")


def _tensor(found: Any) -> bool:
    """A type and a shape."""
    if not (isinstance(found, list) and len(found) == 2 and isinstance(found[0], str) and found[0] in TYPES):
        return False
    shape = found[1]
    return isinstance(shape, list) and len(shape) <= MOST_AXES and all(_whole(one) and one >= 0 for one in shape)


def _whole(found: Any) -> bool:
    return isinstance(found, int) and not isinstance(found, bool) and abs(found) < LARGEST


def _step(found: Any, number: int, constants: dict[str, Any]) -> bool:
    """An operation, what it takes of earlier steps and constants, and its attributes."""
    if not (isinstance(found, list) and len(found) == 3 and isinstance(found[0], str) and isinstance(found[1], list)):
        return False
    known = all((_whole(one) and 0 <= one < number) or (isinstance(one, str) and one in constants) for one in found[1])
    return known and bool(found[1]) and isinstance(found[2], dict) and all(_plain(one, 1) for one in found[2].values())


def _plain(found: Any, depth: int) -> bool:
    """A number, a word or a truth value; or a list of them, or a number that depends on the number of images."""
    if isinstance(found, dict):
        return found.keys() == {"n", "plus"} and all(_whole(one) for one in found.values())
    if isinstance(found, list):
        return depth < DEEPEST and all(_plain(one, depth + 1) for one in found)
    return found is None or isinstance(found, bool | str | float) or _whole(found)

"""Which classes are alike: by known groups, by a file of the user's, or by what a model confuses on clean images."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from advcli.errors import CommandError
from advcli.files import sandbox
from advcli.numerics.arrays import Array

MOST = 1 << 26  # bytes of a file of groups
KNOWN: dict[str, dict[str, tuple[str, ...]]] = {
    "cifar10": {
        "animal": ("bird", "cat", "deer", "dog", "frog", "horse"),
        "vehicle": ("airplane", "automobile", "ship", "truck"),
    },
    "imagenette": {
        "animal": ("tench", "English springer"),
        "building": ("church",),
        "device": ("cassette player", "chain saw", "French horn", "garbage truck", "gas pump", "golf ball", "parachute"),
    },
}


def alike(classes: Sequence[str], asked: str | None) -> tuple[str, Array | None]:
    """(where the groups come from, for all pairs of classes whether they are alike); None where nobody knows groups."""
    if asked in KNOWN:
        return asked, _by_groups(classes, KNOWN[asked], asked)
    if asked is not None:
        return asked, _from_file(classes, asked)
    named = (name for name, groups in KNOWN.items() if {*classes} <= {one for group in groups.values() for one in group})
    return next(((name, _by_groups(classes, KNOWN[name], name)) for name in named), ("none", None))


def _by_groups(classes: Sequence[str], groups: Mapping[str, Sequence[str]], where: str) -> Array:
    """Two classes are alike if one group has both; each class needs exactly one group."""
    group_of: dict[str, str] = {}
    for group, members in groups.items():
        for one in members:
            if one in group_of:
                raise CommandError(f"--superclass {where}: {one!r} is in two groups, {group_of[one]!r} and {group!r}")
            group_of[one] = group
    if missing := [one for one in classes if one not in group_of]:
        raise CommandError(f"--superclass {where}: has no group for the class {missing[0]!r}")
    own = np.array([list(groups).index(group_of[one]) for one in classes])
    found: Array = own[:, None] == own[None, :]
    return found


def _from_file(classes: Sequence[str], path: str) -> Array:
    """Groups {"animal": ["cat", "dog"], ...}, or a report of `evaluate --metric confusion --json`."""
    with sandbox.regular(path) as file:
        text = sandbox.some(file, path, MOST + 1)
    try:
        if len(text) > MOST:
            raise ValueError("too long")
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CommandError(f"--superclass {path}: is not JSON ({str(error)[:60]})") from None
    rows = found.get("rows") if isinstance(found, dict) else None
    if isinstance(rows, list) and all(isinstance(one, dict) for one in rows):
        return _by_confusions(classes, rows, path)
    lists = isinstance(found, dict) and all(isinstance(group, list) for group in found.values())
    if not lists or not all(isinstance(one, str) for group in found.values() for one in group):
        raise CommandError(f'--superclass {path}: expected groups such as {{"animal": ["cat", "dog"], "vehicle": ["ship"]}}')
    return _by_groups(classes, found, path)


def _by_confusions(classes: Sequence[str], rows: Sequence[Mapping[str, Any]], path: str) -> Array:
    """Two classes are alike if one of them is the class that the other is most often confused with on clean images."""
    shares = np.zeros((len(classes), len(classes)))
    told = [row for row in rows if row.get("metric") == "confusion" and row.get("kind") == "clean"]
    if len({(row.get("model"), row.get("set")) for row in told}) != 1:
        raise CommandError(
            f"--superclass {path}: expected the confusions of one model on one set of clean images: "
            "advcli evaluate --split val --metric confusion --json"
        )
    for row in told:
        label, said, value = row.get("label"), row.get("prediction"), row.get("value")
        if label in classes and said in classes and isinstance(value, int | float):
            shares[classes.index(label), classes.index(said)] = value
    both = shares + shares.T
    np.fill_diagonal(both, 0)
    nearest = (both == both.max(1, keepdims=True)) & (both > 0)
    found: Array = nearest | nearest.T | np.eye(len(classes), dtype=bool)
    return found

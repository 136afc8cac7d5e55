"""The other side of a filtered set: its originals through the same filters, and the attacked images before them.

A filtered set keeps the originals as they were, and the names, parameters and seeds of its filters. A filter draws by the
place of an image in its source, so an original and what an attack made of it get the same draws.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from advcli.catalog import discovery
from advcli.errors import InputError
from advcli.evaluation.sets import Subject
from advcli.files.header import Header
from advcli.numerics.arrays import Array
from advcli.numerics.quantize import snap_to_byte
from advcli.numerics.rng import Purpose, SampleRNG


@dataclass(frozen=True, slots=True)
class RecordedFilter:
    """A filter as the header of a filtered set records it."""

    module: Any
    seed: int

    def __call__(self, x: Tensor, ids: Tensor) -> Tensor:
        with torch.no_grad():
            found: Tensor = self.module.filter(x, SampleRNG(self.seed, ids, (Purpose.FILTER,)))
        return found


def recorded(header: Header, where: str) -> list[RecordedFilter]:
    """The filters between an attacked set and a filtered one, in the order in which they were applied."""
    return [_filter(one["made"], where) for one in reversed(list(_levels(header)))]


def before_filters(header: Header) -> str:
    """The digest of the set that was filtered first, or nothing for a set that no filter made."""
    levels = list(_levels(header))
    parents = levels[-1]["made"]["parents"] if levels else []
    return str(parents[0]["digest"]) if len(parents) == 1 else ""


def through(filters: list[RecordedFilter], subject: Subject, numbers: Array, ids: Array) -> Tensor:
    """Some originals of a filtered set, through its filters."""
    assert subject.file is not None  # only files have originals
    x, own = subject.file.pick("originals", numbers), torch.from_numpy(ids)
    for one in filters:
        x = one(x, own)
    return snap_to_byte(x) if subject.rounded else x


def _levels(header: Header) -> Iterator[Header]:
    """The headers of the filtered sets, from the last to the first."""
    while header["kind"] == "filtered":
        yield header
        header = header["of"]


def _filter(made: Mapping[str, Any], where: str) -> RecordedFilter:
    bound = discovery.from_file("defense", str(made["method"])).bind(made["parameters"])
    traits, seed = bound.spec.traits, made["options"].get("seed")
    if traits.members or traits.learns or traits.rejects or not traits.filters or not isinstance(seed, int):
        raise InputError(f"{where}: its header names {bound.spec.name} as its filter, which no set of images goes through")
    return RecordedFilter(bound(nn.Identity()), seed)

"""One pass over the images of a set, in batches, with the draws of every image."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from advcli.numerics.arrays import Array
from advcli.numerics.rng import Purpose, SampleRNG


@dataclass(frozen=True, slots=True)
class Part:
    """Some consecutive images on the device."""

    places: slice  # of the images in the set
    x: Tensor
    ids: Tensor  # what the draws of each image depend on
    draws: SampleRNG


def passes(
    pictures: Callable[[int, int], Tensor],
    ids: Array,
    size: int,
    device: torch.device,
    seed: int,
    path: tuple[Purpose, *tuple[str, ...]],
) -> Iterator[Part]:
    """Every image once, `size` at a time; `images` reads those from one place to another."""
    for start in range(0, len(ids), size):
        places = slice(start, min(start + size, len(ids)))
        own = torch.from_numpy(ids[places]).to(device)
        yield Part(places, pictures(places.start, places.stop).to(device), own, SampleRNG(seed, own, path))

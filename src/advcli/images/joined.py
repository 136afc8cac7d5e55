"""Several sets as one: the images of a data set, then those of others."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from advcli.images.dataset import Dataset
from advcli.numerics.arrays import Array


def joined(first: Dataset, others: Sequence[Dataset]) -> Dataset:
    """All images as numbers in [0, 1], under the name of the first; their classes must be the same."""
    parts = [first, *others]
    ends = np.cumsum([len(one) for one in parts])

    def read(places: Array) -> Tensor:
        found = torch.empty(len(places), *first.shape)
        which = np.searchsorted(ends, places, side="right")
        for k, part in enumerate(parts):
            if (mine := np.flatnonzero(which == k)).size:
                found[torch.from_numpy(mine)] = part.read(places[mine] - (ends[k] - len(part)))
        return found

    return replace(
        first,
        labels=np.concatenate([one.labels for one in parts]),
        index=np.concatenate([one.index for one in parts]),
        read=read,
        eight_bit=all(one.eight_bit for one in parts),
        pixels=None,
        packed=all(one.packed or one.pixels is not None for one in parts),
    )

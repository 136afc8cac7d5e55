"""A data set of picture files below a folder: decoded on demand, since there may be millions."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from advcli.errors import Empty, InputError
from advcli.images.dataset import Dataset
from advcli.images.decoder import decode, mode_of
from advcli.images.folder_digest import digests
from advcli.images.picture_origin import kind_of
from advcli.numerics.arrays import Array

UNNAMED = ("0", "1")  # classes of pictures without labels: a set has some
Sizes = tuple[int | None, int | None]  # (shorter side before the crop, side of the square)


@dataclass(frozen=True, slots=True)
class PictureFiles:
    """Files by their paths below `base`, in the folder `root`, each with its label; `known_by` are what identifies them."""

    root: Path
    base: Path
    files: Sequence[str]
    labels: Array
    classes: tuple[str, ...]
    known_by: Sequence[str] | None = None

    def dataset(self, split: str, places: Array, sizes: Sizes, origin: Mapping[str, Any], notes: tuple[str, ...] = ()) -> Dataset:
        """The pictures at these places as the split; grey if all pictures of the folder are."""
        mode = mode_of(os.path.join(self.base, file) for file in self.files)
        if not len(places):
            raise Empty(f"{self.root}: no picture falls into the {split} split; it has {len(self.files)} in all")
        base, files, resize, image_size = str(self.base), [self.files[k] for k in places], *sizes
        shape = decode([os.path.join(base, files[0])], mode, sizes, None)[0].shape

        def read(wanted: Array) -> Tensor:
            named = [os.path.join(base, files[k]) for k in wanted]
            pictures = decode(named, mode, sizes, shape)
            for file, one in zip(named, pictures, strict=True):
                if one.shape != shape:
                    have, others = (f"{size[2]}x{size[1]}" for size in (one.shape, shape))
                    raise InputError(f"{file}: {have} pixels, others have {others}; give --image-size N")
            stacked = np.stack(pictures) if pictures else np.zeros((0, *shape), np.uint8)
            return torch.from_numpy(stacked).to(torch.float32) / 255

        source: dict[str, Any] = {**origin, "split": split, "image_size": image_size, "resize": resize}
        if source["name"] == "folder":
            source["digest"], source["listing"] = digests(self.root, self.known_by)
        name, kind, labels = self.root.absolute().name, kind_of(self.root, self.base), self.labels[places]
        return Dataset(name, split, self.classes, shape, labels, places, read, source, eight_bit=True, kind=kind, notes=notes)

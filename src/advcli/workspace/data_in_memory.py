"""Images and labels in memory as a data set: tensors, arrays, a `Dataset` or a `DataLoader` of torch's."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import data as torch_data

from advcli.datasets.npz import check_labels, checked_images
from advcli.errors import CommandError, InputError
from advcli.files.header import MEMORY, canonical
from advcli.images.dataset import Dataset
from advcli.numerics.arrays import Array

TAKES = "a pair (images, labels), a Dataset or a DataLoader of torch's, or the name or path of a data set"


@dataclass(frozen=True, slots=True)
class DataInMemory:
    """Checked images (N, C, H, W), bytes or float32 in [0, 1], and their labels, -1 for none."""

    images: Array
    labels: Array

    @property
    def shape(self) -> tuple[int, int, int]:
        _, c, h, w = self.images.shape
        return c, h, w

    def first(self, count: int) -> Tensor:
        """The first images."""
        found = torch.from_numpy(self.images[:count])
        return found.to(torch.float32) / 255 if found.dtype == torch.uint8 else found

    def dataset(self, classes: tuple[str, ...], split: str) -> Dataset:
        """The images as a data set whose labels index these classes."""
        check_labels("data", "labels", self.labels, len(classes))
        pixels, index = torch.from_numpy(self.images), np.arange(len(self.labels))
        origin = {"name": MEMORY, "split": split, "digest": self._digest()}
        if self.images.dtype == np.uint8:
            return Dataset.of_bytes(MEMORY, split, classes, pixels, self.labels, index, origin)

        def read(places: Array) -> Tensor:
            return pixels[torch.from_numpy(places)]

        return Dataset(MEMORY, split, classes, self.shape, self.labels, index, read, origin, pixels=pixels)

    def _digest(self) -> str:
        content = hashlib.sha256(canonical([str(self.images.dtype), list(self.images.shape)]))
        for one in (self.images, self.labels):
            content.update(np.ascontiguousarray(one).reshape(-1).view(np.uint8).data)
        return content.hexdigest()


def read(given: object) -> DataInMemory:
    """The images and labels of what a call was given; CommandError if it is nothing of the kind."""
    if isinstance(given, Tensor | np.ndarray):
        return _checked(given, None)
    if isinstance(given, list | tuple) and len(given) == 2:
        return _checked(*given)
    if isinstance(given, torch_data.DataLoader):
        with torch.random.fork_rng(devices=[]):
            return _joined(_pair(one, f"batch {k} of the DataLoader") for k, one in enumerate(_in_order(given)))
    if isinstance(given, torch_data.Dataset):
        with torch.random.fork_rng(devices=[]):
            return _joined(_batched(given))
    raise CommandError(f"data: expected {TAKES}; found {type(given).__name__}")


def _in_order(loader: torch_data.DataLoader[Any]) -> Iterable[Any]:
    """The batches of a loader; one that shuffles is read in the order of its data set, so that places mean the same images."""
    sampler = loader.sampler
    if not isinstance(sampler, torch_data.RandomSampler) or sampler.replacement or sampler._num_samples is not None:
        return loader
    return torch_data.DataLoader(loader.dataset, loader.batch_size, num_workers=loader.num_workers, collate_fn=loader.collate_fn)


def _batched(given: Any) -> Iterator[tuple[Any, Any]]:
    """The items of a data set, each as a batch of one."""
    items = given if isinstance(given, torch_data.IterableDataset) else (given[k] for k in range(len(given)))
    for k, one in enumerate(items):
        where = f"item {k} of the Dataset"
        x, label = _pair(one, where)
        if not isinstance(x, Tensor | np.ndarray):
            raise CommandError(f"data: {where} holds {type(x).__name__}; give the data set transform=ToTensor()")
        yield x[None], None if label is None else _array(label).reshape(-1)


def _pair(found: Any, where: str) -> tuple[Any, Any]:
    """Images and labels; None for labels that are not there."""
    if isinstance(found, Tensor | np.ndarray):
        return found, None
    if isinstance(found, Sequence) and len(found) == 2 and not isinstance(found, str):
        return found[0], found[1]
    what = f"{len(found)} values" if isinstance(found, Sequence) else type(found).__name__
    raise CommandError(f"data: {where} holds {what}; expected images and labels")


def _joined(batches: Iterable[tuple[Any, Any]]) -> DataInMemory:
    """All batches as one."""
    pairs = [_batch(_array(x), None if labels is None else _array(labels)) for x, labels in batches]
    if not pairs:
        raise InputError("data: holds no image")
    images, labels = [x for x, _ in pairs], [one for _, one in pairs if one is not None]
    kinds = list(dict.fromkeys(f"{'x'.join(map(str, x.shape[1:]))} {x.dtype}" for x in images))
    if len(kinds) > 1:
        raise InputError(f"data: holds images of several shapes or types: {kinds[0]}, {kinds[1]}")
    return _checked(np.concatenate(images), np.concatenate(labels) if len(labels) == len(pairs) else None)


def _batch(x: Array, labels: Array | None) -> tuple[Array, Array | None]:
    """A batch; a single image with its label is a batch of one."""
    return (x, labels) if labels is None or labels.ndim else (x[None], labels[None])


def _checked(images: Any, labels: Any) -> DataInMemory:
    """Images and labels after all checks; half precision and float64 become float32, as of a .npz file."""
    pixels, answers = _array(images), None if labels is None else _array(labels)
    if not len(pixels.shape) or not len(pixels):
        raise InputError("data: holds no image")
    answers = np.full(len(pixels), -1) if answers is None else answers
    if answers.shape != (len(pixels),) or answers.dtype.kind not in "iu":
        raise InputError(
            f"data: labels have type {answers.dtype} and shape {answers.shape}; expected {len(pixels)} whole numbers"
        )
    if pixels.dtype.kind == "f" and pixels.min() < 0:
        low, high = pixels.min(), pixels.max()
        raise InputError(
            f"data: pixels run from {low:g} to {high:g}, expected 0 to 1\n"
            "leave the normalisation out of the images, and give it with the model: mean=, std="
        )
    return DataInMemory(checked_images("data", "images", pixels), answers.astype(np.int64))


def _array(found: Any) -> Array:
    """A tensor, array or list of numbers as an array."""
    if isinstance(found, Tensor):
        found = found.detach().cpu()
        found = found.to(torch.float32) if found.is_floating_point() else found
        return np.ascontiguousarray(found.numpy())
    try:
        return np.asarray(found, order="C")
    except (TypeError, ValueError) as error:
        raise CommandError(f"data: expected {TAKES} ({str(error).splitlines()[0][:80]})") from None

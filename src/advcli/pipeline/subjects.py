"""What `evaluate` evaluates on: clean data or an image-set file, refused where it claims what it does not keep."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from advcli.arrays import Array
from advcli.dataset import Dataset
from advcli.errors import InputError
from advcli.geometry import FREE, distance, tolerance
from advcli.header import Header
from advcli.imageset import ImageSet
from advcli.modelfile import ModelFile
from advcli.numbers import fraction


@dataclass(frozen=True, slots=True)
class Subject:
    """A set to evaluate on: clean data, or an image-set file."""

    name: str
    header: Header
    count: int
    ids: Array
    labels: Array
    pictures: Callable[[int, int], Tensor]
    eight_bit: bool
    file: ImageSet | None = None


def from_data(data: Dataset) -> Subject:
    header = {"kind": "clean", "classes": list(data.classes), "split": data.split, "epsilon": None}
    return Subject(
        name=f"{data.name}:{data.split}",
        header=header,
        count=len(data),
        ids=data.index,
        labels=data.labels,
        pictures=lambda start, stop: data.batch(start, stop)[0],
        eight_bit=data.eight_bit,
    )


def from_file(opened: ImageSet, name: str) -> Subject:
    if opened.kind == "perturbation":
        raise InputError(f"{name}: holds perturbations; evaluate the set that they were made with")
    if not len(opened):
        raise InputError(f"{name}: holds no rows; there is nothing to measure")
    if opened.kind == "adversarial" and opened.header["norm"] not in FREE and opened.header["epsilon"]:
        refuse_too_far(opened)
    count = len(opened)
    pictures = lambda start, stop: opened.rows("images", start, stop)  # noqa: E731  # a view of the open file
    return Subject(
        name, opened.header, count, opened.column("index"), opened.column("labels"), pictures, opened.eight_bit, opened
    )


def refuse_too_far(opened: ImageSet) -> None:
    """A row whose perturbation exceeds its declared budget makes the whole set unusable."""
    bound, origin = opened.column("epsilon"), opened.column("original")
    slack = tolerance(float(bound.max(initial=0)))
    for start in range(0, len(opened), 1024):
        stop = min(start + 1024, len(opened))
        size = distance(opened.rows("images", start, stop), opened.pick("originals", origin[start:stop]), opened.header["norm"])
        over = ~(size.numpy() <= bound[start:stop].astype(np.float64) + slack)
        if over.any():
            row = int(np.argmax(over))
            raise InputError(
                f"{opened.path}: row {start + row} lies {float(size[row]):.6g} ({opened.header['norm']}) from its original, "
                f"beyond its budget {bound[start + row]:.6g}"
            )


def check_fit(subject: Subject, model: ModelFile) -> None:
    strange = [name for name in subject.header["classes"] if name not in model.classes]
    shape = tuple(subject.pictures(0, 1).shape[1:])
    if strange:
        raise InputError(f"{subject.name}: its classes {', '.join(strange[:5])} are none of {model.path}'s")
    if shape != model.shape:
        raise InputError(
            f"{subject.name}: images are {'x'.join(map(str, shape))}, {model.path} takes {'x'.join(map(str, model.shape))}"
        )


def budgets_of(subject: Subject) -> Iterator[tuple[str | None, Array]]:
    """(text, rows) of every budget; one without a text for sets that have none."""
    texts = subject.header.get("epsilon")
    if not texts or subject.file is None or "epsilon" not in subject.file:
        yield None, np.ones(subject.count, bool)
        return
    stored = subject.file.column("epsilon")
    for text in texts:
        yield text, stored == np.float32(float(fraction(text)))

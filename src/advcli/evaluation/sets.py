"""The sets that `evaluate` uses: clean data or image-set files, refused if a file breaks its own claims."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from advcli.errors import CommandError, InputError
from advcli.evaluation import distinct
from advcli.evaluation.against_model import contradictions
from advcli.files.header import Header
from advcli.files.imageset_reader import ImageSet
from advcli.images.dataset import Dataset
from advcli.networks.model_file import ModelFile
from advcli.numerics.arrays import Array
from advcli.numerics.balls import FREE, distance, tolerance
from advcli.numerics.quantities import fraction
from advcli.numerics.quantize import snap_to_byte
from advcli.runtime.reporter import Reporter

ROUNDED = "8-bit (rounded)"
UNCLIPPED = "float, not clipped"
STEP = 1024


@dataclass(frozen=True, slots=True)
class Subject:
    """A set to evaluate on: clean data, or an image-set file, as stored or rounded to 8 bits."""

    name: str
    header: Header
    count: int
    ids: Array
    labels: Array
    pictures: Callable[[int, int], Tensor]
    eight_bit: bool
    file: ImageSet | None = None
    rounded: bool = False

    @property
    def unclipped(self) -> bool:
        """True if it holds pixels that no image file can hold."""
        return self.file is not None and self.file.unclipped

    @property
    def pixels(self) -> str:
        """The storage of its pixels."""
        if self.rounded:
            return ROUNDED
        if self.unclipped:
            return UNCLIPPED
        how = self.header["made"]["options"] if self.header["kind"] == "adversarial" else {}
        quantized = how.get("quantize", False) and not self.header.get("unrepresentable")
        return "8-bit" if self.eight_bit or quantized else "float"

    def in_8_bit(self) -> "Subject":
        """Every pixel at the nearest k/255, half to even, as a PNG would hold it."""
        if self.unclipped:
            raise CommandError(f"--pixels: {self.name} holds pixels outside [0, 1] (attack --no-clip), which have no 8-bit form")
        if self.pixels != "float":
            return self
        return replace(self, pictures=lambda start, stop: snap_to_byte(self.pictures(start, stop)), rounded=True)

    def originals(self, places: Array) -> Tensor:
        """The originals of the rows, by the number in /original."""
        assert self.file is not None  # only files have originals
        found = self.file.pick("originals", places)
        return snap_to_byte(found) if self.rounded else found

    def distances(self, norms: tuple[str, ...]) -> tuple[Array, ...]:
        """The distances of every row to its original, by each of some norms."""
        assert self.file is not None  # only files have originals
        origin, found = self.file.column("original"), {norm: np.zeros(self.count) for norm in norms}
        for start in range(0, self.count, STEP):
            part = slice(start, min(start + STEP, self.count))
            x, source = self.pictures(part.start, part.stop), self.originals(origin[part])
            for norm, sizes in found.items():
                sizes[part] = distance(x, source, norm).numpy()
        return tuple(found.values())


def from_data(data: Dataset) -> Subject:
    """A data set as a set of clean images."""
    if data.kind in ("adversarial", "filtered"):
        raise InputError(f"{data.name}: holds {data.kind} images; give their image-set file (.h5) without --data")
    if pair := distinct.twice(data.index):
        raise InputError(
            f"{data.name}: image {pair[1]} repeats image {pair[0]} (index {data.index[pair[0]]}); a figure would count it twice"
        )
    kind = "unknown" if data.kind == "unknown" else "clean"  # what was imported stays of unknown origin
    header = {"kind": kind, "classes": list(data.classes), "split": data.split, "epsilon": None, "data": data.origin}
    return Subject(
        name=f"{data.name}:{data.split}",
        header=header,
        count=len(data),
        ids=data.index,
        labels=data.labels,
        pictures=lambda start, stop: data.batch(start, stop)[0],
        eight_bit=data.eight_bit,
    )


def without_perturbations(opened: dict[str, ImageSet], *, others: bool, reporter: Reporter) -> dict[str, ImageSet]:
    """The image sets among some files; perturbation files are left out, unless nothing else would remain."""
    found = {name: one for name, one in opened.items() if not one.signed}
    if not found and not others:
        return opened
    for name in sorted(opened.keys() - found.keys()):
        reporter.note(f"{name}: holds perturbations, not images: left out")
    return found


def from_file(opened: ImageSet, name: str) -> Subject:
    if opened.signed:
        others = f"add them to images with: advcli attack --apply {name}"
        what = others if opened.kind == "universal" else "evaluate the set that they were made with"
        raise InputError(f"{name}: holds perturbations; {what}")
    if not len(opened):
        raise InputError(f"{name}: holds no rows; there is nothing to measure")
    if fault := next(distinct.faults(opened), None):
        raise InputError(f"{name}: {fault}")
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
    for start in range(0, len(opened), STEP):
        stop = min(start + STEP, len(opened))
        size = distance(opened.rows("images", start, stop), opened.pick("originals", origin[start:stop]), opened.header["norm"])
        over = ~(size.numpy() <= bound[start:stop].astype(np.float64) + slack)
        if over.any():
            row = int(np.argmax(over))
            raise InputError(
                f"{opened.path}: row {start + row} lies {float(size[row]):.6g} ({opened.header['norm']}) from its original, "
                f"beyond its budget {bound[start + row]:.6g}"
            )


def check_fit(subject: Subject, model: ModelFile) -> None:
    """Refuse a set whose images or classes do not fit the model, or whose header contradicts the model's file."""
    header = subject.header["of"] if subject.header["kind"] == "filtered" else subject.header
    own = header["kind"] == "adversarial" and header["victim"]["digest"] == model.digest
    if own and (wrong := contradictions(header, "victim", model)):
        raise InputError(f"{subject.name}: {wrong[0]}; advcli verify {subject.name} says more")
    strange = [name for name in subject.header["classes"] if name not in model.classes]
    shape = tuple(subject.pictures(0, 1).shape[1:])
    if strange:
        raise InputError(
            f"{subject.name}: its classes {', '.join(strange[:5])} are none of {model.path}'s{_way_on(subject, model)}"
        )
    if shape != model.shape:
        raise InputError(
            f"{subject.name}: images are {'x'.join(map(str, shape))}, {model.path} takes {'x'.join(map(str, model.shape))}"
        )


def _way_on(subject: Subject, model: ModelFile) -> str:
    """Advice for a file with more classes than the model has."""
    shared = ",".join(name for name in model.classes if name in subject.header["classes"])
    if not shared:
        return ""
    if subject.header["kind"] in ("clean", "unknown"):
        return f"\ngive it as --data {subject.name} --classes {shared}"
    return f"\nattack images of its classes alone: advcli attack --classes {shared}"


def budgets_of(subject: Subject) -> Iterator[tuple[str | None, Array]]:
    """(text, rows) of every budget; one without a text for sets that have none."""
    texts = subject.header.get("epsilon")
    if not texts or subject.file is None or "epsilon" not in subject.file:
        yield None, np.ones(subject.count, bool)
        return
    stored = subject.file.column("epsilon")
    for text in texts:
        yield text, stored == np.float32(float(fraction(text)))

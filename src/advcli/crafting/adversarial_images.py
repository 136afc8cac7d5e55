"""The adversarial images that an attack in memory gives: the columns of an image set as tensors."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from advcli.files import atomic, imageset_writer
from advcli.files.check_results import of_document
from advcli.files.header import Header
from advcli.files.imageset_in_memory import ImageSetInMemory
from advcli.files.imageset_reader import ImageSet, content_digest
from advcli.workspace import inputs, outputs


def _column(name: str, what: str) -> Any:
    """A property that gives a column of the set."""

    def read(self: "AdversarialImages") -> Tensor:
        if name not in self.rows:
            raise AttributeError(f"this set has no {name}")
        return torch.from_numpy(self.rows.column(name))

    return property(read, doc=what if what.startswith("(") else f"(N,) {what}")


class AdversarialImages:
    """The rows of an adversarial set: one for every image, target and budget, as in a file.

    The columns of the file are attributes, tensors on the CPU; a label, target or prediction of -1 is none. `originals` has each
    attacked image once, and `original` is the place of a row's image there.

    `header` says how the set was made, `save(path)` writes it as the file that the command line would write, and
    `advcli.evaluate([this], model=...)` measures models on it.
    """

    labels = _column("labels", "the true class, -1 if it is unknown.")
    prediction = _column("prediction", "the model's class of the adversarial image, -1 for a rejection.")
    clean_prediction = _column("clean_prediction", "the model's class of the original.")
    target = _column("target", "the class to reach, -1 for none.")
    epsilon = _column("epsilon", "the budget, not-a-number for a method without one.")
    original = _column("original", "the place of the row's image in `originals`.")
    index = _column("index", "the place of the row's image in the data.")
    queries = _column("queries", "forward passes of the search, on the first row of each image.")
    gradients = _column("gradients", "gradients of the search, on the first row of each image.")
    stage = _column("stage", "the stage of a cascade that made the row.")

    confidence = _column(
        "confidence", "(N, generations) the confidence in the row's class after each generation, of an evolved image."
    )

    def __init__(self, rows: ImageSetInMemory, path: Path | None = None) -> None:
        self.rows, self.path = rows, path  # the file that it was written to

    @classmethod
    def of_file(cls, path: Path, name: str) -> "AdversarialImages":
        """The set of a file, in memory."""
        with ImageSet(path) as opened:
            columns = {key: opened.column(key) for key in opened.names() if key != "header"}
            return cls(ImageSetInMemory(name, opened.header, columns), path)

    @property
    def header(self) -> Header:
        """How the set was made, as a file states it."""
        return self.rows.header

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes that labels and predictions index."""
        return self.rows.classes

    @property
    def images(self) -> Tensor:
        """(N, C, H, W) the adversarial images, in [0, 1]."""
        return self.rows.rows("images", 0, len(self))

    @property
    def originals(self) -> Tensor:
        """(M, C, H, W) the attacked images, each once."""
        return self.rows.rows("originals", 0, len(self.rows.columns["originals"]))

    @property
    def perturbations(self) -> Tensor:
        """(N, C, H, W) the adversarial image minus its original."""
        return self.images - self.originals[self.original]

    @property
    def success(self) -> Tensor:
        """(N,) whether the attack reached its goal, by a forward pass of the model itself on these images."""
        return torch.from_numpy(self.rows.column("success")).bool()

    @property
    def failed(self) -> tuple[str, ...]:
        """The trust checks that FAIL: where there are any, the set says little about the model."""
        results = map(of_document, self.header.get("checks", []))
        return tuple(name for name, result in results if result.status == "FAIL")

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        how, eps = self.header["made"], ", ".join(self.header["epsilon"])
        norm = "" if self.header["norm"] == "none" else f", {self.header['norm']} {eps}".rstrip()
        norm += ", not clipped" * self.rows.unclipped
        labels = self.rows.column("labels")
        attacked = int(((self.rows.column("clean_prediction") == labels) | (labels < 0)).sum())
        won = int(np.count_nonzero(self.rows.column("success")))
        return f"<AdversarialImages: {how['method']}{norm}: {len(self)} rows, {attacked} right before, {won} broken>"

    def save(self, path: str | Path, *, force: bool = False) -> Path:
        """Write the set to a file (.h5) that every verb reads; a file of other content is replaced only with `force`."""
        target = outputs.output_path(str(path), inputs.ADVERSARIAL)
        with atomic.locked(target):
            if force or not target.exists():
                imageset_writer.write_rows(target, self.header, self.rows.columns)
            elif content_digest(target) != self.rows.digest:
                raise outputs.taken(target, advice="give force=True to overwrite it, or another name")
        self.path = target
        return target

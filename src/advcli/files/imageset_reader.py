"""Guarded reading of image sets: the digest first, then names, types and shapes, then the header, then the rows."""

import contextlib
import hashlib
import weakref
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from advcli.errors import Damaged, InputError
from advcli.files import header_schema, imageset_schema, sandbox
from advcli.files.header import parse
from advcli.files.imageset_schema import IMAGES
from advcli.files.imageset_writer import BLOCK, block
from advcli.numerics.arrays import Array
from advcli.numerics.quantities import fraction

MOST_PIECE = 1 << 25  # bytes read at a time
NEAR = 4  # rows apart: those in between are read along, which takes less time than to ask twice


def content_digest(path: Path) -> str:
    """The digest that an image set states, after checking it against the bytes."""
    if path.is_dir():
        raise InputError(f"{path}: is a folder, not an image-set file; images in a folder are given with --data")
    with sandbox.regular(path) as file:
        stated, rest = sandbox.some(file, path, BLOCK), hashlib.sha256()
        while piece := sandbox.some(file, path, sandbox.PIECE):
            rest.update(piece)
    if not stated.startswith(b"sha256: ") or len(stated) < BLOCK:
        hint = "; a model is given with --model" if path.suffix == ".safetensors" else ""
        raise InputError(f"{path}: not an image set of advcli: it does not begin with a digest{hint}")
    if stated != block(rest.hexdigest()):
        raise Damaged(f"{path}: its bytes do not match its digest; the file was changed or damaged")
    return rest.hexdigest()


def _close(file: h5py.File) -> None:
    with contextlib.suppress(RuntimeError):  # damage that HDF5 notices late; all that was read is checked
        file.close()


class ImageSet:
    """An image-set file, open for reading; its structure is checked before a row is read.

    HDF5 reads through a Python file object, so that it never opens another file that the content names. An unknown file is
    read from end to end in a child process first.
    """

    def __init__(self, path: str | Path, *, digest: str | None = None, strange: bool = True) -> None:
        self.path = Path(path)
        self.digest = digest or content_digest(self.path)
        if strange:
            sandbox.first_in_child(path, lambda: self.read_through(path), self.path.stat().st_size, self.digest)
        with contextlib.ExitStack() as unfinished:
            source = unfinished.enter_context(sandbox.regular(path))
            try:
                self._file = h5py.File(source, "r")
                unfinished.callback(_close, self._file)
                imageset_schema.check(self._file, self.path, self.path.stat().st_size)
                self.header = parse(bytes(self._file["header"][:]), str(path))
                self._check_header()
            except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:  # what h5py raises for damage
                raise InputError(f"{path}: not an HDF5 file, or a damaged one ({str(error)[:60]})") from None
            self.close = weakref.finalize(self, unfinished.pop_all().close)  # at the latest when nobody reads any more

    @classmethod
    def read_through(cls, path: str | Path) -> None:
        """Read the whole file, and check it."""
        with cls(path, strange=False) as opened:
            for name in opened.names():
                for start, stop in opened.spans(name):
                    opened.rows(name, start, stop) if name in IMAGES else opened._stored(name, start, stop)

    def __enter__(self) -> "ImageSet":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __len__(self) -> int:
        return int(self._file["images"].shape[0])

    def __contains__(self, name: str) -> bool:
        return name in self._file

    @property
    def kind(self) -> str:
        return str(self.header["kind"])

    @property
    def signed(self) -> bool:
        """True if its values are differences between images."""
        return self.kind in header_schema.SIGNED

    @property
    def unclipped(self) -> bool:
        """True if some of its pixels lie outside [0, 1], so that no image file can hold them."""
        return self.kind == "adversarial" and self.header["range"] != [0, 1]

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.header["classes"])

    @property
    def shape(self) -> tuple[int, int, int]:
        _, c, h, w = self._file["images"].shape
        return c, h, w

    @property
    def eight_bit(self) -> bool:
        """True if the pixels are stored as bytes."""
        return bool(self._file["images"].dtype == np.uint8)

    def names(self) -> list[str]:
        """The names of the datasets."""
        return list(self._file)

    def column(self, name: str) -> Array:
        """A whole column."""
        return self._stored(name)

    def kept(self, name: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
        """Type and shape of a dataset as stored."""
        return self._file[name].dtype, tuple(self._file[name].shape)

    def spans(self, name: str) -> Iterator[tuple[int, int]]:
        """Starts and stops of row ranges that fit into memory."""
        rows, *rest = self._file[name].shape
        step = max(1, min(4096, MOST_PIECE // max(1, self._file[name].dtype.itemsize * int(np.prod(rest)))))
        for start in range(0, rows, step):
            yield start, min(start + step, rows)

    def pieces(self, name: str) -> Iterator[Array]:
        """A dataset as stored, in pieces."""
        for start, stop in self.spans(name):
            yield self._stored(name, start, stop)

    def _stored(self, name: str, start: int = 0, stop: int | None = None) -> Array:
        """Rows as they are stored."""
        try:
            found: Array = self._file[name][start:stop]
        except (OSError, ValueError, RuntimeError) as error:  # what h5py raises for damage
            raise InputError(f"{self.path}: /{name} cannot be read; the file is damaged ({str(error)[:60]})") from None
        return found

    def rows(self, name: str, start: int, stop: int) -> Tensor:
        """Consecutive rows as float32 images, checked: finite, and in the declared range."""
        stored = self._stored(name, start, stop)
        if stored.dtype == np.uint8:
            return torch.from_numpy(stored).to(torch.float32) / 255
        found = torch.from_numpy(stored)
        low, high = self.header["range"] if name == "images" else (0, 1)
        good = (torch.isfinite(found) & (found >= low) & (found <= high)).flatten(1).all(1)
        if not bool(good.all()):
            row = start + int((~good).nonzero()[0])
            values = found[row - start]
            raise InputError(
                f"{self.path}: /{name}, row {row}: pixels run from {values.min():g} to {values.max():g}, expected "
                f"{low:g} to {high:g}"
                + ("; divide by 255" if 1 < float(values.max()) <= 255 and float(values.min()) >= 0 else "")
            )
        return found

    def pick(self, name: str, places: Sequence[int] | Array) -> Tensor:
        """Images of any rows, in the given order; each is read once, and neighbouring rows together."""
        wanted, place = np.unique(np.asarray(places, dtype=np.int64), return_inverse=True)
        if not len(wanted):
            return self.rows(name, 0, 0)
        runs = np.split(wanted, np.flatnonzero(np.diff(wanted) > NEAR) + 1)
        found = torch.cat([self._run(name, run) for run in runs])
        return found if np.array_equal(place, np.arange(len(found))) else found[torch.from_numpy(place)]

    def _run(self, name: str, run: Array) -> Tensor:
        """Rows that lie near each other, in their order."""
        found = self.rows(name, int(run[0]), int(run[-1]) + 1)
        return found if len(found) == len(run) else found[torch.from_numpy(run - run[0])]

    def _check_budgets(self) -> None:
        """Check that every row's budget is one of the header's budgets."""
        if "epsilon" in self and self.kind != "filtered":
            known = np.array([float(fraction(text)) for text in self.header["epsilon"]], np.float32)
            stored = self.column("epsilon")
            bad = np.flatnonzero(~(np.isin(stored, known) if len(known) else np.isnan(stored)))
            if len(bad):
                raise InputError(f"{self.path}: /epsilon, row {bad[0]}: is none of the header's budgets")
        if "success" in self and (self.column("success") > 1).any():
            raise InputError(f"{self.path}: /success holds values that are neither 0 nor 1")

    def genomes(self) -> list[bytes]:
        """The text of every row's genome; empty if the set has none."""
        if "genome" not in self:
            return []
        ends, whole = self.column("genome").cumsum(), bytes(self.column("genomes"))
        return [whole[start:stop] for start, stop in pairwise([0, *ends.tolist()])]

    def _check_evolution(self) -> None:
        """Check that confidences are shares, and that every row has its part of the genomes."""
        if "confidence" in self:
            values = self.column("confidence")
            if not ((values >= 0) & (values <= 1)).all():
                raise InputError(f"{self.path}: /confidence holds values outside 0 and 1")
        if "genome" in self:
            sizes, there = self.column("genome"), self._file["genomes"].shape[0]
            if ((sizes < 0) | (sizes > there)).any() or sizes.sum() != there:
                raise InputError(f"{self.path}: /genome does not divide /genomes among the rows")

    def _check_header(self) -> None:
        header, where = self.header, self.path
        header_schema.image_set(header, str(where))
        classes = header["classes"]
        for name in ("labels", "target", "prediction", "clean_prediction"):
            if name in self:
                values = self.column(name)
                bad = np.flatnonzero((values < -1) | (values >= len(classes)))
                if len(bad):
                    hint = "; -100 is torch's word for no label, -1 is ours" if values[bad[0]] == -100 else ""
                    raise InputError(
                        f"{where}: /{name}, row {bad[0]}: {values[bad[0]]}, expected -1 to {len(classes) - 1} "
                        f"({len(classes)} classes){hint}"
                    )
        self._check_budgets()
        self._check_evolution()
        stages = len(header["of"].get("stages", ()) if self.kind == "filtered" else header.get("stages", ()))
        if ("stage" in self) != bool(stages) and self.kind in ("adversarial", "filtered"):
            raise InputError(f"{where}: /stage and the header's list of stages are there only together")
        if "stage" in self and ((self.column("stage") < -1) | (self.column("stage") >= stages)).any():
            raise InputError(f"{where}: /stage holds numbers that the header's list of stages does not have")
        if "original" in self:
            values = self.column("original")
            if len(values) and (values.min() < 0 or values.max() >= self._file["originals"].shape[0]):
                raise InputError(f"{where}: /original points outside /originals")

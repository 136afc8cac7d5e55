"""Reading image sets distrustfully: the digest first, then names, types and shapes, then the header, then the rows."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from advcli import schema
from advcli.arrays import Array
from advcli.errors import InputError
from advcli.header import parse
from advcli.imagewriter import BLOCK, MAGIC, block
from advcli.numbers import fraction

IMAGES = ("images", "originals")
COLUMNS = {
    "labels": np.dtype("<i8"),
    "index": np.dtype("<i8"),
    "original": np.dtype("<i8"),
    "target": np.dtype("<i8"),
    "epsilon": np.dtype("<f4"),
    "success": np.dtype("u1"),
    "prediction": np.dtype("<i8"),
    "clean_prediction": np.dtype("<i8"),
    "queries": np.dtype("<i8"),
    "gradients": np.dtype("<i8"),
}
NEEDED = ("header", "images", "labels", "index")
SIGNED = ("target", "epsilon", "success", "prediction", "clean_prediction")
ATTACKED = ("originals", "original", *SIGNED, "queries", "gradients")
SAFE_FILTERS = {1, 2, 3}  # deflate, shuffle, fletcher32
CHUNK = 1 << 22
MOST_PACKED = 1000  # how much smaller than its pictures a compressed dataset may be


def content_digest(path: Path) -> str:
    """The digest that an image set states, after checking it against the bytes."""
    try:
        with open(path, "rb") as file:
            stated, rest = file.read(BLOCK), hashlib.sha256()
            while piece := file.read(CHUNK):
                rest.update(piece)
    except OSError as error:
        raise InputError(f"{path}: {(error.strerror or str(error)).lower()}") from None
    if not stated.startswith(b"sha256: ") or len(stated) < BLOCK:
        hint = "; a model is given with --model" if path.suffix == ".safetensors" else ""
        raise InputError(f"{path}: not an image set of advcli's: it does not begin with a digest{hint}")
    if stated != block(rest.hexdigest()):
        raise Damaged(f"{path}: its bytes do not match its digest; the file was changed or damaged")
    return rest.hexdigest()


class Damaged(InputError):
    """The content is not what the digest says: for `verify` an answer, for everyone else exit 3."""


class ImageSet:
    """An image-set file, open for reading; its structure is checked before a row is read."""

    def __init__(self, path: str | Path, *, digest: str | None = None) -> None:
        self.path = Path(path)
        self.digest = digest or content_digest(self.path)
        try:
            self._file = h5py.File(self.path, "r")
        except OSError:
            raise InputError(f"{path}: not an HDF5 file, or a damaged one") from None
        try:
            self._check_structure()
            self.header = parse(bytes(self._file["header"][:]), str(path))
            self._check_header()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "ImageSet":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def __len__(self) -> int:
        return int(self._file["images"].shape[0])

    def __contains__(self, name: str) -> bool:
        return name in self._file

    @property
    def kind(self) -> str:
        return str(self.header["kind"])

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.header["classes"])

    @property
    def shape(self) -> tuple[int, int, int]:
        _, c, h, w = self._file["images"].shape
        return c, h, w

    @property
    def eight_bit(self) -> bool:
        """Whether the pixels are stored as bytes."""
        return bool(self._file["images"].dtype == np.uint8)

    def names(self) -> list[str]:
        """The datasets there are."""
        return list(self._file)

    def column(self, name: str) -> Array:
        """A whole small column."""
        values: Array = self._file[name][:]
        return values

    def kept(self, name: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
        """Type and shape of a dataset as it is stored."""
        return self._file[name].dtype, tuple(self._file[name].shape)

    def pieces(self, name: str, size: int = 4096) -> Iterator[Array]:
        """A dataset as it is stored, some rows at a time."""
        for start in range(0, self._file[name].shape[0], size):
            yield self._file[name][start : start + size]

    def rows(self, name: str, start: int, stop: int) -> Tensor:
        """Float32 pictures of consecutive rows, checked: finite, and in the declared range."""
        stored = self._file[name][start:stop]
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
        """Pictures of any rows, in the order asked for."""
        wanted = np.asarray(places, dtype=np.int64)
        if not len(wanted):
            return self.rows(name, 0, 0)
        runs = np.split(wanted, np.flatnonzero(np.diff(wanted) != 1) + 1)
        return torch.cat([self.rows(name, int(run[0]), int(run[-1]) + 1) for run in runs])

    def _check_structure(self) -> None:
        file, where = self._file, self.path
        mark = file.attrs.get("format")
        if not isinstance(mark, bytes) or mark != MAGIC:
            raise InputError(f"{where}: not an image set of advcli's: its format is {file.attrs.get('format')!r}")
        for name in file:
            link = file.get(name, getlink=True)
            if name not in COLUMNS and name not in (*IMAGES, "header"):
                raise InputError(f"{where}: /{name} is no dataset of an image set")
            if not isinstance(link, h5py.HardLink) or not isinstance(file[name], h5py.Dataset):
                raise InputError(f"{where}: /{name} is not stored in the file itself")
            self._check_dataset(name, file[name])
        kind = parse(bytes(file["header"][:]), str(where)).get("kind") if "header" in file else None
        for name in NEEDED + (ATTACKED if kind == "adversarial" else ()) + (SIGNED if kind == "perturbation" else ()):
            if name not in file:
                raise InputError(f"{where}: /{name} is missing")
        rows = file["images"].shape[0]
        if "originals" in file and file["originals"].shape[1:] != file["images"].shape[1:]:
            raise InputError(f"{where}: /originals has pictures of another shape than /images")
        if 0 in file["images"].shape[1:]:
            raise InputError(f"{where}: /images holds pictures without pixels")
        for name in COLUMNS.keys() & file.keys():
            if file[name].shape != (rows,):
                raise InputError(f"{where}: /{name} has shape {file[name].shape}, expected ({rows},)")

    def _check_dataset(self, name: str, data: h5py.Dataset) -> None:
        plan = data.id.get_create_plist()
        filters = {plan.get_filter(k)[0] for k in range(plan.get_nfilters())}
        if data.is_virtual or data.external or not filters <= SAFE_FILTERS:
            raise InputError(f"{self.path}: /{name} uses external or virtual storage or an unknown filter: refused")
        if name == "header":
            fits = data.dtype == np.uint8 and data.ndim == 1
        elif name in IMAGES:
            fits = data.dtype in (np.uint8, np.dtype("<f4")) and data.ndim == 4
        else:
            fits = data.dtype == COLUMNS[name]
        stored = data.id.get_storage_size()
        declared = data.dtype.itemsize * int(np.prod(data.shape, dtype=object))
        if declared > stored and (not filters or declared > MOST_PACKED * max(1, stored)):
            raise InputError(f"{self.path}: /{name} declares {declared} bytes and stores {stored}: refused")
        if not fits:
            raise InputError(f"{self.path}: /{name} has type {data.dtype} and shape {data.shape}: not that of an image set")

    def _check_budgets(self) -> None:
        """Every row's budget is one of those that the header names."""
        if "epsilon" in self and self.kind != "filtered":
            known = np.array([float(fraction(text)) for text in self.header["epsilon"]], np.float32)
            bad = np.flatnonzero(~np.isin(self.column("epsilon"), known))
            if len(bad):
                raise InputError(f"{self.path}: /epsilon, row {bad[0]}: is none of the header's budgets")
        if "success" in self and (self.column("success") > 1).any():
            raise InputError(f"{self.path}: /success holds values that are neither 0 nor 1")

    def _check_header(self) -> None:
        header, where = self.header, self.path
        schema.image_set(header, str(where))
        classes = header["classes"]
        for name in ("labels", "target", "prediction", "clean_prediction"):
            if name in self:
                values = self.column(name)
                bad = np.flatnonzero((values < -1) | (values >= len(classes)))
                if len(bad):
                    raise InputError(
                        f"{where}: /{name}, row {bad[0]}: {values[bad[0]]}, expected -1 to {len(classes) - 1} "
                        f"({len(classes)} classes)"
                    )
        self._check_budgets()
        if "original" in self:
            values = self.column("original")
            if len(values) and (values.min() < 0 or values.max() >= self._file["originals"].shape[0]):
                raise InputError(f"{where}: /original points outside /originals")

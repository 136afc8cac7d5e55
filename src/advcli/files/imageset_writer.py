"""Writing of image sets: an HDF5 file behind a 512-byte block with the digest of all other bytes.

HDF5 lays out an empty file in memory; the file layer then writes the bytes in order, as a stream, so that memory does not
grow with the rows and HDF5 never meets a full disk. docs/format.md describes the file.
"""

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from advcli.files import atomic, sandbox
from advcli.files.header import Header, canonical
from advcli.numerics.arrays import Array

BLOCK = 512
MAGIC = b"advcli/images/1"

Pieces = Callable[[], Iterable[Array]]
Layout = dict[str, tuple[np.dtype[Any], tuple[int, ...]]]


def block(content: str) -> bytes:
    """The user block: the place of the digest for a reader, and for `sha256sum` after 512 bytes."""
    return b"sha256: " + content.encode().ljust(BLOCK - 8, b"\0")


def write(path: Path, header: Header, layout: Layout, fill: dict[str, Pieces]) -> str:
    """Publish an image set; `fill` gives each dataset's rows in pieces, in order. Returns the digest."""
    with atomic.Writer(path) as writer:
        content = hashlib.sha256()
        writer.append(bytes(BLOCK))
        for piece in _content(header, layout, fill):
            content.update(piece)
            writer.append(piece)
        writer.at(0)
        writer.append(block(content.hexdigest()))
        writer.commit()
    sandbox.trusted_digests.add(content.hexdigest())
    return content.hexdigest()


def digest_of(header: Header, columns: dict[str, Array]) -> str:
    """The digest that the file of these rows would have."""
    content = hashlib.sha256()
    for piece in _content(header, *in_memory(columns)):
        content.update(piece)
    return content.hexdigest()


def _content(header: Header, layout: Layout, fill: dict[str, Pieces]) -> Iterator[memoryview]:
    """All bytes after the user block."""
    text = np.frombuffer(canonical(header), np.uint8)
    frame, extents = _frame({"header": (text.dtype, text.shape), **layout})
    return _in_order(frame, extents, {"header": lambda: [text], **fill})


class Frame(io.RawIOBase):
    """A file in memory that keeps only what was written: HDF5's own bytes, without the space for the data."""

    def __init__(self) -> None:
        self.pieces: dict[int, bytes] = {}
        self.place = self.size = 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.place, io.SEEK_END: self.size}[whence]
        return self.place

    def tell(self) -> int:
        return self.place

    def truncate(self, size: int | None = None) -> int:
        self.size = self.place if size is None else size
        return self.size

    def write(self, data: Any) -> int:
        self.pieces[self.place] = bytes(data)
        self.place += len(data)
        self.size = max(self.size, self.place)
        return len(data)

    def readinto(self, buffer: Any) -> int:
        room = memoryview(buffer)
        room[:] = self.between(self.place, self.place + len(room))
        self.place += len(room)
        return len(room)

    def between(self, start: int, stop: int) -> bytes:
        """The bytes of a range, zero where nothing was written; later writes cover earlier ones."""
        found = bytearray(stop - start)
        for offset, data in self.pieces.items():
            low, high = max(start, offset), min(stop, offset + len(data))
            if low < high:
                found[low - start : high - start] = data[low - offset : high - offset]
        return bytes(found)


def _frame(layout: Layout) -> tuple[Frame, list[tuple[int, int, str]]]:
    """The file as HDF5 lays it out, with space for the data; (offset, size, dataset) of every extent, in order."""
    extents, frame = [], Frame()
    with h5py.File(frame, "w", libver=("v110", "v110"), userblock_size=BLOCK) as file:
        file.attrs["format"] = np.bytes_(MAGIC)
        for name, (dtype, shape) in layout.items():
            plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            plan.set_layout(h5py.h5d.CONTIGUOUS)
            plan.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
            plan.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
            plan.set_obj_track_times(False)
            space, kind = h5py.h5s.create_simple(shape), h5py.h5t.py_create(dtype)
            made = h5py.h5d.create(file.id, name.encode(), kind, space, dcpl=plan)
            size = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
            if size:
                extents.append((made.get_offset(), size, name))
    return frame, sorted(extents)


def _in_order(frame: Frame, extents: list[tuple[int, int, str]], fill: dict[str, Pieces]) -> Iterator[memoryview]:
    """All bytes after the user block: HDF5's own between the extents, the data within."""
    at = BLOCK
    for offset, size, name in [*extents, (frame.size, 0, "")]:
        yield memoryview(frame.between(at, offset))
        for piece in fill[name]() if name else ():
            yield np.ascontiguousarray(piece).reshape(-1).view(np.uint8).data
        at = offset + size


def write_rows(path: Path, header: Header, columns: dict[str, Array]) -> str:
    """Publish an image set that is in memory."""
    return write(path, header, *in_memory(columns))


def in_memory(columns: dict[str, Array]) -> tuple[Layout, dict[str, Pieces]]:
    """The layout of arrays, and a filling that gives each as one piece."""
    layout = {name: (rows.dtype, rows.shape) for name, rows in columns.items()}
    return layout, {name: partial(list, [rows]) for name, rows in columns.items()}

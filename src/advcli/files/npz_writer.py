"""Writing of .npz files (a zip of .npy arrays) in pieces, so that memory does not grow with the rows.

The bytes are those of `numpy.savez`: stored, not compressed, dated 1980, so that equal content gives equal bytes.
"""

import io
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from advcli.files import atomic
from advcli.numerics.arrays import Array


def write(path: Path, arrays: dict[str, tuple[np.dtype[Any], tuple[int, ...], Iterable[Array]]]) -> None:
    """Publish arrays, each given as its type, its shape and its rows in pieces."""
    with atomic.Writer(path) as writer:
        with zipfile.ZipFile(_File(writer), "w", zipfile.ZIP_STORED) as archive:
            for name, (dtype, shape, pieces) in arrays.items():
                with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
                    layout = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
                    npy.write_array_header_1_0(entry, layout)
                    for piece in pieces:
                        entry.write(np.ascontiguousarray(piece).reshape(-1).view(np.uint8).data)
        writer.commit()


class _File(io.RawIOBase):
    """A file of the file layer as `zipfile` needs one: it seeks back to write an entry's size and checksum."""

    def __init__(self, writer: atomic.Writer) -> None:
        self.writer, self.place = writer, 0

    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position from the start."""
        if whence != io.SEEK_SET:
            raise io.UnsupportedOperation("only from the start")
        self.writer.at(offset)
        self.place = offset
        return offset

    def write(self, data: Any) -> int:
        self.writer.append(data)
        self.place += len(data)
        return len(data)

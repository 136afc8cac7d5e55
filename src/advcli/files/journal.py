"""Answers that a model gave, by the picture, on disk while a run is not finished: what is asked again costs nothing.

A record is a digest of the picture, the answer as float32, and a digest of both, so that a record that was cut off by a kill
is noticed; it ends the file. Records are appended and not flushed to the disk: a crash of the machine may lose the last ones,
which are then asked for again.
"""

import contextlib
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from advcli.files import atomic
from advcli.numerics.arrays import Array

KEY, CHECK = 16, 4  # bytes of the digests
FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)


def key_of(picture: Array) -> bytes:
    """The digest of one picture's values."""
    return hashlib.blake2b(np.ascontiguousarray(picture, "<f4").tobytes(), digest_size=KEY).digest()


def _check(record: bytes) -> bytes:
    return hashlib.blake2b(record, digest_size=CHECK).digest()


class Journal:
    """The answers so far; `width` numbers each."""

    def __init__(self, path: Path, width: int) -> None:
        self.path, self.width = path, width
        self.known: dict[bytes, bytes] = {}
        with atomic.explained(path):
            atomic.make_folder(path.parent)
            self._handle = atomic.calls.open(path, FLAGS)
        self._read()

    def find(self, key: bytes) -> Array | None:
        """The answer to a picture; None if it was not asked."""
        found = self.known.get(key)
        return None if found is None else np.frombuffer(found, "<f4")

    def add(self, keys: Sequence[bytes], answers: Array) -> None:
        """Keep some answers."""
        records = []
        for key, answer in zip(keys, np.ascontiguousarray(answers, "<f4"), strict=True):
            self.known[key] = answer.tobytes()
            records.append(key + self.known[key])
        rest = memoryview(b"".join(one + _check(one) for one in records))
        with atomic.explained(self.path):
            while len(rest):
                rest = rest[atomic.calls.write(self._handle, rest) :]

    def clear(self) -> None:
        """Forget all answers: what they were needed for is finished."""
        self.known.clear()
        os.ftruncate(self._handle, 0)

    def close(self) -> None:
        """Close the file, which stays."""
        with contextlib.suppress(OSError):
            os.close(self._handle)

    def _read(self) -> None:
        """Read the records that are whole; cut off the rest."""
        size = KEY + 4 * self.width
        data, end = self.path.read_bytes(), 0
        for start in range(0, len(data) - size - CHECK + 1, size + CHECK):
            record, check = data[start : start + size], data[start + size : start + size + CHECK]
            if _check(record) != check:
                break
            self.known[record[:KEY]], end = record[KEY:], start + size + CHECK
        os.ftruncate(self._handle, end)

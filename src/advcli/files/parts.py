"""Finished batches on disk, from which a rerun resumes."""

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from advcli.errors import AdvcliError, CommandError
from advcli.files import atomic
from advcli.files.header import Header, canonical, digest, identity
from advcli.files.imageset_writer import Layout
from advcli.files.journal import Journal
from advcli.numerics.arrays import Array
from advcli.runtime import devices
from advcli.runtime.reporter import Reporter


class Parts:
    """Finished batches on disk, beside the output that they will become."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.note = folder, folder / "command.json"
        self.stamp = b""

    @classmethod
    def of(cls, output: Path) -> "Parts":
        return cls(output.with_name(f"{output.name}.parts"))

    def begin(self, how: Header, reporter: Reporter) -> None:
        """Keep the parts of the same command under the same conditions; delete any others."""
        self.stamp = stamp_of(how)
        there = {p.name for p in self.folder.glob("*")} - {self.note.name}
        if strange := [name for name in there if not PART.fullmatch(name)]:
            raise CommandError(
                f"{self.folder}: holds {strange[0]}, which is not a part of an advcli run; move it, or use -o for another name"
            )
        if not (self.note.exists() and self.note.read_bytes() == self.stamp):
            if there:
                reporter.warn(f"{self.folder}: {len(there)} finished parts of another command are deleted")
            self.remove()

    def join(self, how: Header) -> None:
        """Work on parts that other processes work on, too; refused if they belong to another command or other conditions."""
        self.stamp = stamp_of(how)
        if not self.note.exists():
            atomic.write(self.note, [self.stamp])
        if self.note.read_bytes() != self.stamp:
            raise CommandError(
                f"{self.folder}: holds parts of another command, or made with other threads, another batch size, processor or "
                "torch, which may change the last bit; give all processes the same --threads and --batch-size"
            )

    def is_begun(self, how: Header) -> bool:
        """True if a process has begun this command here."""
        return self.note.exists() and self.note.read_bytes() == stamp_of(how)

    def covered(self) -> list[range]:
        """The parts that are there, by their names alone."""
        return [range(int(start), int(stop)) for start, stop, _ in (path.stem.split("-") for path in self._all())]

    def save(self, start: int, stop: int, columns: dict[str, Array]) -> None:
        """Publish the result from `start` to `stop`; the name states both, and the digest of the bytes."""
        if not self.note.exists():
            atomic.write(self.note, [self.stamp])
        columns = {name: np.ascontiguousarray(values) for name, values in columns.items()}
        each = {name: digest(values.tobytes()) for name, values in columns.items()}
        data = safetensors.numpy.save(columns, metadata={DIGESTS: canonical(each).decode()})
        atomic.write(self.folder / f"{start:09d}-{stop:09d}-{digest(data)[:32]}.part", [data])

    def journal(self, number: int, width: int) -> Journal:
        """The answers of a model that belong to the part that is being made."""
        if not self.note.exists():
            atomic.write(self.note, [self.stamp])
        return Journal(self.folder / f"answers-{number:03d}.journal", width)

    def finished(self) -> list[range]:
        """The finished parts in order; a part whose bytes do not match its name is deleted."""
        found: list[range] = []
        for path in self._all():
            start, stop, content = path.stem.split("-")
            overlaps = found and int(start) < found[-1].stop
            if overlaps or digest(path.read_bytes())[:32] != content:
                atomic.calls.unlink(path)
            else:
                found.append(range(int(start), int(stop)))
        return found

    def latest(self) -> tuple[int, dict[str, Array]] | None:
        """The end and the content of the intact part that reaches furthest."""
        for path in reversed(self._all()):
            _, stop, content = path.stem.split("-")
            data = path.read_bytes()
            if digest(data)[:32] == content:
                return int(stop), safetensors.numpy.load(data)
        return None

    def keep_only(self, stop: int) -> None:
        """Delete all parts except the one that ends there."""
        for path in self._all():
            if int(path.stem.split("-")[1]) != stop:
                atomic.calls.unlink(path)

    def _all(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("*.part") if PART.fullmatch(path.name))

    def column(self, name: str) -> Iterator[Array]:
        """One dataset's rows, part by part; each part is checked against its digest when it is read."""
        for path in self._all():
            with _noticing(path), safetensors.safe_open(path, framework="numpy") as part:
                found = part.get_tensor(name)
                if digest(found.tobytes()) != json.loads(part.metadata()[DIGESTS])[name]:
                    raise ValueError(name)
            yield found

    def shapes(self) -> Layout:
        """Type and full shape of every dataset."""
        found: Layout = {}
        for path in self._all():
            with _noticing(path), safetensors.safe_open(path, framework="numpy") as part:
                for name in part.keys():  # noqa: SIM118  # a safetensors handle, no dict
                    piece = part.get_slice(name)
                    shape, dtype = tuple(piece.get_shape()), np.dtype(NUMPY_TYPES[str(piece.get_dtype())])
                    rows = shape[0] + (found[name][1][0] if name in found else 0)
                    found[name] = (dtype, (rows, *shape[1:]))
        return found

    def remove(self) -> None:
        """Delete our files first, the note last, then the folder; other files in it stay, and then the folder too."""
        if self.folder.is_dir():
            litter = [path for path in self.folder.glob(".*") if PART.fullmatch(path.name)]
            ours = [path for kind in ("answers-???.journal", "*.lease") for path in self.folder.glob(kind)]
            for path in (*self._all(), *ours, *litter, self.note):
                atomic.calls.unlink(path)
            with contextlib.suppress(OSError):
                atomic.calls.rmdir(self.folder)


DIGESTS = "digests"  # of every column, in a part's own metadata
PART = re.compile(
    r"\d{9}-\d{9}-[0-9a-f]{32}\.part|answers-\d{3}\.journal|lease-\d{9}(-[0-9a-f]{32})?\.lease"
    r"|\.(command\.json|.*\.part)\..{8}\.tmp"
)


def stamp_of(how: Header) -> bytes:
    """What the bytes of a part depend on: parts with other stamps are never mixed."""
    return canonical({"identity": identity(how), "environment": how["environment"], "cpu": devices.processor()})


NUMPY_TYPES = {"F32": "<f4", "U8": "u1", "I64": "<i8"}


@contextlib.contextmanager
def _noticing(path: Path) -> Iterator[None]:
    """Report a part whose bytes have changed on the disk since they were written."""
    try:
        yield
    except (safetensors.SafetensorError, ValueError, LookupError, TypeError) as error:
        raise AdvcliError(f"{path}: changed on the disk since it was written; the same command makes it again") from error


def log_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    """A JSON-lines log, published whole."""
    atomic.write(path, ["".join(json.dumps(line) + "\n" for line in lines).encode()])

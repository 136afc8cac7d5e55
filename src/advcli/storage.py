"""The one layer through which everything is written: temporary file, fsync, rename, fsync of the folder.

A reader sees the old file or the new one, never half of one. Every call goes through `Calls`, so that a test can
raise ENOSPC or stop the process at each of them.
"""

import contextlib
import errno
import glob
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from advcli.errors import AdvcliError

if sys.platform != "win32":
    import fcntl


class Calls:
    """The system calls of the file layer; tests replace `calls` with one that fails on demand."""

    def write(self, handle: int, data: bytes | memoryview) -> int:
        return os.write(handle, data)

    def fsync(self, handle: int) -> None:
        os.fsync(handle)

    def rename(self, old: Path, new: Path) -> None:
        os.replace(old, new)

    def unlink(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def mkdir(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)


calls = Calls()


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """System errors in words, as exit 4."""
    try:
        yield
    except OSError as error:
        remedy = {errno.ENOSPC: "; free some space and run the same command again", errno.EDQUOT: "; your quota is used up"}
        raise AdvcliError(f"{path}: {os.strerror(error.errno or 0).lower()}{remedy.get(error.errno or 0, '')}") from error


class Writer:
    """A file on its way: bytes appended or patched, published by `commit`, gone otherwise."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with _explained(path):
            calls.mkdir(path.parent)
            self._handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
            self.temporary = Path(name)
            os.fchmod(self._handle, 0o666 & ~_umask())

    def append(self, data: bytes | memoryview) -> None:
        """Write all of it, however little a call takes."""
        with _explained(self.path):
            rest = memoryview(data).cast("B")
            while len(rest):
                rest = rest[calls.write(self._handle, rest) :]

    def at(self, offset: int) -> None:
        os.lseek(self._handle, offset, os.SEEK_SET)

    def commit(self) -> None:
        """Flush, rename into place, flush the folder."""
        with _explained(self.path):
            calls.fsync(self._handle)
            calls.rename(self.temporary, self.path)
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                calls.fsync(folder)
            finally:
                os.close(folder)

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *failure: object) -> None:
        os.close(self._handle)
        with contextlib.suppress(OSError):
            self.temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write(path: Path, pieces: Iterable[bytes | memoryview]) -> None:
    """Publish a file whole."""
    with Writer(path) as writer:
        for piece in pieces:
            writer.append(piece)
        writer.commit()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Be the only writer of `path`; a second one ends at once with exit 4.

    A lock file with flock. Where the file system has no flock, the file's exclusive creation is the lock, and it is
    stale when the process that it names is gone.
    """
    lock = path.with_name(f".{path.name}.lock")
    busy = AdvcliError(f"{path}: another advcli is writing it (lock {lock}); wait for it or choose another -o")
    with _explained(lock):
        calls.mkdir(lock.parent)
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine = os.fstat(handle).st_ino
            if not lock.exists() or lock.stat().st_ino != mine:  # the last owner removed it in between
                raise busy
        except BlockingIOError:
            raise busy from None
        except OSError:
            _exclusive(lock.with_suffix(".owner"), busy)
        killed = f".{glob.escape(path.name)}.????????.tmp"  # what a writer left that was killed; we are the only one now
        for litter in path.parent.glob(killed):
            litter.unlink(missing_ok=True)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                lock.unlink(missing_ok=True)
                lock.with_suffix(".owner").unlink(missing_ok=True)
    finally:
        os.close(handle)


def _exclusive(owner: Path, busy: AdvcliError) -> None:
    me = json.dumps({"host": os.uname().nodename, "pid": os.getpid(), "started": _started(os.getpid())})
    for _ in range(2):
        try:
            with open(owner, "x") as file:
                file.write(me)
            return
        except FileExistsError:
            with contextlib.suppress(OSError, ValueError, KeyError):
                other = json.loads(owner.read_text())
                if other["host"] != os.uname().nodename or _started(other["pid"]) == other["started"]:
                    raise busy from None
                owner.unlink(missing_ok=True)
    raise busy


def _started(pid: int) -> str | None:
    """When a process started, in the kernel's ticks: a number that its successor under the same id does not share."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return None

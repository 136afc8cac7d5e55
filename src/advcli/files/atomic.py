"""The only layer that writes files: temporary file, fsync, rename, fsync of the folder.

A reader sees the old file or the new one, never half of one. Every call goes through `Calls`, so that a test can
raise ENOSPC or stop the process at each of them.
"""

import contextlib
import ctypes
import errno
import glob
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from advcli.errors import AdvcliError, Busy

if sys.platform != "win32":
    import fcntl


class Calls:
    """The system calls of the file layer; tests replace `calls` with one that fails, stops or records."""

    def mkdir(self, path: Path) -> None:
        path.mkdir(exist_ok=True)

    def rmdir(self, path: Path) -> None:
        path.rmdir()

    def create(self, folder: Path, prefix: str) -> tuple[int, Path]:
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=".tmp", dir=folder)
        return handle, Path(name)

    def open(self, path: Path, flags: int) -> int:
        return os.open(path, flags, 0o666)

    def write(self, handle: int, data: bytes | memoryview) -> int:
        return os.write(handle, data)

    def fsync(self, handle: int) -> None:
        os.fsync(handle)

    def sync_folder(self, path: Path) -> None:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def rename(self, old: Path, new: Path) -> None:
        os.replace(old, new)

    def exchange(self, one: Path, other: Path) -> None:
        """Swap two names atomically; if the system cannot do that, `other` is missing for a moment."""
        if not _swapped(one, other):
            os.replace(other, _aside(other))
            os.replace(one, other)
            os.replace(_aside(other), one)

    def unlink(self, path: Path) -> None:
        path.unlink(missing_ok=True)


calls = Calls()
PAUSE = 0.2  # seconds between two looks at a lock
HERE, SWAP = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux


def _swapped(one: Path, other: Path) -> bool:
    """Ask the kernel to exchange two names; returns whether it did."""
    try:
        swap = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError, TypeError):  # another system, or another libc
        return False
    return bool(swap(HERE, os.fsencode(one), HERE, os.fsencode(other), SWAP) == 0)


def _aside(path: Path) -> Path:
    """The temporary name of a folder while another one takes its place."""
    return path.with_name(f".{path.name}.replaced")


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn system errors into messages with exit code 4."""
    try:
        yield
    except OSError as error:
        remedy = {errno.ENOSPC: "; free some space and run the same command again", errno.EDQUOT: "; your quota is used up"}
        raise AdvcliError(f"{path}: {os.strerror(error.errno or 0).lower()}{remedy.get(error.errno or 0, '')}") from error


class Writer:
    """A file being written: append or patch bytes, then `commit`; otherwise it is removed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with explained(path):
            make_folder(path.parent)
            self._handle, self.temporary = calls.create(path.parent, f".{path.name}.")
            os.fchmod(self._handle, 0o666 & ~_umask())

    def append(self, data: bytes | memoryview) -> None:
        """Write all bytes, however few a call takes."""
        with explained(self.path):
            rest = memoryview(data).cast("B")
            while len(rest):
                rest = rest[calls.write(self._handle, rest) :]

    def at(self, offset: int) -> None:
        os.lseek(self._handle, offset, os.SEEK_SET)

    def commit(self) -> None:
        """Flush, rename into place, flush the folder."""
        with explained(self.path):
            calls.fsync(self._handle)
            calls.rename(self.temporary, self.path)
            calls.sync_folder(self.path.parent)

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


def make_folder(path: Path) -> None:
    """Make a folder and its parents, and flush each parent's entry to the disk."""
    for one in reversed([one for one in (path, *path.parents) if not one.exists()]):
        calls.mkdir(one)
        calls.sync_folder(one.parent)


def write(path: Path, pieces: Iterable[bytes | memoryview]) -> None:
    """Write and publish a whole file."""
    with Writer(path) as writer:
        for piece in pieces:
            writer.append(piece)
        writer.commit()


@contextlib.contextmanager
def folder(path: Path) -> Iterator[Path]:
    """Build a folder under a temporary name; when it is complete it takes the name, and the old folder is removed.

    A reader sees the old folder or the new one, never some of both.
    """
    with beside(path) as building:
        yield building
        with explained(path):
            calls.sync_folder(building)
            if path.exists():
                calls.exchange(building, path)
            else:
                calls.rename(building, path)
            calls.sync_folder(path.parent)


@contextlib.contextmanager
def beside(path: Path) -> Iterator[Path]:
    """An empty folder beside an output, removed at the end unless it was renamed.

    One process at a time works in it, and begins by removing what a killed one has left aside.
    """
    building = path.with_name(f".{path.name}.building")
    with locked(path):
        with explained(path):
            if _aside(path).exists() and not path.exists():  # killed between two renames
                calls.rename(_aside(path), path)
            for left in (building, _aside(path)):
                remove(left)
            make_folder(building)
        try:
            yield building
        finally:
            with contextlib.suppress(OSError):
                remove(building)


def remove(path: Path) -> None:
    """Remove a file, or a folder with its content, if it exists; the target of a link is not touched."""
    if path.is_dir() and not path.is_symlink():
        for inner in path.iterdir():
            remove(inner)
        calls.rmdir(path)
    elif path.is_symlink() or path.exists():
        calls.unlink(path)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Be the only writer of `path`; a second process ends at once with exit code 4.

    A lock file with flock. Where the file system has no flock, the file's exclusive creation is the lock, and it is
    stale when the process that it names is gone.
    """
    lock = path.with_name(f".{path.name}.lock")
    busy = Busy(f"{path}: another advcli is writing it (lock {lock}); wait for it, or use -o to choose another name")
    with explained(lock):
        make_folder(lock.parent)
        handle = calls.open(lock, os.O_RDWR | os.O_CREAT)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine = os.fstat(handle).st_ino
            if not lock.exists() or lock.stat().st_ino != mine:  # the last owner removed it in between
                raise busy
        except BlockingIOError:
            raise busy from None
        except OSError:
            with explained(lock):
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


def wait_for(path: Path) -> None:
    """Wait until no process writes `path`."""
    while True:
        try:
            with locked(path):
                return
        except Busy:
            time.sleep(PAUSE)


def _exclusive(owner: Path, busy: Busy) -> None:
    """Create the owner file, which only one process can; an owner file whose process has ended is moved away first."""
    me = json.dumps({"host": os.uname().nodename, "pid": os.getpid(), "started": started(os.getpid())}).encode()
    for _ in range(2):
        try:
            handle = calls.open(owner, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            if alive(text := _said(owner)):
                raise busy from None
            aside = owner.with_suffix(f".stale-{os.getpid()}")
            with contextlib.suppress(FileNotFoundError):
                calls.rename(owner, aside)
                if _said(aside) != text:  # somebody was faster, and this is his: give it back
                    with contextlib.suppress(FileExistsError):
                        os.link(aside, owner)
                    calls.unlink(aside)
                    raise busy from None
                calls.unlink(aside)
            continue
        try:
            calls.write(handle, me)
        finally:
            os.close(handle)
        return
    raise busy


def _said(owner: Path) -> bytes:
    try:
        return owner.read_bytes()
    except OSError:
        return b""


def alive(text: bytes) -> bool:
    """True if the process that an owner file names is still running, or may be, on another host."""
    try:
        other = json.loads(text)
        return bool(other["host"] != os.uname().nodename or started(other["pid"]) == other["started"])
    except (ValueError, KeyError, TypeError):
        return False  # cut short by a crash


def started(pid: int) -> str | None:
    """The start time of a process in kernel ticks, which distinguishes it from a later process with the same id."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return None

"""Guarded opening of files from others: regular files only, and unknown content first in a child process with limits.

The child reads the file as the command will. If the content crashes it, hangs it or floods its memory, that happens in the
child, and the command ends with exit code 3. On systems where processes cannot fork safely (Windows, macOS) the same checks
run in the process itself.
"""

import errno
import hashlib
import json
import os
import select
import signal
import stat
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NoReturn

from advcli.errors import AdvcliError, CommandError, Damaged, InputError

PIECE = 1 << 22
MEMORY = 256 << 20  # what a child may use beyond four times the file
CPU, WALL = 2, 60  # seconds for a small file: few of work, many of waiting for a busy machine
HOLES = 64  # how much larger than its blocks on disk a file may claim to be
SMALL = 1 << 26
KINDS: dict[str, type[AdvcliError]] = {one.__name__: one for one in (AdvcliError, CommandError, InputError, Damaged)}

trusted_digests: set[str] = set()  # digests of content that this process has written, or has seen pass the child


def regular(path: str | Path) -> BinaryIO:
    """Open a regular file that is fully stored: no pipe, no device, no sparse file."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            os.close(handle)
            raise InputError(f"{path}: {'is a folder' if stat.S_ISDIR(found.st_mode) else 'is not a regular file'}")
    except OSError as error:
        raise InputError(f"{path}: {os.strerror(error.errno or errno.EIO).lower()}") from None
    except ValueError:
        raise InputError(f"{path!r}: not a valid path") from None
    if found.st_size > SMALL and getattr(found, "st_blocks", found.st_size) * 512 * HOLES < found.st_size:
        os.close(handle)
        raise InputError(f"{path}: sparse file of {found.st_size} bytes refused")
    return os.fdopen(handle, "rb")


def read(path: str | Path, most: int | None = None) -> bytes:
    """The bytes of a regular file; InputError if there are more than `most`."""
    with regular(path) as file:
        if most is not None and os.fstat(file.fileno()).st_size > most:
            raise InputError(f"{path}: is larger than {most} bytes, the limit for files of its kind")
        return some(file, path, -1)


def digest_of(path: str | Path) -> str:
    """SHA-256 of a file's bytes, read in pieces."""
    found = hashlib.sha256()
    with regular(path) as file:
        while piece := some(file, path, PIECE):
            found.update(piece)
    return found.hexdigest()


def some(file: BinaryIO, path: str | Path, size: int) -> bytes:
    """The next bytes of a file; a read error becomes an InputError."""
    try:
        return file.read(size)
    except OSError as error:
        raise InputError(f"{path}: {os.strerror(error.errno or errno.EIO).lower()}") from None


def first_in_child(where: str | Path, look: Callable[[], object], size: int, digest: str | None = None) -> None:
    """Run `look` in a child with limits on time and memory; its failure is raised here.

    Content whose digest is known, because this process has written or checked it, needs no child.
    """
    if digest in trusted_digests:
        return
    if sys.platform in ("win32", "darwin"):
        look()
    else:
        _judge(str(where), *_in_child(look, size))
    if digest:
        trusted_digests.add(digest)


def _in_child(look: Callable[[], object], size: int) -> tuple[bytes, int]:
    """The child's result and its exit status; a result that did not arrive in time is empty."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of threads, which the child leaves alone
        child = os.fork()
    if child == 0:
        os.close(reading)
        _child(look, size, writing)
    os.close(writing)
    said, end, ended = b"", time.monotonic() + WALL + size / 5e6, False
    try:
        while select.select([reading], [], [], max(0.0, end - time.monotonic()))[0]:
            if not (piece := os.read(reading, 1 << 16)):
                ended = True
                break
            said += piece
    finally:
        os.close(reading)
        if not (said and ended):
            os.kill(child, signal.SIGKILL)  # dead, or too late, however little processor time it took
        _, status = os.waitpid(child, 0)
    return said, status


def _child(look: Callable[[], object], size: int, writing: int) -> NoReturn:
    """Run within limits, send the result, and exit without side effects."""
    answer: dict[str, str] = {}
    try:
        limit(MEMORY + 4 * size, CPU + int(size / 25e6))
        look()
    except AdvcliError as error:
        answer = {"kind": type(error).__name__, "text": str(error)}
    except MemoryError:
        answer = {"kind": "memory"}
    except BaseException as error:
        answer = {"kind": "memory" if "alloc" in str(error) else "unreadable", "text": f"{type(error).__name__}: {error}"[:120]}
    finally:
        try:
            os.write(writing, json.dumps(answer).encode())
        finally:
            os._exit(0)


def limit(memory: int, seconds: int | None = None) -> None:
    """Limit the memory and CPU time of this child; close its streams; ignore SIGINT."""
    import resource  # there is none on Windows

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if seconds:
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)  # the other threads did not come along


def _judge(where: str, said: bytes, status: int) -> None:
    answer = json.loads(said) if said else {"kind": "time" if os.WIFSIGNALED(status) and _ran_out(status) else "crash"}
    if not answer:
        return
    kind, text = answer["kind"], answer.get("text", "")
    reasons = {
        "memory": "reading it takes far more memory than its size",
        "time": "reading it takes far more time than its size",
        "crash": "the reader crashed on it",
        "unreadable": f"damaged, or of another kind ({text})",
    }
    if kind in KINDS:
        raise KINDS[kind](text)
    raise InputError(f"{where}: {reasons[kind]}; refused")


def _ran_out(status: int) -> bool:
    return os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL)

"""Leases: which of several processes works on which part of one output.

A lease is a file that only one process can create. Its owner writes a new beat into it every few seconds; a lease whose beat
has not changed for a minute, or whose process on this machine has ended, may be taken over. Only what an observer saw change,
by its own clock, counts: clocks of machines differ, file locks fail on network file systems, and a process id means nothing on
another machine. A part that is made twice has the same bytes and the same name, so that a mistake costs time and nothing else.
"""

import contextlib
import json
import os
import threading
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Self

from advcli.errors import AdvcliError
from advcli.files import atomic

SILENT = 60.0  # seconds without a new beat after which a lease may be taken over
NAME = "lease-{:09d}.lease"


class Leases:
    """The leases of one process on the parts in a folder."""

    def __init__(self, folder: Path, silent: float = SILENT) -> None:
        self.folder, self.silent = folder, silent
        self.me = uuid.uuid4().hex
        self._mine: set[int] = set()
        self._seen: dict[int, tuple[bytes, float]] = {}  # the last beat of others, and when it was first seen
        self._beat, self._ended = 0, threading.Event()
        self._heart = threading.Thread(target=self._beating, daemon=True)

    def __enter__(self) -> Self:
        self._heart.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        self._heart.join()
        for number in [*self._mine]:
            self.release(number)

    def take(self, number: int) -> bool:
        """Try to become the owner of a part; a lease that went silent is moved away first."""
        path = self._path(number)
        if self._create(path):
            self._mine.add(number)
            return True
        if self._stale(number, path):
            self._move_away(path, self._seen.pop(number)[0])
            if self._create(path):
                self._mine.add(number)
                return True
        return False

    def release(self, number: int) -> None:
        """Give a part back, unless another process has taken it over."""
        self._mine.discard(number)
        path = self._path(number)
        if self._owner(_read(path)) == self.me:
            with contextlib.suppress(OSError):
                atomic.calls.unlink(path)

    def _path(self, number: int) -> Path:
        return self.folder / NAME.format(number)

    def _create(self, path: Path) -> bool:
        try:
            with atomic.explained(path):
                handle = atomic.calls.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        except AdvcliError as error:
            if isinstance(error.__cause__, FileExistsError | FileNotFoundError):  # or the set is published, and the folder gone
                return False
            raise
        try:
            atomic.calls.write(handle, self._content())
        finally:
            os.close(handle)
        return True

    def _content(self) -> bytes:
        who = {"owner": self.me, "host": os.uname().nodename, "pid": os.getpid(), "started": atomic.started(os.getpid())}
        return json.dumps(who | {"beat": self._beat}).encode()

    def _owner(self, content: bytes) -> str | None:
        try:
            return str(json.loads(content)["owner"])
        except (ValueError, KeyError, TypeError):
            return None  # it is just being written, or was cut short

    def _stale(self, number: int, path: Path) -> bool:
        """True if the owner has ended on this machine, or its lease has not changed for long."""
        content, now = _read(path), time.monotonic()
        if self._seen.get(number, (None, 0.0))[0] != content:
            self._seen[number] = content, now
        if self._owner(content) is not None and not atomic.alive(content):
            return True
        return now - self._seen[number][1] >= self.silent

    def _move_away(self, path: Path, content: bytes) -> None:
        """Remove a lease with this content; one that was renewed or taken in between is put back."""
        aside = path.with_name(f"{path.stem}-{self.me}.lease")
        with contextlib.suppress(OSError):
            atomic.calls.rename(path, aside)
            if _read(aside) != content:
                with contextlib.suppress(FileExistsError):
                    os.link(aside, path)
            atomic.calls.unlink(aside)

    def _beating(self) -> None:
        """Renew all leases, several times before they would count as silent."""
        while not self._ended.wait(self.silent / 6):
            self.renew()

    def renew(self) -> None:
        """Write a new beat into every lease that this process has."""
        self._beat += 1
        for number in [*self._mine]:
            with contextlib.suppress(OSError):
                self._renew(self._path(number))

    def _renew(self, path: Path) -> None:
        if self._owner(_read(path)) == self.me:
            handle = os.open(path, os.O_WRONLY)  # never created anew: it may have been released meanwhile
            try:
                content = self._content()
                os.pwrite(handle, content, 0)
                os.ftruncate(handle, len(content))
            finally:
                os.close(handle)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""

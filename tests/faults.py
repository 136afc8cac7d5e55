"""File layers that fail, stop or take notes, and the crash states that a log of calls allows."""

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from advcli.files import atomic


class Stop(BaseException):
    """The process ends here."""


class Interrupting(atomic.Calls):
    """Stops when the part of the second epoch, or of the second round, stands."""

    def rename(self, old, new):
        super().rename(old, new)
        if new.name.startswith("000000000-000000002"):
            raise KeyboardInterrupt


class Failing(atomic.Calls):
    """The n-th call fails; `short` makes writes take one byte, or a third, at a time."""

    def __init__(self, at: int = 0, failure: BaseException | None = None, *, short: bool = False) -> None:
        self.at, self.failure, self.short, self.count = at, failure or Stop(), short, 0

    def _tick(self) -> None:
        self.count += 1
        if self.count == self.at:
            raise self.failure

    def write(self, handle, data):
        self._tick()
        return super().write(handle, data[: max(1, len(data) // 3)] if self.short else data)


def _failing(name):
    def call(self, *args):
        self._tick()
        return getattr(atomic.Calls, name)(self, *args)

    return call


for _name in ("mkdir", "rmdir", "create", "open", "fsync", "sync_folder", "rename", "exchange", "unlink"):
    setattr(Failing, _name, _failing(_name))


class Recording(atomic.Calls):
    """Does everything, and writes down what matters after a crash: (what, where, ...)."""

    def __init__(self) -> None:
        self.log: list[tuple] = []
        self.inodes: dict[int, int] = {}

    def _born(self, handle: int, path: Path) -> None:
        self.inodes[handle] = len(self.log)
        self.log.append(("link", path.resolve(), len(self.log)))

    def create(self, folder, prefix):
        handle, path = super().create(folder, prefix)
        self._born(handle, path)
        return handle, path

    def open(self, path, flags):
        new = not path.exists()
        handle = super().open(path, flags)
        if new:
            self._born(handle, path)
        return handle

    def write(self, handle, data):
        offset = os.lseek(handle, 0, os.SEEK_CUR)
        taken = super().write(handle, data)
        self.log.append(("write", self.inodes[handle], offset, bytes(data[:taken])))
        return taken

    def fsync(self, handle):
        super().fsync(handle)
        self.log.append(("fsync", self.inodes[handle]))

    def sync_folder(self, path):
        super().sync_folder(path)
        self.log.append(("sync", path.resolve()))

    def rename(self, old, new):
        super().rename(old, new)
        self.log.append(("rename", old.resolve(), new.resolve()))

    def exchange(self, one, other):
        super().exchange(one, other)
        self.log.append(("exchange", one.resolve(), other.resolve()))

    def unlink(self, path):
        super().unlink(path)
        self.log.append(("unlink", path.resolve()))

    def mkdir(self, path):
        super().mkdir(path)
        self.log.append(("mkdir", path.resolve()))

    def rmdir(self, path):
        super().rmdir(path)
        self.log.append(("rmdir", path.resolve()))


NAMING = ("link", "rename", "exchange", "unlink", "mkdir", "rmdir")


@dataclass
class State:
    """A folder tree as a disk may hold it."""

    folders: set[Path] = field(default_factory=set)
    files: dict[Path, bytes] = field(default_factory=dict)

    def put(self, root: Path, here: Path) -> None:
        """Lay it out below `here`; the log spoke of `root`."""
        for folder in sorted(self.folders):
            (here / folder.relative_to(root)).mkdir(parents=True, exist_ok=True)
        for path, data in self.files.items():
            target = here / path.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)


def crash_states(log: list[tuple], before: dict[Path, bytes], count: int, seed: int) -> Iterator[State]:
    """Legal states of the disk after a crash at any place of the log.

    What was flushed is there. Of what was not, any subset is: of names in their order, of bytes in any, the last of
    them torn anywhere; a write that was lost before a later one leaves zeros.
    """
    draw = random.Random(seed)
    for number in range(count):
        stop = number % (len(log) + 1)
        done = log[:stop]
        careless, tearing = draw.choice((0.1, 0.5, 0.9)), draw.random() < 0.5
        names: dict[Path, int | bytes] = dict(before)
        folders: set[Path] = set()
        contents: dict[int, bytearray] = {}
        for place, (what, *rest) in enumerate(done):
            later = done[place:]
            if what in NAMING:
                folder = rest[0].parent
                if ("sync", folder) not in later and draw.random() < careless:
                    continue
                _rename(what, rest, names, folders)
            elif what == "write":
                inode, offset, data = rest
                content = contents.setdefault(inode, bytearray())
                if ("fsync", inode) not in later and draw.random() < careless:
                    if draw.random() < 0.5:  # its length is known, its bytes are not there
                        content.extend(bytes(max(0, offset + len(data) - len(content))))
                    continue
                if tearing and ("fsync", inode) not in later:
                    data = data[: draw.randrange(len(data) + 1)]
                content.extend(bytes(max(0, offset + len(data) - len(content))))
                content[offset : offset + len(data)] = data
        found = {path: kept if isinstance(kept, bytes) else bytes(contents.get(kept, b"")) for path, kept in names.items()}
        yield State(folders, found)


def _rename(what: str, rest: list, names: dict, folders: set) -> None:
    match what, *rest:
        case "link", path, inode:
            names[path] = inode
        case "rename", old, new:
            _move([(old, new)], names, folders)
        case "exchange", one, other:
            _move([(one, other), (other, one)], names, folders)
        case "unlink", path:
            names.pop(path, None)
        case "mkdir", path:
            folders.add(path)
        case "rmdir", path:
            folders.discard(path)


def _move(pairs: list[tuple[Path, Path]], names: dict, folders: set) -> None:
    """Give files and folders, and what lies below them, their new names, all at once."""
    moved = {}
    for old, new in pairs:
        for path in [path for path in names if path == old or old in path.parents]:
            moved[new / path.relative_to(old)] = names.pop(path)
        below = {path for path in folders if path == old or old in path.parents}
        folders -= below
        moved |= {new / path.relative_to(old): None for path in below}
    names.update({path: kept for path, kept in moved.items() if kept is not None})
    folders |= {path for path, kept in moved.items() if kept is None}

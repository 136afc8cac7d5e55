"""The identity of a folder of images: the names, sizes and bytes of all files in it.

Bytes are read once: their digests are cached in the user's cache folder under each file's number, size and times, and reused
while none of these changes. The digest of a file that was modified just before it was read is not cached, since a clock may
be too coarse to show the next change (as in git's index).
"""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import platformdirs

from advcli.errors import AdvcliError, InputError
from advcli.files import atomic, sandbox
from advcli.files.header import canonical

SETTLED = 2_000_000_000  # nanoseconds after which a file's times tell its next change
CACHE = "ADVCLI_CACHE"  # names another folder than the user's cache
MOST_CACHE = 1 << 28  # bytes of a note that is read
Entry = list[int | str]  # number, size, times, and the digest of the bytes


def listing_digest(root: Path, names: Sequence[str] | None = None) -> str:
    """A digest of all relative paths and sizes in the folder, or of these files: fast, but not enough to identify images."""
    return hashlib.sha256(canonical([[name, state.st_size] for name, state in _files(root, names)])).hexdigest()


def digests(root: Path, names: Sequence[str] | None = None) -> tuple[str, str]:
    """The digest of the content and that of the listing, in one pass over the files of the folder, or over these."""
    note = cache_folder() / "folders" / f"{hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:32]}.json"
    known, kept, found, listing = _read(note), dict[str, Entry](), hashlib.sha256(), []
    for name, state in _files(root, names):
        key: Entry = [state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns]
        begin, entry = time.time_ns(), known.get(name, [])
        content = str(entry[-1]) if entry[:-1] == key else sandbox.digest_of(os.path.join(root, name))
        if begin - max(state.st_mtime_ns, state.st_ctime_ns) > SETTLED:
            kept[name] = [*key, content]
        found.update(canonical([name, content]))
        listing.append([name, state.st_size])
    if kept != known:
        with contextlib.suppress(AdvcliError, OSError):  # no room, or no right to write there: it is read again next time
            atomic.write(note, [json.dumps(kept).encode()])
    return found.hexdigest(), hashlib.sha256(canonical(listing)).hexdigest()


def cache_folder() -> Path:
    """The folder in which digests of files are cached."""
    return Path(os.environ.get(CACHE) or platformdirs.user_cache_dir("advcli"))


def _read(note: Path) -> dict[str, Entry]:
    """The cached digests; none if the cache file is missing or damaged."""
    try:
        found = json.loads(sandbox.read(note, most=MOST_CACHE))
    except (InputError, OSError, ValueError):
        return {}
    whole = isinstance(found, dict) and all(isinstance(one, list) and len(one) == 6 for one in found.values())
    return found if whole else {}


def _files(root: Path, names: Sequence[str] | None) -> Iterator[tuple[str, os.stat_result]]:
    """(relative path, state) of every file below a folder, or of these files, in order."""
    for name in _below(root) if names is None else names:
        path = os.path.join(root, name)
        try:
            yield name, os.stat(path)
        except OSError as error:
            raise InputError(f"{path}: {(error.strerror or str(error)).lower()}") from None


def _below(root: Path) -> Iterator[str]:
    for folder, below, files in os.walk(root):
        below.sort()
        yield from (os.path.relpath(os.path.join(folder, name), root) for name in sorted(files))

"""The origin of exported image files, in a note beside them: a PNG file itself does not show that it was attacked.

The note is in the folder that `export` writes, and applies to the class folders in it. Files that were copied without it look
like any others.
"""

from pathlib import Path

from advcli.errors import InputError
from advcli.files import sandbox
from advcli.files.header import canonical, parse

NOTE = "advcli-origin.json"
FORMAT = "advcli/pictures/1"
KINDS = ("clean", "unknown", "filtered", "adversarial")
MOST_NOTE = 1 << 16


def note(kind: str, digest: str) -> bytes:
    """The note for files that come from an image set of that kind and digest."""
    return canonical({"format": FORMAT, "kind": kind, "of": digest})


def kind_of(*folders: Path) -> str:
    """The kind of the image files below some folders: clean without a note, unknown if a note cannot be read."""
    found = [_kind(folder / NOTE) for folder in folders if (folder / NOTE).exists()]
    return max(found, key=KINDS.index, default="clean")


def _kind(path: Path) -> str:
    try:
        said = parse(sandbox.read(path, most=MOST_NOTE), str(path)).get("kind")
    except InputError:
        return "unknown"
    return said if said in KINDS else "unknown"

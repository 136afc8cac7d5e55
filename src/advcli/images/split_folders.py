"""Whether a folder contains splits or classes: decided by its content, never by a name alone.

A folder called train, val or test is a split if it contains class folders itself, and a class if it contains image files. A
folder has either splits or classes; one with both is refused. A folder that is itself one split beside others, as
photos/test beside photos/train, is that split and is not split again; and one that is called test or val is that split even if
it is alone.
"""

import contextlib
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from advcli.errors import InputError

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm"}
SPLITS = ("train", "val", "test")
LABELS = "labels.csv"  # gives the pictures of its folder their labels


def is_picture(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in ENDINGS and name[0] != "."


def folders_in(root: Path) -> list[str]:
    """Sorted names of the folders in a folder, without hidden ones."""
    with os.scandir(root) as found:
        return sorted(one.name for one in found if one.is_dir() and not one.name.startswith("."))


def splits_in(root: Path, names: Sequence[str] = SPLITS) -> tuple[str, ...]:
    """The splits that a folder contains, by their folder names; none if it contains classes."""
    inside = folders_in(root)
    classes = [name for name in inside if _has_pictures(root / name)]
    splits = tuple(name for name in names if name in inside and _has_class_folders(root / name))
    if splits and classes:
        raise InputError(
            f"{root}: {_listed(splits)} there holds class folders, as a split does, and {_listed(classes)} holds pictures, "
            f"as a class does\ngive the folder of one split, or put the splits into a folder of their own"
        )
    return splits


def splits_beside(root: Path) -> tuple[str, ...]:
    """The splits to which a folder belongs as one of them, by its name and the train folder beside it; none if it is alone."""
    whole = root.absolute()
    beside: tuple[str, ...] = ()
    if whole.name in SPLITS:
        with contextlib.suppress(InputError, OSError):
            beside = splits_in(whole.parent)
    return beside if len(beside) > 1 and {"train", whole.name} <= set(beside) else ()


def called_like_a_split(root: Path) -> str | None:
    """The split that a folder without splits is by its own name: test or val. Another is split by the names of its files."""
    name = root.absolute().name
    return name if name in ("val", "test") else None


def share(relative: str) -> str:
    """train, val or test by the path alone, 80/10/10."""
    tenth = int.from_bytes(hashlib.sha256(relative.encode()).digest()[:8], "big") % 10
    return "test" if tenth == 9 else "val" if tenth == 8 else "train"


def _has_pictures(folder: Path) -> bool:
    with os.scandir(folder) as found:
        return any(is_picture(one.name) and one.is_file() for one in found)


def _has_class_folders(folder: Path) -> bool:
    return any(_has_pictures(folder / name) for name in folders_in(folder))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"{name}/" for name in names[:5]) + ", ..." * (len(names) > 5)

"""Image sets that say something else than they did, under a digest that is right."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from advcli.files import imageset_writer
from advcli.files.imageset_reader import ImageSet

Change = Callable[[dict, dict[str, np.ndarray]], tuple[dict, dict[str, np.ndarray]] | None]


def forge(source: str, change: Change, name: str = "forged.h5") -> str:
    """The same set after a change of its header and columns, in place or returned."""
    with ImageSet(source) as opened:
        header, found = opened.header, {key: opened.column(key) for key in opened.names() if key != "header"}
    header, found = change(header, found) or (header, found)
    imageset_writer.write_rows(Path(name), header, found)
    return name

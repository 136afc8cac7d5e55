"""An image set that lies in no file: the header and the columns that its file would have, read like one."""

import weakref
from pathlib import Path

from advcli.files.header import Header
from advcli.files.imageset_reader import ImageSet
from advcli.files.imageset_writer import digest_of
from advcli.numerics.arrays import Array


class ImageSetInMemory(ImageSet):
    """A header and columns; `digest` is that of the file that they would make."""

    def __init__(self, name: str, header: Header, columns: dict[str, Array]) -> None:
        self.path, self.header = Path(name), header
        self.columns = {key: columns[key] for key in sorted(columns)}  # the order in which a run writes them
        self._file = self.columns
        self._check_header()
        self.digest = digest_of(header, self.columns)
        self.close = weakref.finalize(self, int)  # nothing is open

"""The folder of downloaded data sets, and downloads: only with --download, and checked against the published checksum."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from advcli.errors import AdvcliError, InputError


@dataclass(frozen=True, slots=True)
class Library:
    """A folder of data sets, laid out as in torchvision; `download` allows fetching what is missing."""

    folder: Path
    download: bool = False

    def find(self, name: str, places: tuple[str, ...], fetch: Callable[[Path], object]) -> Path:
        """The first of some places below the folder that exists; otherwise it is downloaded, or the error says how."""
        for _ in range(2):
            for place in places:
                if (self.folder / place).exists():
                    return self.folder / place
            if not self.download:
                break
            self._fetch(name, fetch)
        raise InputError(
            f"{name}: not in {self.folder} (looked for {' and '.join(places)})\n"
            "get it with --download, or name its folder with --data-dir or ADVCLI_DATA"
        )

    def _fetch(self, name: str, fetch: Callable[[Path], object]) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            fetch(self.folder)
        except Exception as error:  # urllib, ssl, tarfile and torchvision raise many kinds
            raise AdvcliError(f"{name}: could not be downloaded to {self.folder} ({str(error)[:120]})") from None


def library(folder: str | None, *, download: bool = False) -> Library:
    """The folder of --data-dir, or ADVCLI_DATA, or the user's cache."""
    return Library(Path(folder or os.environ.get("ADVCLI_DATA") or platformdirs.user_cache_dir("advcli")), download)

"""Where downloaded data sets live, and how they get there: only with --download, and after their published checksum."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from advcli.errors import AdvcliError, InputError


@dataclass(frozen=True, slots=True)
class Library:
    """A folder of data sets, laid out as torchvision does it; `download` lets what is missing be fetched."""

    folder: Path
    download: bool = False

    def find(self, name: str, places: tuple[str, ...], fetch: Callable[[Path], object]) -> Path:
        """The first of some places below the folder that is there; else it is fetched, or the user is told how."""
        for _ in range(2):
            for place in places:
                if (self.folder / place).exists():
                    return self.folder / place
            if not self.download:
                break
            self._fetch(name, fetch)
        raise InputError(
            f"{name}: not in {self.folder} (looked for {' and '.join(places)})\n"
            "get it with --download, or say where it lies with --data-dir or ADVCLI_DATA"
        )

    def _fetch(self, name: str, fetch: Callable[[Path], object]) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            fetch(self.folder)
        except Exception as error:  # urllib, ssl, tarfile and torchvision raise many kinds
            raise AdvcliError(f"{name}: could not be downloaded to {self.folder} ({str(error)[:120]})") from None


def library(folder: str | None, *, download: bool = False) -> Library:
    """The folder that was named, or ADVCLI_DATA, or the user's cache."""
    return Library(Path(folder or os.environ.get("ADVCLI_DATA") or platformdirs.user_cache_dir("advcli")), download)

"""MNIST: handwritten digits, 28x28 grey pixels, 60,000 to train on and 10,000 to test (LeCun, Cortes and Burges)."""

from pathlib import Path

from advcli.catalog.registry import source
from advcli.images.dataset import Dataset
from advcli.images.downloads import Library
from advcli.images.idx import digits_like

COUNTS = {"train": 60_000, "test": 10_000}


def fetch(folder: Path) -> None:
    from torchvision.datasets import MNIST

    MNIST(str(folder), download=True)


@source(family="downloaded", splits=("train", "val", "test"), paper="doi:10.1109/5.726791")
def mnist(split: str, library: Library) -> Dataset:
    folder = library.find("mnist", ("MNIST/raw",), fetch)
    return digits_like("mnist", folder, split, COUNTS, tuple("0123456789"))

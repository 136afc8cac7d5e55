"""Fashion-MNIST: images of clothes in MNIST's size, splits and files (Xiao, Rasul and Vollgraf)."""

from pathlib import Path

from advcli.catalog.registry import source
from advcli.images.dataset import Dataset
from advcli.images.downloads import Library
from advcli.images.idx import digits_like

COUNTS = {"train": 60_000, "test": 10_000}
CLASSES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")


def fetch(folder: Path) -> None:
    from torchvision.datasets import FashionMNIST

    FashionMNIST(str(folder), download=True)


@source(family="downloaded", splits=("train", "val", "test"), paper="arXiv:1708.07747")
def fashion_mnist(split: str, library: Library) -> Dataset:
    folder = library.find("fashion-mnist", ("FashionMNIST/raw",), fetch)
    return digits_like("fashion-mnist", folder, split, COUNTS, CLASSES)

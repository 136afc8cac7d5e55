"""Imagenette: ten easy classes of ImageNet as photographs, 9,469 to train on and 3,925 to test (Howard).

Its folder imagenette2, imagenette2-320 or imagenette2-160 is read as a folder of class folders; the classes get their
English names. Photographs have many sizes: give --resize and --image-size.
"""

from pathlib import Path

from advcli.catalog.registry import source
from advcli.datasets.folder import folder as class_folder
from advcli.images.dataset import Dataset
from advcli.images.downloads import Library

WORDS = {"n01440764": "tench", "n02102040": "English springer", "n02979186": "cassette player", "n03000684": "chain saw",
         "n03028079": "church", "n03394916": "French horn", "n03417042": "garbage truck", "n03425413": "gas pump",
         "n03445777": "golf ball", "n03888257": "parachute"}  # fmt: skip
PLACES = ("imagenette2", "imagenette2-320", "imagenette2-160")


def fetch(folder: Path) -> None:
    from torchvision.datasets import Imagenette

    Imagenette(str(folder), size="320px", download=True)


@source(family="photographs", splits=("train", "val", "test"), resizes=True, paper="github.com/fastai/imagenette")
def imagenette(split: str, library: Library, image_size: int | None = None, resize: int | None = None) -> Dataset:
    path = library.find("imagenette", PLACES, fetch)
    return class_folder(split, path=str(path), image_size=image_size, resize=resize, called="imagenette", test="val", words=WORDS)

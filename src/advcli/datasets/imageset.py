"""An image-set file: clean, adversarial or filtered images as data for any verb; the file states its split."""

from torch import Tensor

from advcli.catalog.registry import source
from advcli.errors import InputError
from advcli.files.imageset_reader import ImageSet
from advcli.images.dataset import Dataset
from advcli.numerics.arrays import Array


@source(family="files", splits=(), where="path")
def imageset(split: str, path: str) -> Dataset:
    return of_set(ImageSet(path), split)


def of_set(opened: ImageSet, split: str) -> Dataset:
    """The images of an open set; `split` is empty where its own will do."""
    path = opened.path
    own = str(opened.header["split"])
    if opened.signed:
        others = f"add them to some with: advcli attack --apply {path}"
        what = others if opened.kind == "universal" else "take the set that they were made with"
        raise InputError(f"{path}: holds perturbations, not images; {what}")
    if opened.unclipped:
        raise InputError(
            f"{path}: holds pixels outside [0, 1] (attack --no-clip): no images to work on, only to evaluate or look at"
        )
    if split and split != own:
        raise InputError(f"{path}: holds images of the {own} split, not of {split}")

    def read(places: Array) -> Tensor:
        return opened.pick("images", places)

    return Dataset(
        name=path.name,
        split=own,
        classes=opened.classes,
        shape=opened.shape,
        labels=opened.column("labels"),
        index=opened.column("index"),
        read=read,
        origin={"name": "file", "split": own, "digest": opened.digest},
        eight_bit=opened.eight_bit,
        kind=opened.kind,
        packed=True,
    )

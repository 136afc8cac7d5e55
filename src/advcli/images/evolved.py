"""Pictures of evolved networks, drawn again at another size from the genomes that an image set keeps."""

from collections.abc import Callable

from advcli.errors import CommandError, InputError
from advcli.files.imageset_reader import ImageSet
from advcli.numerics import cppn
from advcli.numerics.arrays import Array


def drawing_of(opened: ImageSet, size: int) -> Callable[[int], Array]:
    """The picture of any row, (C, H, W) in [0, 1], with `size` pixels on the longer side; InputError for a damaged genome."""
    texts, (channels, *sides) = opened.genomes(), opened.shape
    if not texts:
        raise CommandError(
            f"--size: {opened.path} has no genomes to draw; attack --method fool-evolve --encoding cppn keeps them"
        )
    height, width = (max(1, round(size * side / max(sides))) for side in sides)

    def draw(row: int) -> Array:
        try:
            genome = cppn.read(texts[row], channels)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{opened.path}: /genomes, row {row}: {str(error)[:80]}") from None
        found: Array = cppn.drawn([genome], (channels, height, width))[0].numpy()
        return found

    return draw

"""Finds the input and the number of classes with which an architecture has tensors of given shapes."""

import torch
from torch import Tensor

from advcli.catalog.registry import Bound
from advcli.errors import CommandError, InputError
from advcli.images.dataset import Dataset
from advcli.networks import architecture, build

MOST_CLASSES = 100_000


SIZES = (8, 28, 32, 48, 64, 96, 128, 160, 192, 224, 256, 299, 384)  # usual image sizes


def find_fit(
    network: Bound, tensors: dict[str, Tensor], input: str | None, source: Dataset | None, where: str
) -> tuple[tuple[int, int, int], int]:
    """The input and the number of classes with which the architecture has tensors of these shapes.

    Networks are built without memory for this test. If several inputs fit, the user must choose one.
    """
    shapes = [shape_of(input)] if input else [source.shape] if source else _likely_shapes(tensors)
    found = {name: tensor.shape for name, tensor in tensors.items()}
    counts = sorted({tensor.shape[0] for tensor in tensors.values() if tensor.ndim and 2 <= tensor.shape[0] <= MOST_CLASSES})
    fits: list[tuple[tuple[int, int, int], int]] = []
    for shape in shapes:
        fits += [(shape, count) for count in counts if _shapes_of(network, shape, count) == found]
        if len({shape for shape, _ in fits}) > 1:
            some = " and ".join("x".join(map(str, shape)) for shape, _ in fits)
            raise CommandError(f"{where}: the weights fit images of several sizes ({some}); choose one with --input or --data")
    if not fits:
        wanted = next((own for shape in shapes for count in counts[:1] if (own := _shapes_of(network, shape, count))), {})
        raise InputError(f"{where}: the weights do not fit {network.spec.name}: {build.difference(wanted, found)}")
    return fits[0]


def _shapes_of(network: Bound, shape: tuple[int, int, int], count: int) -> dict[str, torch.Size] | None:
    """Names and shapes of a network's tensors; None if it cannot be built for such images."""
    for memory in (torch.device("meta"), torch.device("cpu")):  # some ask for numbers while they are built
        try:
            with memory, torch.random.fork_rng(devices=[]):
                made = architecture.network(network, shape, count)
            return {name: tensor.shape for name, tensor in made.state_dict().items()}
        except CommandError:
            return None
        except Exception:  # noqa: S112  # an architecture is anybody's code
            continue
    return None


def _likely_shapes(tensors: dict[str, Tensor]) -> list[tuple[int, int, int]]:
    """Input shapes to try, the usual ones first: the channels of the first convolution, or square images for a linear layer."""
    depths = {tensor.shape[1] for tensor in tensors.values() if tensor.ndim == 4}
    widths = {tensor.shape[1] for tensor in tensors.values() if tensor.ndim == 2}
    if depths:
        return [(c, size, size) for c in sorted(depths & {1, 3} or depths) for size in SIZES]
    return [(c, size, size) for c in (1, 3) for size in range(1, 513) if c * size * size in widths]


def shape_of(text: str) -> tuple[int, int, int]:
    """Channels, height and width in a text such as 3x32x32."""
    pieces = text.lower().split("x")
    if len(pieces) != 3 or not all(piece.isascii() and piece.isdecimal() and 0 < int(piece) <= 65536 for piece in pieces):
        raise CommandError(f"--input {text}: is channels x height x width, such as 3x32x32")
    return int(pieces[0]), int(pieces[1]), int(pieces[2])

"""Finds the input and the number of classes with which an architecture has tensors of given shapes."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor, nn

from advcli.catalog.registry import Bound
from advcli.errors import CommandError, InputError, described
from advcli.images.dataset import Dataset
from advcli.networks import architecture, build
from advcli.networks.logits import chosen
from advcli.networks.weight_names import Named, candidates

MOST_CLASSES = 100_000
MEMORIES = (torch.device("meta"), torch.device("cpu"))  # without memory, and with it: some networks ask for numbers
IMAGES = 2  # of a trial

SIZES = (8, 28, 32, 48, 64, 96, 128, 160, 192, 224, 256, 299, 384)  # usual image sizes


class Fit(NamedTuple):
    """The input and the number of classes that weights fit, and the weights by the network's own names."""

    shape: tuple[int, int, int]
    classes: int
    weights: Named


class Attempt:
    """The networks of an architecture that are built for one shape of images, and the last failure."""

    def __init__(self, network: Bound, shape: tuple[int, int, int]) -> None:
        self.network, self.shape, self.failure = network, shape, ""

    def shapes(self, classes: int) -> dict[str, torch.Size] | None:
        """Names and shapes of the network's tensors; None if it cannot be built for such images."""
        for memory in MEMORIES:
            try:
                with _apart(memory):
                    return {name: tensor.shape for name, tensor in self._built(classes).state_dict().items()}
            except CommandError as error:
                self.failure = str(error)
            except (Exception, SystemExit) as error:  # an architecture is anybody's code
                self.failure = described(error)
        return None

    def outputs(self, classes: int) -> int | None:
        """The number of outputs for an image; None if the network fails on such images."""
        try:
            with _apart(torch.device("cpu")):
                found = chosen(self._built(classes).eval()(torch.zeros(IMAGES, *self.shape)))
            return found.numel() // IMAGES
        except InputError as error:
            self.failure = str(error)
        except (Exception, SystemExit) as error:  # as is its forward
            self.failure = described(error)
        return None

    def fits(self, counts: list[int], spellings: list[Named]) -> list[Fit]:
        """The numbers of classes with which the network has these weights; two, where it has them with any number."""
        found: list[Fit] = []
        for count in counts:
            own = self.shapes(count)
            named = (one for one in spellings if own == {name: tensor.shape for name, tensor in one.tensors.items()})
            found += [Fit(self.shape, count, one) for one in islice(named, 1)]
            if len(found) > 1:
                break
        return found

    def _built(self, classes: int) -> nn.Module:
        return architecture.network(self.network, self.shape, classes)


@contextmanager
def _apart(memory: torch.device) -> Iterator[None]:
    """Build in this memory, without gradients, and leave the random state as it is."""
    with memory, torch.no_grad(), torch.random.fork_rng(devices=[]):
        yield


def find_fit(network: Bound, tensors: dict[str, Tensor], input: str | None, source: Dataset | None, where: str) -> Fit:
    """The input and the number of classes with which the architecture has tensors of these shapes.

    Names count with and without the prefixes of wrappers. Networks are built without memory; where weights fit several inputs or
    any number of classes, two images tell. If several inputs are left, the user must choose one.
    """
    given = [shape_of(input)] if input else [source.shape] if source else []
    attempts = [Attempt(network, shape) for shape in given or _likely_shapes(tensors)]
    counts = sorted({tensor.shape[0] for tensor in tensors.values() if tensor.ndim and 2 <= tensor.shape[0] <= MOST_CLASSES})
    spellings = candidates(network, tensors)
    fits = [(one, found) for one in attempts if (found := one.fits(counts, spellings))]
    if len(fits) == 1 and len(fits[0][1]) == 1:
        return fits[0][1][0]
    answers: list[Fit] = []
    for one, (first, *_) in fits:
        if (count := one.outputs(first.classes)) is not None:
            answers.append(first._replace(classes=count))
        if len(answers) > 1:
            some = " and ".join("x".join(map(str, fit.shape)) for fit in answers)
            raise CommandError(f"{where}: the weights fit images of several sizes ({some}); choose one with --input or --data")
    if not answers:
        raise InputError(f"{where}: {_why_not(network, attempts, counts, fits, spellings)}")
    return answers[0]


def _why_not(
    network: Bound,
    attempts: list[Attempt],
    counts: list[int],
    fits: list[tuple[Attempt, list[Fit]]],
    spellings: list[Named],
) -> str:
    """The reason why nothing fits: the network fails on every size, cannot be built, or has other weights."""
    if fits:
        one = fits[0][0]
        return f"{network.spec.name} fails on images of {'x'.join(map(str, one.shape))} ({one.failure}); give --input"
    wanted = next((own for one in attempts for count in counts[:1] if (own := one.shapes(count)) is not None), None)
    if wanted is None and attempts and attempts[0].failure:
        return attempts[0].failure
    named = max(spellings, key=lambda one: len(one.tensors.keys() & (wanted or {}).keys()))
    found = {name: tensor.shape for name, tensor in named.tensors.items()}
    return f"the weights do not fit {network.spec.name}: {build.difference(wanted or {}, found)}"


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

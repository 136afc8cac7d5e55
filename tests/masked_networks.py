"""Networks around the small digit model that look robust and are not: each hides its gradient in another way.

Model files name them as architectures `masked_networks:NAME`.
"""

import io
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from advcli.catalog import discovery
from advcli.extend import architecture
from advcli.networks import model_file


class Around(nn.Module):
    """The small digit model, with something done to the picture before it and to its logits after it."""

    def __init__(
        self, shape: tuple[int, ...], classes: int, before: Callable[[Tensor], Tensor], after: Callable[[Tensor], Tensor]
    ) -> None:
        super().__init__()
        self.net = discovery.spec("architecture", "cnn").bind({})(shape, classes)
        self.before, self.after = before, after

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.net(self.before(x)))


def same(value: Tensor) -> Tensor:
    return value


def of_digits(x: Tensor) -> Tensor:
    """Which pictures are digits, with much black: pictures of noise, as a trial has them, are not."""
    return ((x == 0).flatten(1).float().mean(1) > 0.1).view(-1, 1, 1, 1)


@architecture(family="masked")
def saturated(shape, classes):
    """Logits times a large number: a softmax of them is exactly 0 and 1."""
    return Around(shape, classes, same, lambda z: 1e4 * z)


@architecture(family="masked")
def faint(shape, classes):
    """Logits so near to each other that their softmax hardly tells them apart."""
    return Around(shape, classes, same, lambda z: 0.02 * z)


@architecture(family="masked")
def hot(shape, classes):
    """A teacher as if it had been trained at a temperature of 20."""
    return Around(shape, classes, same, lambda z: 20 * z)


@architecture(family="masked")
def sharpened(shape, classes):
    """Probabilities, sharpened, in place of logits."""
    return Around(shape, classes, same, lambda z: (18 * z).softmax(1))


@architecture(family="masked")
def probabilities(shape, classes):
    """Probabilities in place of logits."""
    return Around(shape, classes, same, lambda z: z.softmax(1))


@architecture(family="masked")
def cut(shape, classes):
    """No gradient where the network is sure."""
    return Around(shape, classes, same, lambda z: z.detach().where(z.softmax(1).amax(1, keepdim=True) > 0.9, z))


@architecture(family="masked")
def detached(shape, classes):
    """No gradient at all."""
    return Around(shape, classes, lambda x: x.detach(), same)


class Levels(nn.Module):
    """Activations on a few levels; the gradient of rounding is zero."""

    def forward(self, x: Tensor) -> Tensor:
        return (x.relu() * 4).round() / 4


class Winners(nn.Module):
    """The largest fifth of the activations wins, all others are zero (k-WTA, arXiv:1905.10510)."""

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        least = flat.topk(max(1, flat.shape[1] // 5), 1).values[:, -1:]
        return flat.where(flat >= least, 0).view_as(x)


def with_layers(shape, classes, layer: Callable[[], nn.Module]) -> Around:
    """The network with another layer in the place of each rectifier."""
    made = Around(shape, classes, same, same)
    for name, one in list(made.net.named_modules()):
        if isinstance(one, nn.ReLU):
            made.net.set_submodule(name, layer())
    return made


@architecture(family="masked")
def quantised(shape, classes):
    """Activations on a few levels."""
    return with_layers(shape, classes, Levels)


@architecture(family="masked")
def winners(shape, classes):
    """Few winners among the activations."""
    return with_layers(shape, classes, Winners)


@architecture(family="masked")
def shifted(shape, classes):
    """Digits that are moved by a pixel or not, by draws that nobody declared."""

    def before(x: Tensor) -> Tensor:
        return x.roll((random.randint(-1, 1), random.randint(-1, 1)), (2, 3)).where(of_digits(x), x)

    return Around(shape, classes, before, same)


@architecture(family="masked")
def rescaled(shape, classes):
    """Pictures of a random brightness, drawn by Python's own generator for every image."""

    def before(x: Tensor) -> Tensor:
        return x * torch.tensor([random.uniform(0.5, 1.0) for _ in x]).view(-1, 1, 1, 1)

    return Around(shape, classes, before, same)


@architecture(family="masked")
def levelled(shape, classes):
    """Digits less the mean over their batch, as batch norm in training mode does."""

    def before(x: Tensor) -> Tensor:
        return (x - 0.3 * (x.mean(0) - 0.3)).where(of_digits(x), x)

    return Around(shape, classes, before, same)


@architecture(family="masked")
def normed(shape, classes):
    """Batch norm that was never told to evaluate."""
    return Around(shape, classes, lambda x: nn.functional.batch_norm(x, None, None, training=True) * 0.3 + 0.3, same)


@architecture(family="masked")
def compressed(shape, classes):
    """JPEG by Pillow, through arrays: no gradient comes back."""

    def one(picture: np.ndarray) -> np.ndarray:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=60)
        return np.asarray(Image.open(file))

    def before(x: Tensor) -> Tensor:
        pictures = (x.numpy() * 255).round().astype(np.uint8)
        return torch.from_numpy(np.stack([one(each[0]) for each in pictures])[:, None]).to(x) / 255

    return Around(shape, classes, before, same)


@architecture(family="masked")
def voted(shape, classes):
    """Three looks at the picture vote; the counts of votes are the answer."""
    made = Around(shape, classes, same, same)

    class Voted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = made.net

        def forward(self, x: Tensor) -> Tensor:
            votes = [self.net(one).argmax(1) for one in (x, x * 0.9, (x * 1.1).clamp(0, 1))]
            return sum(nn.functional.one_hot(one, classes).float() for one in votes)

    return Voted()


@architecture(family="masked")
def stepped(shape, classes):
    """Gradients that point another way: straight through a picture that is turned."""
    return Around(shape, classes, lambda x: x.detach() + (x.flip(3) - x.flip(3).detach()), same)


def disguised(name: str, model: Path, path: Path) -> str:
    """Write the weights of a trained model as those of a masked network; the name that it goes by."""
    plain, arch = model_file.read(model), f"masked_networks:{name}"
    discovery.spec("architecture", arch)  # the test names this code
    metadata = {**plain.metadata, "arch": {"name": arch, "parameters": {}}}
    model_file.write(path, metadata, {f"net.{key}": tensor for key, tensor in plain.tensors.items()})
    return arch

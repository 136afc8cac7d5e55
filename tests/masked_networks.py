"""Networks around the small digit model that look robust and are not: each hides its gradient in another way.

Model files name them as architectures `masked_networks:NAME`.
"""

import random
from collections.abc import Callable
from pathlib import Path

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


@architecture(family="masked")
def saturated(shape, classes):
    """Logits times a large number: a softmax of them is exactly 0 and 1."""
    return Around(shape, classes, same, lambda z: 1e4 * z)


@architecture(family="masked")
def shifted(shape, classes):
    """Pictures that are moved by a pixel or not, by draws that nobody declared; those of noise, as a trial has them, are not."""

    def before(x: Tensor) -> Tensor:
        digits = ((x == 0).flatten(1).float().mean(1) > 0.1).view(-1, 1, 1, 1)
        return x.roll((random.randint(-1, 1), random.randint(-1, 1)), (2, 3)).where(digits, x)

    return Around(shape, classes, before, same)


def disguised(name: str, model: Path, path: Path) -> str:
    """Write the weights of a trained model as those of a masked network; the name that it goes by."""
    plain, arch = model_file.read(model), f"masked_networks:{name}"
    discovery.spec("architecture", arch)  # the test names this code
    recipe = {**plain.recipe, "arch": {"name": arch, "parameters": {}}}
    model_file.write(path, recipe, {f"net.{key}": tensor for key, tensor in plain.tensors.items()})
    return arch

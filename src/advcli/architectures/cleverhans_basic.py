"""CleverHans' basic CNN, as in Wang and Zhang's tables: 64 8x8 filters (stride 2), 128 6x6 (stride 2), 128 5x5, one linear layer.

No pooling, and no bias in the convolutions.
"""

from torch import nn

from advcli.catalog.registry import architecture
from advcli.errors import CommandError


@architecture(family="convolutional", paper="Wang and Zhang")
def cleverhans_basic(shape: tuple[int, int, int], classes: int) -> nn.Module:
    channels, height, width = shape
    side = [(-(-size // 2) - 6) // 2 + 1 - 4 for size in (height, width)]
    if min(side) < 1:
        raise CommandError(f"cleverhans-basic needs 28x28 pixels; the images have {height}x{width}: take --arch cnn")
    before = [(max(0, (-(-size // 2) - 1) * 2 + 8 - size)) for size in (height, width)]
    top, left = before[0] // 2, before[1] // 2  # as TensorFlow pads: the odd one after
    return nn.Sequential(
        nn.ZeroPad2d((left, before[1] - left, top, before[0] - top)),
        nn.Conv2d(channels, 64, 8, stride=2, bias=False),
        nn.ReLU(),
        nn.Conv2d(64, 128, 6, stride=2, bias=False),
        nn.ReLU(),
        nn.Conv2d(128, 128, 5, bias=False),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(128 * side[0] * side[1], classes),
    )

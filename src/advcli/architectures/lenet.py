"""LeNet-5 with ReLU: two 5x5 convolutions with pooling, then fully connected layers of 120 and 84 units and the output."""

from torch import nn

from advcli.catalog.registry import architecture
from advcli.errors import CommandError


@architecture(family="convolutional", paper="doi:10.1109/5.726791")
def lenet(shape: tuple[int, int, int], classes: int) -> nn.Module:
    channels, height, width = shape
    if min(height, width) < 28:
        raise CommandError(f"lenet needs 28x28 pixels; the images have {height}x{width}: take --arch cnn")
    side = [((size + 4 if size == 28 else size) - 4) // 2 for size in (height, width)]
    side = [(size - 4) // 2 for size in side]
    return nn.Sequential(
        nn.Conv2d(channels, 6, 5, padding=2 if 28 in (height, width) else 0),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * side[0] * side[1], 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, classes),
    )

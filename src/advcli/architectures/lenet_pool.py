"""The network of Wang and Zhang's code: 5x5x32, pooling, 5x5x64, pooling, 512 units without activation, the classes."""

from torch import nn

from advcli.catalog.registry import architecture


@architecture(family="convolutional", paper="Wang and Zhang")
def lenet_pool(shape: tuple[int, int, int], classes: int) -> nn.Module:
    channels, height, width = shape
    return nn.Sequential(
        nn.Conv2d(channels, 32, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.Conv2d(32, 64, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.Flatten(),
        nn.Linear(64 * -(-height // 4) * -(-width // 4), 512),
        nn.Linear(512, classes),
    )

"""The network of Wang and Zhang's code: 32 and 64 5x5 filters, each with pooling, then 512 linear units and the output."""

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

"""Wide residual networks for small images: three stages of pre-activation blocks (Zagoruyko and Komodakis).

`--depth 16 --wide 2` is WRN-16-2, `--depth 10 --wide 2` is WRN-10-2.
"""

import re
from collections.abc import Iterable
from typing import Annotated, cast

from torch import Tensor, nn

from advcli.catalog.params import Param
from advcli.catalog.registry import architecture
from advcli.errors import CommandError

PUBLISHED = re.compile(r"block(?P<stage>[123])\.layer\.(?P<block>\d+)\.(?P<inner>.+)|(?P<head>conv1|bn1|fc)\.(?P<rest>.+)")


class Block(nn.Module):
    """Batch norm, ReLU, convolution, twice, beside a shortcut."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.bn1, self.bn2 = nn.BatchNorm2d(inside), nn.BatchNorm2d(outside)
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = nn.Conv2d(inside, outside, 1, stride, bias=False) if stride > 1 or inside != outside else None

    def forward(self, x: Tensor) -> Tensor:
        before = self.relu(self.bn1(x))
        aside = x if self.shortcut is None else self.shortcut(before)
        return cast(Tensor, self.conv2(self.relu(self.bn2(self.conv1(before)))) + aside)


def network(shape: tuple[int, int, int], classes: int, depth: int, wide: int) -> nn.Module:
    """The network of any depth 6n + 4 and width."""
    if (depth - 4) % 6:
        raise CommandError(f"--depth {depth}: a wide resnet has 10, 16, 22, 28, ... layers")
    sizes = [16, 16 * wide, 32 * wide, 64 * wide]
    layers: list[nn.Module] = [nn.Conv2d(shape[0], 16, 3, 1, 1, bias=False)]
    for stage in range(3):
        for k in range((depth - 4) // 6):
            layers.append(Block(sizes[stage + (k > 0)], sizes[stage + 1], 2 if stage and not k else 1))
    end = [nn.BatchNorm2d(sizes[3]), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(sizes[3], classes)]
    made = nn.Sequential(*layers, *end)
    for one in made.modules():
        if isinstance(one, nn.Conv2d):
            nn.init.kaiming_normal_(one.weight, mode="fan_out", nonlinearity="relu")
    return made


def own_names(names: Iterable[str]) -> dict[str, str]:
    """The names of the plain layout of WideResNet (conv1, block1.layer.0, ..., bn1, fc), as this network calls them.

    `sub_block1`, which some published files hold, is never used.
    """
    places = {name: PUBLISHED.fullmatch(name) for name in names if not name.startswith("sub_block1.")}
    count = 1 + max((int(one["block"]) for one in places.values() if one and one["block"]), default=-1)
    heads = {"conv1": 0, "bn1": 1 + 3 * count, "fc": 5 + 3 * count}
    found = {}
    for name, one in places.items():
        if one is None:
            found[name] = name
        elif one["block"]:
            number = 1 + (int(one["stage"]) - 1) * count + int(one["block"])
            found[name] = f"{number}.{one['inner'].replace('convShortcut', 'shortcut')}"
        else:
            found[name] = f"{heads[one['head']]}.{one['rest']}"
    return found


@architecture(family="residual", paper="arXiv:1605.07146")
def wrn(
    shape: tuple[int, int, int],
    classes: int,
    *,
    depth: Annotated[int, Param("Number of layers: 10, 16, 22, 28, ...", low=10, high=1000)] = 16,
    wide: Annotated[int, Param("Widening factor.", low=1, high=64)] = 2,
) -> nn.Module:
    return network(shape, classes, depth, wide)

"""A network that is a graph of operations, stored as data: how an ONNX file is kept in a model file.

    v_0 = the images;  v_k = operation_k(earlier values, constants; attributes);  logits = v_last

Each step is [operation, inputs, attributes]: an input is the number of an earlier value or the name of a constant. Where an
attribute depends on the number n of images, it is {"n": a, "plus": b}, which means a n + b. Nothing in a graph is executed but
the operations that are listed here and in `graph_operations`. Weights are the layers' own, constants are buffers.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from advcli.errors import InputError, described
from advcli.files.header import Header
from advcli.networks.graph_operations import OPERATIONS, TYPES

GRAPH = "graph"  # of the architecture in the metadata of a model
LARGEST = 1 << 28  # numbers of one value, for one image

Step = tuple[str, list[int | str], dict[str, Any]]


def _pair(value: Sequence[int]) -> tuple[int, int]:
    first, second = value
    return int(first), int(second)


def _side(value: Sequence[int]) -> int | tuple[int, int]:
    """One number for a square, as a user would write it: `memory_format` looks for that."""
    first, second = _pair(value)
    return first if first == second else (first, second)


def _conv(given: int, out: int, kernel: list[int], bias: bool, groups: int, **how: list[int]) -> nn.Module:
    pairs: dict[str, Any] = {name: _pair(one) for name, one in how.items()}
    return nn.Conv2d(given, out, _pair(kernel), groups=groups, bias=bias, **pairs)


def _norm(channels: int, eps: float) -> nn.Module:
    return nn.BatchNorm2d(channels, eps)


def _linear(given: int, out: int, bias: bool) -> nn.Module:
    return nn.Linear(given, out, bias)


def _max_pool(kernel: list[int], stride: list[int], padding: list[int], dilation: list[int], ceil: bool) -> nn.Module:
    return nn.MaxPool2d(_side(kernel), _side(stride), _side(padding), _side(dilation), ceil_mode=ceil)


LAYERS = {"conv": _conv, "norm": _norm, "linear": _linear, "relu": nn.ReLU, "max_pool": _max_pool}


def layer(operation: str, attributes: Mapping[str, Any]) -> nn.Module:
    """A layer with new weights."""
    made: nn.Module = LAYERS[operation](**attributes)  # type: ignore[operator]  # each has attributes of its own
    return made.eval()


class GraphNetwork(nn.Module):
    """The network. With `alone` every image is computed by itself, as a batch of one."""

    def __init__(self, steps: Sequence[Step], constants: Mapping[str, Sequence[Any]], *, alone: bool = False) -> None:
        super().__init__()
        self.steps, self.alone = list(steps), alone
        self.layers = nn.ModuleDict()
        for number, (operation, _, attributes) in enumerate(self.steps, 1):
            if operation in LAYERS:
                self.layers[str(number)] = layer(operation, attributes)
        for name, (kind, shape) in constants.items():
            self.register_buffer(name, torch.zeros(tuple(shape), dtype=TYPES[kind]))
        last = {one: number for number, (_, inputs, _) in enumerate(self.steps, 1) for one in inputs}
        self.done = [[one for one in set(step[1]) if last[one] == k] for k, step in enumerate(self.steps, 1)]
        self.sized = [_depends_on_count(attributes) for _, _, attributes in self.steps]

    def forward(self, x: Tensor) -> Tensor:
        if self.alone:
            found: Tensor = torch.vmap(lambda one: self.computed(one[None])[0])(x)
            return found
        return self.computed(x)

    def computed(self, x: Tensor, most: int | None = None) -> Tensor:
        """The last value; refused if one has more numbers than `most`."""
        values: list[Tensor | None] = [x]
        for number, (operation, inputs, attributes) in enumerate(self.steps, 1):
            given = [values[one] if isinstance(one, int) else getattr(self, one) for one in inputs]
            if operation in LAYERS:
                values.append(self.layers[str(number)](*given))
            else:
                how = of_count(attributes, x.shape[0]) if self.sized[number - 1] else attributes
                values.append(OPERATIONS[operation](*given, **how))
            if most is not None and values[-1].numel() > most:  # type: ignore[union-attr]  # it was computed just now
                raise InputError(f"step {number} ({operation}) makes more than {most} numbers")
            for one in self.done[number - 1]:
                if isinstance(one, int):
                    values[one] = None  # nothing uses it any more
        return values[-1]  # type: ignore[return-value]  # the last one is never forgotten


def _depends_on_count(value: Any) -> bool:
    """True if an attribute depends on the number of images."""
    if isinstance(value, dict):
        return "n" in value or any(_depends_on_count(one) for one in value.values())
    return isinstance(value, list) and any(_depends_on_count(one) for one in value)


def of_count(value: Any, n: Any) -> Any:
    """The attributes for n images."""
    if isinstance(value, dict):
        return value["n"] * n + value["plus"] if "n" in value else {name: of_count(one, n) for name, one in value.items()}
    return [of_count(one, n) for one in value] if isinstance(value, list) else value


def of_metadata(arch: Header) -> GraphNetwork:
    """The network that checked metadata describes; its weights have no memory until they are loaded."""
    graph = arch[GRAPH]
    try:
        steps: list[Step] = [(operation, inputs, attributes) for operation, inputs, attributes in graph["steps"]]
        with torch.device("meta"):
            return GraphNetwork(steps, graph["constants"], alone=graph["alone"])
    except Exception as error:  # a damaged graph may fail in any way
        raise InputError(f"its graph cannot be built ({described(error, 80)})") from None


def try_out(network: GraphNetwork, shape: tuple[int, ...], classes: int) -> None:
    """Run a graph on one image; InputError if it fails, or returns something else than a score for each class."""
    try:
        with torch.no_grad():
            found = network.computed(torch.zeros(1, *shape), LARGEST)
    except MemoryError:
        raise
    except Exception as error:  # a damaged graph may fail in any way
        raise InputError(f"its graph cannot be run on images of {'x'.join(map(str, shape))} ({described(error, 80)})") from None
    if found.shape[:1] != (1,) or found.numel() != classes or not found.is_floating_point():
        raise InputError(f"its graph returns {'x'.join(map(str, found.shape))} for one image, and has {classes} classes")

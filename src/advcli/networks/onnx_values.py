"""The values of an ONNX graph while it is read: constants with their numbers, and what depends on the image with its shape.

Every operation of constants is computed here and now, so that arithmetic on sizes leaves no trace in what is stored.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from advcli.networks.graph_network import LARGEST, Step, layer
from advcli.networks.graph_operations import OPERATIONS

LARGEST_CONSTANT = 1 << 24  # numbers of a constant that is larger than what it is computed from


class Unsupported(Exception):
    """What cannot be read of a graph, and why."""


@dataclass(frozen=True, slots=True)
class Ref:
    """A value that depends on the image: the number of its step, and its shape and type."""

    number: int
    like: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.like.shape)


Value = Tensor | Ref


@dataclass
class Trace:
    """The steps of a graph so far, for a number of images."""

    count: int
    fixed: int | None  # the number of images that the graph was exported for, if it takes no other
    steps: list[Step] = field(default_factory=list)
    weights: dict[str, Tensor] = field(default_factory=dict)  # of layers, by their names in the network
    constants: dict[str, Tensor] = field(default_factory=dict)

    def add(self, operation: str, *inputs: Value, **attributes: Any) -> Value:
        """The result of an operation."""
        attributes = {name: list(one) if isinstance(one, tuple) else one for name, one in attributes.items()}
        if all(isinstance(one, Tensor) for one in inputs) and not self._by_count(operation, inputs, attributes):
            return self._constant(operation, inputs, attributes)
        likes = [one.like if isinstance(one, Ref) else one.to("meta") for one in inputs]
        return self._step(operation, inputs, attributes, OPERATIONS[operation](*likes, **attributes))

    def layer(self, operation: str, x: Ref, attributes: dict[str, Any], **weights: Tensor) -> Value:
        """The result of a layer with these weights."""
        with torch.device("meta"):
            made = layer(operation, attributes)
        own = made.state_dict()
        for name, tensor in weights.items():
            if own[name].shape != tensor.shape:
                raise Unsupported(f"has a {name} of shape {tuple(tensor.shape)}, which does not fit")
            self.weights[f"layers.{len(self.steps) + 1}.{name}"] = tensor
        return self._step(operation, [x], attributes, made(x.like))

    def _constant(self, operation: str, inputs: Sequence[Value], attributes: dict[str, Any]) -> Tensor:
        given = [one for one in inputs if isinstance(one, Tensor)]
        found = OPERATIONS[operation](*(one.to("meta") for one in given), **attributes)
        if found.numel() > max([LARGEST_CONSTANT, *(one.numel() for one in given)]):
            raise Unsupported(f"makes a constant of {found.numel()} numbers")
        return OPERATIONS[operation](*given, **attributes)

    def _by_count(self, operation: str, inputs: Sequence[Value], attributes: dict[str, Any]) -> bool:
        """True where a constant is repeated for every image: its size is known when the images are."""
        if operation != "expand" or not isinstance(one := inputs[0], Tensor) or not one.is_floating_point():
            return False
        shape = attributes["shape"]
        return bool(shape) and shape[0] == self.count and (one.ndim < len(shape) or one.shape[0] == 1)

    def _step(self, operation: str, inputs: Sequence[Value], attributes: dict[str, Any], like: Tensor) -> Ref:
        if like.numel() > LARGEST * self.count:
            raise Unsupported(f"makes {like.numel()} numbers")
        names = [one.number if isinstance(one, Ref) else self._name(one) for one in inputs]
        self.steps.append((operation, names, attributes))
        return Ref(len(self.steps), like)

    def _name(self, constant: Tensor) -> str:
        for name, one in self.constants.items():
            if one is constant:
                return name
        name = f"c{len(self.constants) + 1}"
        self.constants[name] = constant
        return name


def needed(steps: Sequence[Step], last: int) -> tuple[list[Step], dict[int, int]]:
    """The steps that the last one needs, with new numbers; and these by the old ones."""
    used = {last}
    for number in range(last, 0, -1):
        if number in used:
            used |= {one for one in steps[number - 1][1] if isinstance(one, int)}
    numbers = {0: 0} | {old: new for new, old in enumerate(sorted(used - {0}), 1)}
    kept = [steps[old - 1] for old in sorted(used - {0})]
    return [(name, [numbers[one] if isinstance(one, int) else one for one in inputs], how) for name, inputs, how in kept], numbers

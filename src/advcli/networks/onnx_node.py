"""A node of an ONNX graph with its inputs' values, and how its attributes are read in every version of ONNX.

What was an attribute in older versions is an input in newer ones (axes, limits, sizes): `whole` and `number` find it in both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from advcli.networks.onnx_values import Ref, Trace, Unsupported, Value

# Attributes that change nothing that is computed here, and others at the value at which they change nothing.
SILENT = {"consumed_inputs", "extrapolation_value", "is_test", "kernel_shape", "momentum", "num_outputs", "ratio",
          "round_mode", "saturate", "seed", "spatial", "stash_type", "storage_order", "training_mode", "type"}  # fmt: skip
USUAL = {"cubic_coeff_a": -0.75, "exclude_outside": 0, "keep_aspect_ratio_policy": "stretch", "reduction": "none"}


class Attributes(dict[str, Any]):
    """The attributes of a node, which know those that were never looked at."""

    def __init__(self, found: Mapping[str, Any]) -> None:
        super().__init__(found)
        self.seen: set[object] = set()

    def __getitem__(self, name: str) -> Any:
        self.seen.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self.seen.add(name)
        return super().get(name, default)

    def __contains__(self, name: object) -> bool:
        self.seen.add(name)
        return super().__contains__(name)

    def unread(self) -> list[str]:
        """Those that would change the result, had they been read."""
        left = [name for name in self if name not in self.seen and name not in SILENT]
        return [name for name in left if name not in USUAL or dict.__getitem__(self, name) not in (USUAL[name],)]


@dataclass(frozen=True)
class Node:
    """A node, what it takes, and the trace that it adds to."""

    operation: str
    inputs: Sequence[Value | None]
    attributes: Attributes
    outputs: int
    version: int
    trace: Trace

    def value(self, place: int) -> Value:
        """An input that has to be there."""
        found = self.inputs[place] if place < len(self.inputs) else None
        if found is None:
            raise Unsupported(f"lacks its input {place + 1}")
        return found

    def optional(self, place: int) -> Value | None:
        return self.inputs[place] if place < len(self.inputs) else None

    def image(self, place: int = 0) -> Ref:
        """An input that has to depend on the image."""
        found = self.value(place)
        if isinstance(found, Tensor):
            raise Unsupported("works on a constant")
        return found

    def fixed(self, place: int) -> Tensor:
        """An input that must not depend on the image."""
        found = self.value(place)
        if isinstance(found, Ref):
            raise Unsupported(f"takes its input {place + 1} from the image; only constants are read there")
        return found

    def shape(self, place: int = 0) -> tuple[int, ...]:
        return tuple(self.value(place).shape)

    def axis(self, default: int, place: int = 0) -> int:
        """The attribute `axis`, counted from the front."""
        return self.from_front(int(self.attributes.get("axis", default)), len(self.shape(place)))

    def from_front(self, axis: int, count: int) -> int:
        if not -count <= axis < count:
            raise Unsupported(f"has axis {axis} of {count}")
        return axis % count

    def whole(self, name: str, place: int | None = None) -> list[int] | None:
        """Whole numbers in an attribute, or in an input; None if they are in neither."""
        if name in self.attributes:
            return [int(one) for one in self.attributes[name]]
        if place is None or self.optional(place) is None:
            return None
        return [int(one) for one in self.fixed(place).reshape(-1).tolist()]

    def number(self, name: str, place: int, default: float | None) -> float | None:
        """A number in an attribute, or in an input."""
        if name in self.attributes:
            return float(self.attributes[name])
        found = None if self.optional(place) is None else self.fixed(place).reshape(-1)
        return default if found is None or not len(found) else float(found[0])

    def axes(self, place: int = 1) -> list[int] | None:
        """The attribute or input `axes`, counted from the front."""
        found = self.whole("axes", place)
        return None if found is None else [self.from_front(one, len(self.shape())) for one in found]

    def add(self, operation: str, *inputs: Value, **attributes: Any) -> Value:
        return self.trace.add(operation, *inputs, **attributes)

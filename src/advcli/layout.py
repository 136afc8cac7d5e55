"""A model as its machine likes it: the same weights and the same function, laid out for speed.

On a processor the channels of a picture lie side by side (channels last), as its convolutions like them, and a rectifier
goes behind the maximum that follows it, where it has less to do: relu(max(z)) = max(relu(z)) to the bit. Whatever a model
is opened for, it is opened so: what one verb has decided, another decides again.
"""

from operator import attrgetter
from typing import TypeVar

import torch
from torch import fx, nn

from advcli.stack import Classifier, Dropout

Model = TypeVar("Model", bound=nn.Module)


class Reader(fx.Tracer):
    """Reads how a network's layers follow one another; nothing is computed."""

    def is_leaf_module(self, m: nn.Module, qualified_name: str) -> bool:
        return isinstance(m, Dropout) or super().is_leaf_module(m, qualified_name)


def placed(model: Model, device: torch.device) -> Model:
    """The model on its device, laid out for it, where it stands."""
    for one in model.modules():
        if isinstance(one, Classifier) and device.type == "cpu":
            rectify_late(one.network)
            side_by_side(one)
    return model.to(device)


def side_by_side(classifier: Classifier) -> None:
    """Lay the channels side by side, where there are convolutions that gain by it."""
    if any(isinstance(one, nn.Conv2d) for one in classifier.network.modules()):
        classifier.network.to(memory_format=torch.channels_last)
        classifier.layout = torch.channels_last


def rectify_late(network: nn.Module) -> None:
    """Put rectifiers behind the maxima that follow them."""
    for before, after in neighbours(network):
        first, second = attrgetter(before)(network), attrgetter(after)(network)
        if type(first) is nn.ReLU and type(second) is nn.MaxPool2d:
            network.set_submodule(before, second)
            network.set_submodule(after, first)


def neighbours(network: nn.Module) -> list[tuple[str, str]]:
    """Layers that follow one another, each used once and seen by nothing else; none where a network cannot be read."""
    if not any(isinstance(one, nn.Conv2d) for one in network.modules()):
        return []
    try:
        calls = [node for node in Reader().trace(network).nodes if node.op == "call_module"]
    except Exception:  # branches on values, loops on shapes: a network is anybody's code
        return []
    names, found = [node.target for node in calls], []
    for node in calls:
        if len(node.users) == 1 and (after := next(iter(node.users))).op == "call_module":
            before, then = str(node.target), str(after.target)
            if names.count(node.target) == names.count(after.target) == 1 and len(after.all_input_nodes) == 1:
                found.append((before, then))
    return found

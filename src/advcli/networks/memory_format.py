"""Optimizes the memory layout and the order of layers of a model for its device: same weights, same function.

On a CPU the images are laid out channels last, which is faster for convolutions, and a ReLU is moved behind the max pooling
that follows it, where it has less to do: relu(max(z)) = max(relu(z)), bit for bit. A 2x2 max pooling is computed by rows and
then by columns if no gradient is needed. Every verb opens models in this way, so that all verbs get the same decisions.

A network is foreign code and may not support another layout: `x.view(len(x), -1)` fails, `x.as_strided(...)` returns other
values. So the layout is tried first, on copies, forwards and backwards; a network that fails with it, or whose logits or
gradients differ, is left unchanged.
"""

import copy
from typing import TypeVar

import torch
from torch import Tensor, fx, nn

from advcli.networks import trial_run
from advcli.networks.black_box import BlackBox
from advcli.networks.classifier import Classifier, Dropout

SEVERAL = 8  # images from which on two steps are faster than one
TWO_BY_TWO = ([2, 2, 0, 1], [(2, 2), (2, 2), (0, 0), (1, 1)])  # size, stride, padding and dilation, as a network may state them
Model = TypeVar("Model", bound=nn.Module)
Pairs = list[tuple[str, str]]  # names of layers


class LayerTracer(fx.Tracer):
    """Traces the order of a network's layers; nothing is computed."""

    def is_leaf_module(self, m: nn.Module, qualified_name: str) -> bool:
        return isinstance(m, Dropout | TwoStepMaxPool) or super().is_leaf_module(m, qualified_name)


class TwoStepMaxPool(nn.Module):
    """2x2 max pooling in two steps."""

    def __init__(self, layer: nn.MaxPool2d) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        n, channels, height, width = x.shape
        whole = height % 2 == width % 2 == 0 and x.is_contiguous(memory_format=torch.channels_last)
        if torch.is_grad_enabled() or n < SEVERAL or not whole:  # of equal ones, one gets the gradient
            found: Tensor = self.layer(x)
            return found
        rows = x.permute(0, 2, 3, 1).reshape(n, height // 2, 2, width, channels)
        pairs = torch.maximum(rows[:, :, 0], rows[:, :, 1]).view(n, height // 2, width // 2, 2, channels)
        return torch.maximum(pairs[:, :, :, 0], pairs[:, :, :, 1]).permute(0, 3, 1, 2)


def optimize_for(model: Model, device: torch.device) -> Model:
    """The model on its device, in place; on a CPU with an optimized layout, if its networks support that."""
    model.to(device)
    for one in [one for one in model.modules() if isinstance(one, Classifier) and not isinstance(one.network, BlackBox)]:
        as_written = trial_run.answers_or_none(one, device)
        if device.type == "cpu" and as_written is not None:
            lay_out(one, as_written)
    return model


def lay_out(classifier: Classifier, as_written: trial_run.Answers) -> None:
    """Change the layout of a classifier with known outputs, if the outputs stay the same."""
    if not any(isinstance(one, nn.Conv2d | nn.MaxPool2d) for one in classifier.network.modules()):
        return
    other = copy.deepcopy(classifier)
    try:
        pairs = adjacent_layers(other.network, nn.ReLU, nn.MaxPool2d)
        apply_layout(other, pairs)
        changed = trial_run.checked_answers(other, torch.device("cpu"))
    except Exception:
        return
    if trial_run.agree(as_written, changed):
        apply_layout(classifier, pairs)


def apply_layout(classifier: Classifier, pairs: Pairs) -> None:
    """Swap the layers of each pair, compute max pooling in two steps, and use channels last."""
    swap(classifier.network, pairs)
    two_step_max_pool(classifier.network)
    to_channels_last(classifier)


def to_channels_last(classifier: Classifier) -> None:
    """Use channels last, if there are convolutions that gain from it."""
    if any(isinstance(one, nn.Conv2d) for one in classifier.network.modules()):
        classifier.network.to(memory_format=torch.channels_last)
        classifier.layout = torch.channels_last


def pool_before_relu(network: nn.Module) -> None:
    """Move each ReLU behind the max pooling that follows it."""
    swap(network, adjacent_layers(network, nn.ReLU, nn.MaxPool2d))


def swap(network: nn.Module, pairs: Pairs) -> None:
    """Exchange layers."""
    for before, after in pairs:
        first, second = network.get_submodule(before), network.get_submodule(after)
        network.set_submodule(before, second)
        network.set_submodule(after, first)


def two_step_max_pool(network: nn.Module) -> None:
    """Compute 2x2 max pooling in two steps."""
    for name, layer in list(network.named_modules()):
        if type(layer) is nn.MaxPool2d and _halves(layer):
            network.set_submodule(name, TwoStepMaxPool(layer))


def _halves(layer: nn.MaxPool2d) -> bool:
    """True for a max pooling over 2x2 windows side by side that returns the maxima alone."""
    if layer.ceil_mode or layer.return_indices:
        return False
    return [layer.kernel_size, layer.stride, layer.padding, layer.dilation] in TWO_BY_TWO


def adjacent_layers(network: nn.Module, kind: type[nn.Module], then: type[nn.Module]) -> Pairs:
    """Pairs of adjacent layers of two types, each used once and by nothing else.

    None if a network cannot be traced. It is not traced (which takes as long as a forward pass of a few images) if it has no such
    layers.
    """
    kinds = {type(one) for one in network.modules()}
    if not {kind, then} <= kinds:
        return []
    try:
        calls = [node for node in LayerTracer().trace(network).nodes if node.op == "call_module"]
    except Exception:  # branches on values, loops on shapes: a network is anybody's code
        return []
    names, found = [node.target for node in calls], []
    for node in calls:
        if len(node.users) == 1 and (after := next(iter(node.users))).op == "call_module":
            pair = str(node.target), str(after.target)
            alone = names.count(node.target) == names.count(after.target) == 1 and len(after.all_input_nodes) == 1
            if alone and [type(network.get_submodule(one)) for one in pair] == [kind, then]:
                found.append(pair)
    return found

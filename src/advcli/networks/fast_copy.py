"""A faster copy of a model, which computes the same function, for the search only; verdicts never use it.

It is laid out for speed like any model, and batch norm is folded into the convolution before it: W' = W g / s,
b' = (b - m) g / s + beta with s = sqrt(v + eps). The gradient to a grey image, a convolution with one channel, is computed as
one matrix product whose columns are added up. The outputs of the copy are compared with the model once, on real images,
forwards and backwards; if they differ, or the copy fails, the search uses the model itself.
"""

import copy
from functools import partial
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn

from advcli.networks import trial_run
from advcli.networks.classifier import Classifier
from advcli.networks.memory_format import adjacent_layers, pool_before_relu, to_channels_last
from advcli.numerics.rng import SampleRNG


class Columns(torch.autograd.Function):
    """A convolution whose gradient is W^T g, added up where the windows overlap."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, conv: nn.Conv2d) -> Tensor:
        ctx.size, ctx.conv = x.shape[2:], conv
        found: Tensor = conv(x)
        return found

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        conv, (slope,) = ctx.conv, slopes
        columns = (conv.weight.to(slope.dtype).flatten(1).T @ slope.flatten(2)).to(conv.weight.dtype)
        return nn.functional.fold(columns, ctx.size, conv.kernel_size, 1, conv.padding, conv.stride), None


class Grey(nn.Module):
    """A convolution of images with one channel."""

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = Columns.apply(x, self.layer)
        return found


def fast_copy(model: nn.Module, x: Tensor, draws: SampleRNG, *, half: bool = False, gradients: bool = True) -> nn.Module:
    """A faster model with the same outputs on `x`; the model itself if there is none."""
    if not any(isinstance(one, nn.Conv2d) for one in model.modules()):
        return model
    try:
        made = copy.deepcopy(model)
        for one in [one for one in made.modules() if isinstance(one, Classifier)]:
            fold_norms(one.network)
            pool_before_relu(one.network)
            if half or x.device.type == "cpu":  # float32 on a GPU gains nothing by it
                to_channels_last(one)
            if x.device.type == "cpu":
                _grey(one.network)
        climb = partial(torch.logsumexp, dim=1) if gradients else None
        as_written, changed = (trial_run.answers(one, x, draws, climb) for one in (model, made))
        return made if trial_run.agree(as_written, changed) else model
    except Exception:  # a network is anybody's code: whatever it raises here, it is searched as it is
        return model


def fold_norms(network: nn.Module) -> None:
    """Fold batch norms into the convolutions before them."""
    for before, after in adjacent_layers(network, nn.Conv2d, nn.BatchNorm2d):
        conv, norm = attrgetter(before)(network), attrgetter(after)(network)
        if norm.running_var is not None and not norm.training:
            _fold(conv, norm)
            network.set_submodule(after, nn.Identity())


def _grey(network: nn.Module) -> None:
    """Give the convolutions of grey images the faster gradient."""
    for name, layer in list(network.named_modules()):
        if type(layer) is nn.Conv2d and layer.in_channels == 1 and _foldable(layer):
            network.set_submodule(name, Grey(layer))


def _foldable(conv: nn.Conv2d) -> bool:
    return conv.dilation == (1, 1) and isinstance(conv.padding, tuple) and conv.padding_mode == "zeros"


def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    """Move the norm's scale and shift into the convolution; computed in float64, rounded once."""
    mean, var = norm.running_mean, norm.running_var
    assert mean is not None
    assert var is not None
    scale = (var.double() + norm.eps).rsqrt()
    scale = scale if norm.weight is None else scale * norm.weight.double()
    shift = (0 if conv.bias is None else conv.bias.double()) - mean.double()
    shift = shift * scale + (0 if norm.bias is None else norm.bias.double())
    weight = conv.weight.double() * scale.view(-1, 1, 1, 1)
    conv.weight = nn.Parameter(weight.to(conv.weight.dtype), requires_grad=False)
    conv.bias = nn.Parameter(shift.to(conv.weight.dtype), requires_grad=False)

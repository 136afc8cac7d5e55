"""An architecture becomes a network: the result of its function, prepared for the program.

torch's own dropout is replaced by ours, whose masks are a function of the sample; layers that infer their sizes from the first
image get one.
"""

from typing import Literal

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from advcli.catalog.registry import Bound
from advcli.errors import AdvcliError, CommandError, described
from advcli.networks.classifier import Dropout
from advcli.networks.scikit_learn import Fitted

PLANES = (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
BRANCH = ("torchvision.ops.stochastic_depth", "StochasticDepth")


def network(bound: Bound, shape: tuple[int, ...], classes: int) -> nn.Module:
    """A new network for images of this shape."""
    made = _called(bound, shape, classes)
    if not isinstance(made, nn.Module):
        raise CommandError(f"{bound.spec.name}: returns {type(made).__name__}; an architecture returns a torch.nn.Module")
    if isinstance(made, Fitted) != bound.spec.traits.fitted:
        raise CommandError(
            f"{bound.spec.name}: returns {type(made).__name__}, and its decorator says fitted={bound.spec.traits.fitted}"
        )
    if any(is_lazy(one) for one in (*made.parameters(), *made.buffers())):
        modes = {module: module.training for module in made.modules()}
        with torch.no_grad():
            made.eval()(torch.zeros(2, *shape))
        for module in made.modules():
            module.training = modes.get(module, True)
    drop_by_sample(made)
    if strange := [name for name, one in made.state_dict().items() if not isinstance(one, torch.Tensor)]:
        raise CommandError(f"{bound.spec.name}: keeps {strange[0]!r}, which is not a tensor; a model file holds tensors only")
    return made


def _called(bound: Bound, shape: tuple[int, ...], classes: int) -> object:
    """The result of the function; what one of the user's own raises is reported in a line."""
    try:
        return bound(shape, classes)
    except AdvcliError:
        raise
    except Exception as error:
        if ":" not in bound.spec.name:
            raise
        said = described(error)
        raise CommandError(f"{bound.spec.name}: cannot be built for images of {'x'.join(map(str, shape))} ({said})") from error


def drop_by_sample(network: nn.Module) -> None:
    """Replace torch's dropout and stochastic depth by ours, everywhere in the network."""
    ours: dict[nn.Module, Dropout] = {}
    for parent in list(network.modules()):
        for name, child in list(parent._modules.items()):  # named_children passes over a second name
            if child is not None and (whole := _whole(child)):
                found = ours.setdefault(child, Dropout(child.p, whole=whole))  # type: ignore[arg-type]  # a rate, says _whole
                setattr(parent, name, found.train(child.training))


def _whole(layer: nn.Module) -> Literal["number", "plane", "branch"] | None:
    """The unit that a torch dropout layer drops; None if it drops nothing."""
    if type(layer) is nn.Dropout:
        return "number"
    if type(layer) in PLANES:
        return "plane"
    return "branch" if (type(layer).__module__, type(layer).__name__) == BRANCH else None

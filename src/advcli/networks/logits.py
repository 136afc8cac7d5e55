"""The logits in a network's output, and their gradients to the images.

The output may be a tensor; a tuple or list, whose first entry counts; a dictionary or object with `logits`; or a dictionary
with a single tensor. It has a row for each image and a column for each class; further dimensions of size one are dropped.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from advcli.errors import InputError

SIDE = "aux"  # how the names of side heads begin


def logits_of(found: object, count: int, classes: int) -> Tensor:
    """(N, K) the logits in a network's output for N images and K classes."""
    one = chosen(found)
    if not one.is_floating_point():
        raise InputError(f"the network returns numbers of type {one.dtype}; expected logits, one for each class")
    wanted = (count, classes)
    if tuple(one.shape) != wanted and [size for size in one.shape if size != 1] == [size for size in wanted if size != 1]:
        one = one.reshape(wanted)
    if tuple(one.shape) != wanted:
        have = "x".join(map(str, one.shape)) or "a single number"
        raise InputError(f"the network returns {have} for {count} images; expected {count}x{classes}: a logit for each class")
    return one.float() if one.dtype == torch.float64 else one


def columns_of(found: object, count: int) -> int:
    """The number of columns that the output for N images has: one for each class."""
    one = chosen(found)
    sizes = [size for size in one.shape[1:] if size != 1]
    if one.ndim < 1 or len(one) != count or len(sizes) > 1:
        have = "x".join(map(str, one.shape)) or "a single number"
        raise InputError(f"the network returns {have} for {count} images; expected a row for each image, a logit for each class")
    return sizes[0] if sizes else 1


def side_heads(found: object, classes: int) -> list[Tensor]:
    """The logits of auxiliary heads, which have names that begin with aux, in the order in which they are returned."""
    named = _named(found)
    kept = [one for name, one in named.items() if name.startswith(SIDE) and isinstance(one, Tensor)]
    return [one for one in kept if one.ndim == 2 and one.shape[1] == classes]


def gradient_of(total: Tensor, x: Tensor, *, keep: bool = False) -> Tensor:
    """d total / d x; zero if x does not affect total. With `keep` the graph stays for another gradient."""
    if not total.requires_grad:
        return torch.zeros_like(x)
    (found,) = torch.autograd.grad(total, x, retain_graph=keep, allow_unused=True)
    return torch.zeros_like(x) if found is None else found


def chosen(found: object) -> Tensor:
    """The tensor of logits in a network's output, whatever its shape."""
    if isinstance(found, Tensor):
        return found
    named = _named(found)
    if isinstance(one := named.get("logits"), Tensor):
        return one
    if isinstance(found, Mapping):
        tensors = [one for one in found.values() if isinstance(one, Tensor)]
        if len(tensors) == 1:
            return tensors[0]
        names = ", ".join(map(str, found)) or "nothing"
        raise InputError(f"the network returns a dictionary of {names[:100]}; call the logits 'logits'")
    if isinstance(found, tuple | list) and found and isinstance(found[0], Tensor):
        return found[0]
    what = type(found).__name__
    raise InputError(f"the network returns {what}; expected logits, a tuple that begins with them, or .logits")


def _named(found: object) -> dict[str, object]:
    """The values of an output by name: of a dictionary, a named tuple or an object."""
    if isinstance(found, Mapping):
        return {str(name): one for name, one in found.items()}
    if isinstance(found, tuple):
        return dict(zip(getattr(found, "_fields", ()), found, strict=False))
    return dict(getattr(found, "__dict__", {}))

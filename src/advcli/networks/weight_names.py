"""The names under which weights may be stored: those of the network, with the prefixes of wrappers, or as they were published.

An architecture whose weights are published under other names says in its file how these are called here: `own_names`. Buffers
of a mean and a standard deviation beside the weights (`mu`, `sigma`) are the normalisation of the model; an architecture whose
published files leave them out says in its file what they are: `published_normalization`.
"""

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from torch import Tensor

from advcli.catalog.registry import Bound
from advcli.networks import foreign_weights

OwnNames = Callable[[Iterable[str]], dict[str, str]]  # of published names; a name that is left out is not used
MEANS, STDS = ("mu", "mean", "means"), ("sigma", "std", "stds", "sd", "sds")
MOST_CHANNELS = 4
SECOND = ("1.",)  # of a sequence of a normalisation and a network


@dataclass(frozen=True, slots=True)
class Named:
    """Weights by one set of names, the normalisation that came with them, and the names that are not used."""

    tensors: dict[str, Tensor]
    normalize: dict[str, list[float]] = field(default_factory=dict)
    unused: tuple[str, ...] = ()


def candidates(network: Bound, tensors: dict[str, Tensor]) -> list[Named]:
    """The weights by all names that may be meant, as they are stored first."""
    own_names: OwnNames | None = getattr(importlib.import_module(network.spec.module), "own_names", None)
    normalize, rest = normalization(tensors)
    spelled = [Named(one) for one in foreign_weights.spellings(tensors)]
    spelled += [Named(one, normalize) for one in foreign_weights.spellings(rest, SECOND) if normalize]
    return [one for each in spelled for one in (each, *(_published(each, own_names) if own_names else ()))]


def published_normalization(network: Bound, channels: int, classes: int) -> dict[str, list[float]]:
    """The mean and the standard deviation that an architecture's published networks have in their code."""
    stated = getattr(importlib.import_module(network.spec.module), "published_normalization", None)
    return stated(channels, classes) if stated else {}


def _published(found: Named, own_names: OwnNames) -> list[Named]:
    """The same weights by the network's own names, if they have published ones."""
    names = own_names(found.tensors)
    if len(set(names.values())) < len(names):
        return []
    unused = tuple(name for name in found.tensors if name not in names)
    return [Named({new: found.tensors[old] for old, new in names.items()}, found.normalize, unused)]


def normalization(tensors: dict[str, Tensor]) -> tuple[dict[str, list[float]], dict[str, Tensor]]:
    """The mean and the standard deviation among the weights, for pixels in [0, 1], and the other weights; empty if there is no
    such pair.
    """
    pairs = [
        (name, other)
        for name in tensors
        for other in tensors
        if name.rpartition(".")[0] == other.rpartition(".")[0]
        and name.rpartition(".")[2] in MEANS
        and other.rpartition(".")[2] in STDS
    ]
    if len(pairs) != 1:
        return {}, tensors
    mean, std = (tensors[name].flatten().tolist() for name in pairs[0])
    small = len(mean) == len(std) <= MOST_CHANNELS and all(0 <= one <= 1 for one in mean) and all(0 < one <= 1 for one in std)
    if not small:
        return {}, tensors
    return {"mean": mean, "std": std}, {name: one for name, one in tensors.items() if name not in pairs[0]}

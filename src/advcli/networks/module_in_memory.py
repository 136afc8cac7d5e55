"""A module of the user's as a model: a private copy of it, and an identity by content, as model files have.

The user's module is neither run nor changed: modes, `requires_grad`, gradients, device and memory format stay as they are.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from advcli.catalog import discovery
from advcli.catalog.registry import Bound
from advcli.errors import AdvcliError, InputError, described
from advcli.files.header import Header
from advcli.networks import build
from advcli.networks.architecture import drop_by_sample
from advcli.networks.classifier import Classifier
from advcli.networks.content import content_of
from advcli.networks.logits import columns_of
from advcli.networks.model_file import ModelFile, metadata_digest
from advcli.runtime import devices

AROUND = ("module", "_orig_mod")  # where DataParallel and torch.compile keep the network


@dataclass(frozen=True, slots=True)
class ModelInMemory(ModelFile):
    """A model that lies in no file; `given` is the copy of the user's module."""

    given: nn.Module

    @property
    def network(self) -> str:
        """The digest of what decides."""
        return str(self.metadata["network"])

    def module(self, *, static: bool = False) -> nn.Module:
        """A fresh copy behind its normalisation and its defenses; without these for a static attack."""
        model: nn.Module = classifier(self.given, self.metadata)
        for one in [] if static else self.defenses:
            bound = discovery.from_file("defense", one["name"]).bind(one["parameters"])
            model = build.wrap(bound, model, [], self.shape, len(self.classes))
        return model.eval()


@dataclass(frozen=True, slots=True)
class DefendedModule:
    """A module behind defenses, as `advcli.defend` gives it: `attack`, `evaluate` and `defend` take it as their model."""

    name: str
    module: nn.Module = field(repr=False)  # a copy of the user's
    defenses: tuple[Header, ...]
    about: Header  # its normalisation, classes and input, as they were given

    def behind(self, bound: Bound) -> "DefendedModule":
        """The same module behind one more defense."""
        return replace(self, defenses=(*self.defenses, {"name": bound.spec.name, "parameters": bound.parameters}))


def model_of(one: DefendedModule, shape: Sequence[int], classes: Sequence[str], normalize: Header) -> ModelInMemory:
    """The model of a copied module, for images of a shape."""
    given = one.module
    metadata: Header = {
        "format": "advcli/model/1",
        "arch": {"name": f"{type(given).__module__}:{type(given).__qualname__}", "parameters": {}},
        "input": list(shape),
        "classes": list(classes),
        "normalize": normalize,
        "defenses": list(one.defenses),
        "data": None,
    }
    tensors = {key: one for key, one in given.state_dict().items() if isinstance(one, Tensor)}
    metadata["network"] = content_of(classifier(given, metadata), metadata, tensors)
    return ModelInMemory(Path(one.name), {**metadata, "digest": metadata_digest(metadata)}, tensors, given)


def classifier(given: nn.Module, metadata: Mapping[str, Any]) -> Classifier:
    """A copy of a network behind the normalisation of its metadata."""
    mean, std = metadata["normalize"]["mean"], metadata["normalize"]["std"]
    shape, classes = tuple(metadata["input"]), len(metadata["classes"])
    return Classifier(copy.deepcopy(given), mean, std, shape=shape, classes=classes).eval()


def copied(module: nn.Module, name: str) -> nn.Module:
    """A copy of a module in evaluation mode, without gradients of its weights; of the network that a wrapper holds."""
    module = unwrapped(module)
    if any(is_lazy(one) for one in (*module.parameters(), *module.buffers())):
        raise InputError(f"{name}: has layers without sizes; run it on an image first")
    plain = {id(one): one.detach().clone() for one in _computed(module)}  # deepcopy refuses tensors that have a history
    try:
        with torch.no_grad():
            found: nn.Module = copy.deepcopy(module, plain)
    except Exception as error:  # a module is anybody's code
        raise InputError(f"{name}: cannot be copied ({described(error)}); let it hold nothing but tensors and numbers") from None
    drop_by_sample(found)
    found.cpu().eval()
    for one in (*found.parameters(), *found.buffers()):
        one.data = one.data.contiguous()  # as the weights of a file lie
        one.requires_grad_(False)
    return found


def unwrapped(module: nn.Module) -> nn.Module:
    """The network itself: wrappers for several GPUs and for compilation compute the same."""
    kinds = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    while isinstance(module, kinds) or type(module).__name__ == "OptimizedModule":
        module = next(one for key in AROUND if isinstance(one := getattr(module, key, None), nn.Module))
    return module


def _computed(module: nn.Module) -> Iterator[Tensor]:
    """Tensors with a history that a module keeps, such as the features of its last images."""
    waiting = [value for one in module.modules() for value in (*vars(one).values(), *one._buffers.values())]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Tensor) and not value.is_leaf:
            yield value
        elif isinstance(value, list | tuple):
            waiting += value
        elif isinstance(value, dict):
            waiting += [one for one in value.values() if not isinstance(one, nn.Module)]


def count_classes(given: nn.Module, name: str, x: Tensor, device_name: str) -> int:
    """The number of outputs of a copied module for each of some images."""
    device, have = devices.find_device(device_name), "x".join(map(str, x.shape[1:]))
    forked = [device] if device.type == "cuda" else []
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=forked), devices.threads(tuple(x.shape[1:])):
            found = columns_of(copy.deepcopy(given).to(device)(x.clone().to(device)), len(x))
    except AdvcliError as error:
        raise InputError(f"{name}: {error}") from None
    except Exception as error:  # whatever it raises
        other = next((str(one.dtype) for one in given.parameters() if one.dtype != torch.float32), "")
        advice = f"\nits weights are {other.removeprefix('torch.')}, and images are float32: give the module as .float()" * bool(
            other
        )
        raise InputError(f"{name}: fails on images of {have} (channels, height, width): {described(error)}{advice}") from None
    if found < 2:
        raise InputError(f"{name}: gives one number for an image; expected a logit for each class: for two classes 0 and s")
    return found

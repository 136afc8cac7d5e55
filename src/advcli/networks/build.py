"""A recipe becomes a module: the network behind its normalisation, and the defenses around it, folded left to right."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from advcli.catalog import discovery
from advcli.catalog.registry import Bound
from advcli.errors import InputError
from advcli.networks.rejection import Rejecting
from advcli.networks.scikit_learn import Fitted
from advcli.numerics.rng import SampleRNG


class Dropout(nn.Module):
    """Dropout whose masks are a function of the sample, not of a global state; idle in evaluation.

    With `branch` a sample keeps or loses all of its numbers: stochastic depth.
    """

    def __init__(self, rate: float, *, branch: bool = False) -> None:
        super().__init__()
        self.rate, self.branch = rate, branch
        self.draws: SampleRNG | None = None

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.rate:
            return x
        if self.draws is None:
            raise RuntimeError("dropout in training needs draws")
        shape = [1] * (x.ndim - 1) if self.branch else x.shape[1:]
        return x * (self.draws.chance(1 - self.rate, *shape).to(x.dtype) / (1 - self.rate))


class Classifier(nn.Module):
    """Pixels in [0, 1] -> logits: the normalisation and the network. Hands the draws to the network's dropouts."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        self.plain = not any(mean) and all(one == 1 for one in std)
        self.layout = torch.contiguous_format  # of the pictures that the network sees
        self.auxiliary: list[Tensor] = []  # logits of side heads, which some networks have in training only
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, x: Tensor, draws: SampleRNG | None = None) -> Tensor:
        if draws is not None:
            for k, layer in enumerate(m for m in self.network.modules() if isinstance(m, Dropout)):
                layer.draws = draws.fork("dropout", k) if layer.training else None
        x = x if self.plain else (x - self.mean) / self.std
        found = self.network(x.contiguous(memory_format=self.layout))
        self.auxiliary = []
        if isinstance(found, tuple):
            found, *side = found
            self.auxiliary = [one for one in side if one is not None]
        return cast(Tensor, found)


def build(recipe: dict[str, Any], defenses: Sequence[dict[str, Any]]) -> nn.Module:
    """The module of a recipe under the given defenses; its parameters are fresh."""
    shape, classes = tuple(recipe["input"]), len(recipe["classes"])
    network = discovery.from_file("architecture", recipe["arch"]["name"]).bind(recipe["arch"]["parameters"])(shape, classes)
    model: nn.Module = Classifier(network, recipe["normalize"]["mean"], recipe["normalize"]["std"])
    members = recipe.get("members", [])
    each = [discovery.from_file("defense", one["name"]).bind(one["parameters"]) for one in defenses]
    takers = [bound.spec.name for bound in each if bound.spec.traits.members]
    if len(takers) > bool(members):
        raise InputError(f"{' and '.join(takers)}: each needs members of its own")
    for bound, one in zip(each, defenses, strict=True):
        beside = [build(member, member["defenses"]) for member in members] if bound.spec.name in takers else []
        model = around(bound, model, beside, shape, classes)
        if "found" in one:
            cast(Rejecting, model).adopt(one["found"])
    return model


def around(bound: Bound, model: nn.Module, members: Sequence[nn.Module], shape: tuple[int, ...], classes: int) -> nn.Module:
    """A defense around a model, with all that it takes."""
    traits = bound.spec.traits
    beside = [*([members] if traits.members else []), *([shape, classes] if traits.learns else [])]
    found: nn.Module = bound(model, *beside)
    return found


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a defense that learns is shown with a batch: the labels, its draws, and attacks on any model, one by one."""

    x: Tensor
    label: Tensor
    rng: SampleRNG
    opponents: Sequence[Callable[[nn.Module, Tensor, Tensor, SampleRNG], Tensor]]

    def against(self, model: nn.Module) -> list[Tensor]:
        """The batch attacked by every opponent."""
        return [one(model, self.x, self.label, self.rng.fork("against", k)) for k, one in enumerate(self.opponents)]


def network_of(text: str, shape: tuple[int, ...], classes: int) -> Classifier:
    """A fresh network of an architecture of the list, spelled as in cnn:width=16."""
    spec, typed = discovery.spelled("architecture", text)
    return Classifier(spec.bind(typed)(shape, classes), [0.0] * shape[0], [1.0] * shape[0])


def learned(model: nn.Module) -> dict[str, nn.Module]:
    """The networks that the defenses of a stack have learned, by how their tensors' names begin."""
    around = []
    while isinstance(inner := getattr(model, "model", None), nn.Module):
        around.append(model)
        model = inner
    own = ((k, getattr(one, "learned", None)) for k, one in enumerate(reversed(around)))
    return {f"{DEFENSE}{k}/": one for k, one in own if isinstance(one, nn.Module)}


def imported(recipe: Mapping[str, Any]) -> None:
    """Import what a recipe will be built with, if it is our own."""
    members = recipe.get("members")
    for one in (recipe, *(members if isinstance(members, list) else ())):
        arch = one.get("arch") if isinstance(one, dict) else None
        name = arch.get("name") if isinstance(arch, dict) else None
        if isinstance(name, str) and ":" not in name:
            discovery.from_file("architecture", name).load()


MEMBER, DEFENSE = "member/", "defense/"


def starting(tensors: dict[str, Tensor], start: str) -> dict[str, Tensor]:
    """The tensors whose names begin so, without that beginning."""
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


def load_all(model: nn.Module, tensors: dict[str, Tensor], where: str, *, static: bool = False) -> None:
    """The weights of a model, of what its defenses have learned, and of the members that it holds.

    A static model has no defenses; what belongs to them is passed over.
    """
    load_weights(model, {name: tensor for name, tensor in tensors.items() if not name.startswith((MEMBER, DEFENSE))}, where)
    found = (getattr(module, "members", None) for module in model.modules())
    members: Iterable[nn.Module] = next((one for one in found if one is not None), ())
    beside = {f"{MEMBER}{k}/": one for k, one in enumerate(members)}
    for start, network in learned(model).items():
        _load(network, starting(tensors, start), where)
    for start, member in beside.items():
        load_all(member, starting(tensors, start), where)
    known = (*learned(model), *beside)
    extra = [name for name in tensors if name.startswith((MEMBER, DEFENSE)) and not name.startswith(known)]
    if extra and not static:
        raise InputError(f"{where}: the weights do not fit the architecture: first unexpected {extra[0]!r}")


def classifier_of(model: nn.Module) -> Classifier:
    """The classifier at the bottom of a stack."""
    return next(m for m in model.modules() if isinstance(m, Classifier))


def load_weights(model: nn.Module, tensors: dict[str, Tensor], where: str) -> None:
    """Put the weights in; a name or shape that does not fit is named."""
    network = classifier_of(model).network
    if isinstance(network, Fitted):
        network.adopt(tensors, where)
        return
    _load(network, tensors, where)


def _load(network: nn.Module, tensors: dict[str, Tensor], where: str) -> None:
    own = {name: tensor.shape for name, tensor in network.state_dict().items()}
    if words := difference(own, {name: tensor.shape for name, tensor in tensors.items()}):
        raise InputError(f"{where}: the weights do not fit the architecture: {words}")
    network.load_state_dict(tensors)


def difference(own: Mapping[str, Sequence[int]], found: Mapping[str, Sequence[int]]) -> str:
    """How the weights' names and shapes differ from the network's: the first of each kind; empty where they agree."""
    missing, extra = [name for name in own if name not in found], [name for name in found if name not in own]
    words = [f"{word} {names[0]!r}" for word, names in (("first missing", missing), ("first unexpected", extra)) if names]
    if not words:
        other = [name for name in own if tuple(own[name]) != tuple(found[name])]
        words = [f"{name} has shape {tuple(found[name])}, expected {tuple(own[name])}" for name in other[:1]]
    return ", ".join(words)


def is_random(defenses: Sequence[dict[str, Any]]) -> bool:
    """Whether a stack draws random numbers."""
    return any(discovery.from_file("defense", one["name"]).traits.random for one in defenses)


@contextmanager
def frozen(model: nn.Module) -> Iterator[nn.Module]:
    """Evaluation mode and no gradients of weights; everything as it was afterwards."""
    modes = {module: module.training for module in model.modules()}
    wanted = {parameter: parameter.requires_grad for parameter in model.parameters()}
    model.eval().requires_grad_(False)
    try:
        yield model
    finally:
        for module, mode in modes.items():
            module.training = mode
        for parameter, grad in wanted.items():
            parameter.requires_grad_(grad)

"""Builds the module that metadata describes: the network behind its normalisation, and the defenses around it in their order."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from torch import Tensor, nn

from advcli.catalog import discovery
from advcli.catalog.registry import Bound
from advcli.errors import CommandError, InputError
from advcli.networks import architecture, black_box, graph_network
from advcli.networks.classifier import Classifier, classifier_of
from advcli.networks.feature_detector import Statistics
from advcli.networks.graph_network import GRAPH
from advcli.networks.rejection import Rejecting
from advcli.networks.scikit_learn import Fitted

ANSWERS = "answers"  # what a function of the user's own gives, in the metadata of its model: scores or labels
MOST_FORWARDS = 1_000_000  # for one image: the largest number of votes of any one defense, ten times


def build(metadata: dict[str, Any], defenses: Sequence[dict[str, Any]]) -> nn.Module:
    """The module that metadata describes, with the given defenses; its parameters are new."""
    shape, classes = tuple(metadata["input"]), len(metadata["classes"])
    mean, std = metadata["normalize"]["mean"], metadata["normalize"]["std"]
    model: nn.Module = Classifier(network(metadata["arch"], shape, classes), mean, std, shape=shape, classes=classes)
    members = metadata.get("members", [])
    each = [discovery.from_file("defense", one["name"]).bind(one["parameters"]) for one in defenses]
    takers = [bound.spec.name for bound in each if bound.spec.traits.members]
    if len(takers) > bool(members):
        raise InputError(f"{' and '.join(takers)}: each needs members of its own")
    for bound, one in zip(each, defenses, strict=True):
        beside = [build(member, member["defenses"]) for member in members] if bound.spec.name in takers else []
        model = wrap(bound, model, beside, shape, classes)
        if "found" in one:
            cast(Rejecting, model).adopt(one["found"])
    return model


def network(arch: Mapping[str, Any], shape: tuple[int, ...], classes: int) -> nn.Module:
    """The network that checked metadata names, with new weights; a function of the user's own has none.

    The weights of a graph have no memory until they are loaded.
    """
    if ANSWERS in arch:
        return black_box.of_metadata(dict(arch), classes)
    if GRAPH in arch:
        return graph_network.of_metadata(dict(arch))
    return architecture.network(discovery.from_file("architecture", arch["name"]).bind(arch["parameters"]), shape, classes)


def wrap(bound: Bound, model: nn.Module, members: Sequence[nn.Module], shape: tuple[int, ...], classes: int) -> nn.Module:
    """A defense around a model, with its members and draws; refused if one image would need too many forward passes."""
    traits = bound.spec.traits
    beside = [*([members] if traits.members else []), *([shape, classes] if traits.learns or traits.features else [])]
    found: nn.Module = bound(model, *beside)
    if (count := forwards(found)) > MOST_FORWARDS:
        raise CommandError(
            f"{bound.spec.name}: with the defenses under it, every image would need {count} forward passes;\n"
            f"at most {MOST_FORWARDS} are allowed: use fewer copies, or fewer voting defenses"
        )
    return found


def forwards(model: nn.Module) -> int:
    """The number of forward passes a stack makes for one image: each defense states how many `copies` it takes."""
    inner = (getattr(model, "model", None), *getattr(model, "members", ()))
    below = sum(forwards(one) for one in inner if isinstance(one, nn.Module))
    return int(getattr(model, "copies", 1)) * (below or 1)


def learned_networks(model: nn.Module) -> dict[str, nn.Module]:
    """The trained networks of the defenses of a stack, by the prefix of their tensors' names."""
    defenses = []
    while isinstance(inner := getattr(model, "model", None), nn.Module):
        defenses.append(model)
        model = inner
    own = ((k, getattr(one, "learned", None)) for k, one in enumerate(reversed(defenses)))
    return {f"{DEFENSE}{k}/": one for k, one in own if isinstance(one, nn.Module)}


def methods(metadata: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(role, name) of every architecture, function and defense that checked metadata names."""
    kind = "function" if ANSWERS in metadata["arch"] else GRAPH if GRAPH in metadata["arch"] else "architecture"
    found = [(kind, str(metadata["arch"]["name"]))] + [("defense", str(one["name"])) for one in metadata["defenses"]]
    return found + [one for member in metadata.get("members", []) for one in methods(member)]


def needs_permission(metadata: Mapping[str, Any]) -> bool:
    """True if checked metadata names code that the user has not named."""
    return any(discovery.is_own(role, name) and name not in discovery.PERMITTED for role, name in methods(metadata))


def import_architectures(metadata: Mapping[str, Any]) -> None:
    """Import the modules that checked metadata needs: our own, and those that the user has named."""
    for role, name in methods(metadata):
        if role == "architecture":
            discovery.from_file(role, name).load()
        elif role == "function":
            black_box.function_of(name)


MEMBER, DEFENSE = "member/", "defense/"


def with_prefix(tensors: dict[str, Tensor], start: str) -> dict[str, Tensor]:
    """The tensors whose names have this prefix, without the prefix."""
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


def load_all(model: nn.Module, tensors: dict[str, Tensor], where: str, *, static: bool = False) -> None:
    """Load the weights of a model, of its defenses, and of its members.

    A static model has no defenses; their tensors are skipped.
    """
    load_weights(model, {name: tensor for name, tensor in tensors.items() if not name.startswith((MEMBER, DEFENSE))}, where)
    found = (getattr(one, "members", None) for one in model.modules())
    members: Iterable[nn.Module] = next((one for one in found if one is not None), ())
    beside = {f"{MEMBER}{k}/": one for k, one in enumerate(members)}
    for start, network in learned_networks(model).items():
        if isinstance(network, Statistics):
            network.adopt(with_prefix(tensors, start), where)
        else:
            _load(network, with_prefix(tensors, start), where)
    for start, member in beside.items():
        load_all(member, with_prefix(tensors, start), where)
    known = (*learned_networks(model), *beside)
    extra = [name for name in tensors if name.startswith((MEMBER, DEFENSE)) and not name.startswith(known)]
    if extra and not static:
        raise InputError(f"{where}: the weights do not fit the architecture: first unexpected {extra[0]!r}")


def load_weights(model: nn.Module, tensors: dict[str, Tensor], where: str) -> None:
    """Load the weights; the error names a tensor that does not fit."""
    network = classifier_of(model).network
    if isinstance(network, Fitted):
        network.adopt(tensors, where)
        return
    _load(network, tensors, where)


def _load(network: nn.Module, tensors: dict[str, Tensor], where: str) -> None:
    own = {name: tensor.shape for name, tensor in network.state_dict().items()}
    if words := difference(own, {name: tensor.shape for name, tensor in tensors.items()}):
        raise InputError(f"{where}: the weights do not fit the architecture: {words}")
    if any(one.is_meta for one in (*network.parameters(), *network.buffers())):
        network.to_empty(device="cpu")
    network.load_state_dict(tensors)


def difference(own: Mapping[str, Sequence[int]], found: Mapping[str, Sequence[int]]) -> str:
    """The first difference of each kind between the names and shapes of the weights and of the network; empty if none."""
    missing, extra = [name for name in own if name not in found], [name for name in found if name not in own]
    words = [f"{word} {names[0]!r}" for word, names in (("first missing", missing), ("first unexpected", extra)) if names]
    if not words:
        other = [name for name in own if tuple(own[name]) != tuple(found[name])]
        words = [f"{name} has shape {tuple(found[name])}, expected {tuple(own[name])}" for name in other[:1]]
    return ", ".join(words)


def is_random(defenses: Sequence[dict[str, Any]]) -> bool:
    """True if a stack draws random numbers."""
    return any(discovery.from_file("defense", one["name"]).traits.random for one in defenses)


def has_surrogate(defenses: Sequence[dict[str, Any]]) -> bool:
    """True if a defense of a stack uses a surrogate gradient."""
    return any(discovery.from_file("defense", one["name"]).traits.gradient == "surrogate" for one in defenses)

"""What a model is made of: its branches, their defenses, and the layers of each network with shapes and parameters.

One grey image is passed through each network, to see the shapes; a function of the user's own is not asked.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from advcli.catalog import discovery
from advcli.networks import build
from advcli.networks.black_box import BlackBox
from advcli.networks.classifier import Classifier, classifier_of
from advcli.networks.graph_network import LAYERS, GraphNetwork
from advcli.networks.layers import watched
from advcli.networks.model_file import ModelFile

Part = dict[str, Any]  # a row of the table


@dataclass(frozen=True, slots=True)
class Defense:
    """A defense, its options, whether it changes the image before the network sees it, and the layers that it has learned."""

    name: str
    options: dict[str, Any]
    before: bool
    joins: bool  # takes the other branches
    learned: list[Part] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Branch:
    """One network with the defenses of its own, the first one next to it."""

    name: str
    arch: str
    defenses: list[Defense]
    layers: list[Part] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Description:
    """The branches of a model, and the defenses around all of them: first the one that joins them."""

    branches: list[Branch]
    around: list[Defense]


def described(model: ModelFile) -> Description:
    """The parts of a model as its file states them; one without members is a single branch."""
    module, members = model.module(), model.metadata.get("members", [])
    own = _defenses(model.defenses, module)
    joins = next((k for k, one in enumerate(own) if one.joins), len(own))
    branches = [_branch("model", model.metadata, own[:joins], module)]
    inside = [one for one in module.modules() if isinstance(getattr(one, "members", None), nn.ModuleList)]
    beside = inside[0].get_submodule("members").children() if inside and members else iter(())
    for k, (metadata, one) in enumerate(zip(members, beside, strict=True), 1):
        branches.append(_branch(f"member {k}", metadata, _defenses(metadata["defenses"], one), one))
    return Description(branches, own[joins:])


def _defenses(stack: Sequence[Mapping[str, Any]], module: nn.Module) -> list[Defense]:
    learned, found = build.learned_networks(module), []
    for k, one in enumerate(stack):
        traits = discovery.from_file("defense", one["name"]).traits
        network = learned.get(f"{build.DEFENSE}{k}/")
        parts = (
            [] if network is None else [_part(f"{one['name']}: {name or 'all'}", part, None) for name, part in _holders(network)]
        )
        before = not (traits.votes or traits.members or traits.rejects)
        found.append(Defense(one["name"], dict(one["parameters"]), before, traits.members, parts))
    return found


def _branch(name: str, metadata: Mapping[str, Any], defenses: list[Defense], module: nn.Module) -> Branch:
    return Branch(name, str(metadata["arch"]["name"]), defenses, layers_of(classifier_of(module)))


def layers_of(inner: Classifier) -> list[Part]:
    """The layers of a network in the order in which an image passes them; after these the ones that it does not pass."""
    shapes = shapes_in(inner)
    holders = dict(_holders(inner.network))
    order = [name for name in shapes if name in holders] + [name for name in holders if name not in shapes]
    found = [_part(name, holders[name], shapes.get(name)) for name in order]
    if isinstance(inner.network, GraphNetwork):
        found = sorted([*found, *_operations(inner.network)], key=lambda part: _step(part["layer"]))
    return found


def shapes_in(inner: Classifier) -> dict[str, tuple[int, ...]]:
    """The shape of what every layer gives for one image, in the order of the first passes."""
    if isinstance(inner.network, BlackBox):
        return {"": (inner.classes,)}
    found: dict[str, tuple[int, ...]] = {}

    def seen(name: str, _: nn.Module, values: Tensor) -> None:
        found.setdefault(name, tuple(values.shape[1:]))

    with torch.no_grad(), watched(inner.network, seen):
        inner.eval()(torch.full((1, *inner.shape), 0.5))
    return found


def _holders(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The layers, and modules around layers that have parameters of their own."""
    for name, one in network.named_modules():
        alone = not any(True for _ in one.children())
        if alone or any(True for _ in (*one.parameters(recurse=False), *one.buffers(recurse=False))):
            yield name, one


def _part(name: str, one: nn.Module, shape: tuple[int, ...] | None) -> Part:
    """The row of a layer; numbers of its own alone."""
    return {
        "layer": name or "network",
        "type": type(one).__name__,
        "output": "" if shape is None else "x".join(map(str, shape)),
        "parameters": sum(value.numel() for value in one.parameters(recurse=False)),
        "stored": sum(value.numel() for value in one.buffers(recurse=False)),
    }


def _step(name: str) -> int:
    """The number of a step of a graph; the constants come first."""
    last = name.replace(" ", ".").rpartition(".")[2]
    return int(last) if last.isdecimal() else 0


def _operations(graph: GraphNetwork) -> list[Part]:
    """The operations of a graph that are no layers."""
    return [
        {"layer": f"step {number}", "type": operation, "output": "", "parameters": 0, "stored": 0}
        for number, (operation, _, _) in enumerate(graph.steps, 1)
        if operation not in LAYERS
    ]


@dataclass(slots=True)
class Group:
    """Some layers that are drawn as one box."""

    name: str
    kinds: list[str]
    output: str
    parameters: int


def groups(branch: Branch, most: int) -> list[Group]:
    """The layers of a network as few boxes: a layer with weights and what follows it, or a block, or several blocks."""
    passed = [part for part in branch.layers if part["output"] or part["parameters"]]
    found = _joined([(part, part["layer"]) for part in passed])
    for depth in (3, 2, 1):
        if len(found) <= most:
            return found
        found = _joined([(part, ".".join(part["layer"].split(".")[:depth])) for part in passed])
    each = -(-len(found) // most)
    return [_one_of(found[k : k + each]) for k in range(0, len(found), each)]


def _one_of(some: list[Group]) -> Group:
    """Neighbours as one."""
    name = some[0].name if len(some) == 1 else f"{some[0].name} to {some[-1].name}"
    kinds = [kind for one in some for kind in one.kinds]
    return Group(name, kinds, some[-1].output, sum(one.parameters for one in some))


def _joined(parts: list[tuple[Part, str]]) -> list[Group]:
    """Neighbours of one block together, and a layer without parameters with what is before it."""
    found: list[Group] = []
    for part, block in parts:
        if found and (found[-1].name == block or not (part["parameters"] or part["stored"])):
            last = found[-1]
            last.kinds.append(part["type"])
            last.output, last.parameters = part["output"] or last.output, last.parameters + part["parameters"]
        else:
            found.append(Group(block, [part["type"]], part["output"], part["parameters"]))
    return found

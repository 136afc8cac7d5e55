"""Reads a model as a graph of layers for which there are bounds; a layer that cannot be read is refused by name, never guessed.

torch.export records the operations that a network computes, free of side effects, with tensors that hold no numbers: a
network that branches on values, or leaves torch, is refused there. What is read is compared with the model where it is used.
"""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

import torch
from torch import Tensor, fx, nn

from advcli.bounds.graph import Graph, Input
from advcli.bounds.operations import OPERATIONS
from advcli.bounds.reader import Reader, Unreadable
from advcli.errors import InputError
from advcli.networks.black_box import BlackBox
from advcli.networks.classifier import Classifier
from advcli.networks.logits import logits_of

COUNT = 2  # images that are recorded


class Whole(nn.Module):
    """The function of a classifier alone: pixels to logits."""

    mean: Tensor
    std: Tensor

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.network, self.classes, self.plain = classifier.network, classifier.classes, classifier.plain
        self.register_buffer("mean", classifier.mean)
        self.register_buffer("std", classifier.std)

    def forward(self, x: Tensor) -> Tensor:
        seen = x if self.plain else (x - self.mean) / self.std
        return logits_of(self.network(seen), len(x), self.classes)


def read(model: nn.Module) -> Graph:
    """The graph of a classifier; InputError names the first layer for which there are no bounds."""
    if type(model) is not Classifier:
        raise InputError(f"no bounds for a model behind a defense ({type(model).__name__}); verify the network alone")
    if isinstance(model.network, BlackBox):
        raise InputError(f"no bounds for {model.network.name}, a function of your own: nothing is known of what it computes")
    program = _recorded(model)
    values = {**program.state_dict, **program.constants}
    places = {one.arg.name: one.target for one in program.graph_signature.input_specs}
    device = next(iter((*model.parameters(), *model.buffers())), torch.zeros(())).device
    reader = Reader(Graph(device=device), COUNT)
    for node in program.graph.nodes:
        name = _layer_of(node)
        if node.op == "placeholder":
            if (place := places.get(node.name)) is None:
                reader.found[node] = reader.graph.add(Input(), (), tuple(node.meta["val"].shape[1:]), "the image")
            else:
                reader.found[node] = values[place].detach()
        elif node.op == "call_function":
            try:
                _call(reader, node, name)
            except Unreadable as error:
                raise InputError(f"no bounds for {str(error) or name}{_where(node)}") from None
        elif node.op == "output":
            (last,) = node.args[0]
            _finish(reader, last)
    reader.graph.pool_first()
    return reader.graph


def _call(reader: Reader, node: fx.Node, name: str) -> None:
    """Read one operation; one that does not depend on the image is computed."""
    arguments = [one for one in node.all_input_nodes if isinstance(reader.found[one], int)]
    if not arguments:
        with torch.no_grad():
            given = fx.node.map_arg((node.args, node.kwargs), lambda one: reader.found[one])
            reader.found[node] = node.target(*given[0], **given[1])  # type: ignore[operator]  # it is a function here
        return
    operation = OPERATIONS.get(str(node.target).removeprefix("aten.").partition(".")[0].rstrip("_"))
    if operation is None:
        raise Unreadable(name)
    reader.name = name
    reader.found[node] = operation(reader, node)


def _finish(reader: Reader, last: fx.Node) -> None:
    number = reader.found[last]
    if not isinstance(number, int):
        raise InputError("no bounds for a network whose answer does not depend on the image")
    if number != len(reader.graph.nodes) - 1:  # nothing uses what is computed after the logits
        del reader.graph.nodes[number + 1 :]


def _recorded(model: Classifier) -> torch.export.ExportedProgram:
    """The operations of a classifier in evaluation mode."""
    wrong = next((name for name, one in model.named_parameters() if one.dtype != torch.float32), None)
    if wrong is not None:
        raise InputError(f"no bounds for weights that are not float32 ({wrong})")
    image = torch.zeros(COUNT, *model.shape, device=model.mean.device)
    whole = Whole(model).eval()
    try:
        with _silent():
            found: torch.export.ExportedProgram = torch.export.export(whole, (image,)).run_decompositions({})
            return found
    except Exception as error:  # foreign code may raise anything
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(f"no bounds for a network that torch.export cannot read ({said[0][:100]})") from None


@contextmanager
def _silent() -> Iterator[None]:
    """Without what torch logs and prints about networks that it cannot read."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _stack(node: fx.Node) -> tuple[str, str]:
    """The name and the type of the innermost layer that an operation belongs to."""
    stack: dict[str, Any] = node.meta.get("nn_module_stack") or {}
    name, kind = next(reversed(stack.values()), ("", ""))
    return str(name), kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"


def _layer_of(node: fx.Node) -> str:
    """The type of a layer of torch's own, or the operation by its name."""
    kind = _stack(node)[1]
    if kind.startswith("torch.nn.modules.") and "container" not in kind:
        return f"torch.nn.{kind.rpartition('.')[2]}"
    return str(node.target).removeprefix("aten.").partition(".")[0]


def _where(node: fx.Node) -> str:
    name = _stack(node)[0].removeprefix("network").strip(".")
    return f" (layer {name})" if name else ""

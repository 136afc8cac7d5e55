"""Reads an ONNX file without executing anything: the bytes, the numbers beside it, and the graph.

An unknown file is read in a child process first. Numbers that a graph keeps in other files (external data) are read only from
files that lie beside it, and only those bytes that the graph names.
"""

import hashlib
import importlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from advcli.errors import CommandError, InputError, described
from advcli.files import sandbox
from advcli.networks import foreign_weights
from advcli.networks.graph_operations import TYPES
from advcli.networks.onnx_graph import Converted, Source, convert
from advcli.networks.onnx_shapes import ELEMENTS

SUFFIX = ".onnx"
INSTALL = "pip install 'advcli[onnx]'"
DOMAINS = ("", "ai.onnx")
TENSORS, GRAPHS = (4,), (5, 10)  # types of attributes: a tensor, graphs
SPARSE = (11, 12)
EXTERNAL = 1  # where the numbers of a tensor are


@dataclass(frozen=True)
class OnnxFile:
    """A graph as it is stored, the file's own graph for comparison, and the digests of the file and of those beside it."""

    converted: Converted
    proto: Any
    digest: str
    beside: list[str]


def library() -> Any:
    """The package onnx, which is installed by who wants it."""
    if importlib.util.find_spec("onnx") is None:
        raise CommandError(f"an ONNX file is read by the package onnx: {INSTALL}")
    try:
        for name in ("onnx.numpy_helper", "onnx.inliner"):
            importlib.import_module(name)
    except Exception as error:  # one that was built for another system
        raise CommandError(f"the package onnx cannot be imported ({described(error, 80)}): {INSTALL}") from None
    return importlib.import_module("onnx")


def read(path: Path, shape: tuple[int, int, int] | None) -> OnnxFile:
    """The graph of a file, as it is stored, for images of this shape."""
    warm()
    data = sandbox.read(path)
    beside = _beside(path, data)
    digests = [hashlib.sha256(data).hexdigest(), *(sandbox.digest_of(one) for one in beside)]
    size = len(data) + sum(one.stat().st_size for one in beside)
    sandbox.first_in_child(path, lambda: understood(path, data, shape), size, " ".join([*digests, str(shape)]))
    return OnnxFile(*understood(path, data, shape), digests[0], digests[1:])


def warm() -> None:
    """Import onnx and what shapes are computed with, before the limits of a child count what that takes."""
    library()
    one = torch.empty(1, 1, 1, 1, device="meta")
    torch.relu(torch.conv2d(one, one))


def understood(path: Path, data: bytes, shape: tuple[int, int, int] | None) -> tuple[Converted, Any]:
    """The stored form of the bytes, and the graph that they hold; InputError names the file and the fault."""
    try:
        proto = parsed(data)
        _fetch(proto, path)
        return convert(source_of(proto), shape), proto
    except InputError as error:
        raise InputError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from None


def parsed(data: bytes) -> Any:
    """The graph in some bytes."""
    onnx = library()
    if not data:
        raise InputError("is empty")
    if told := foreign_weights.no_weights(data):
        raise InputError(told)
    try:
        proto = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf has errors of its own, in each of its versions
        raise InputError(f"not an ONNX file, or a damaged one ({described(error, 60)})") from None
    if not proto.graph.node or not proto.graph.output:
        raise InputError("not an ONNX file, or a damaged one: it holds no graph")
    try:
        return onnx.inliner.inline_local_functions(proto) if proto.functions else proto
    except Exception as error:
        raise InputError(f"its functions cannot be put into its graph ({described(error, 60)})") from None


def source_of(proto: Any) -> Source:
    """The nodes, constants, input and output of a graph."""
    graph, versions = proto.graph, {one.domain: one.version for one in proto.opset_import}
    if graph.sparse_initializer:
        raise InputError("has sparse weights, which are not read; export it with dense ones")
    constants = {one.name: tensor_of(one) for one in graph.initializer}
    inputs = [one for one in graph.input if one.name not in constants]
    for what, found in (("inputs", inputs), ("outputs", graph.output)):
        if len(found) != 1:
            names = ", ".join(one.name[:30] for one in found[:4]) or "none"
            raise InputError(
                f"has {len(found)} {what} ({names}); export a network that takes images alone and returns logits alone"
            )
    element = inputs[0].type.tensor_type
    if ELEMENTS.get(element.elem_type) != "float32":
        raise InputError(f"takes images of type {element.elem_type} of ONNX; export a network that takes floating-point numbers")
    sizes = [int(one.dim_value) if one.WhichOneof("value") == "dim_value" else None for one in element.shape.dim]
    if len(sizes) < 2 or any(one is not None and one < 1 for one in sizes):
        raise InputError("does not state the shape of its images")
    version = next((versions[one] for one in DOMAINS if one in versions), None)
    if version is None:
        raise InputError("states no version of ONNX; the file is damaged")
    nodes = [(_operation(one), one.name, list(one.input), list(one.output), attributes_of(one)) for one in graph.node]
    return Source(nodes, constants, inputs[0].name, graph.output[0].name, sizes, int(version))


def _operation(node: Any) -> str:
    return node.op_type if node.domain in DOMAINS else f"{node.domain}.{node.op_type}"


def attributes_of(node: Any) -> dict[str, Any]:
    """Numbers, words and tensors; graphs inside of a node are left out, for no such node is read."""
    onnx, found = library(), dict[str, Any]()
    for one in node.attribute:
        if one.type in TENSORS:
            found[one.name] = tensor_of(one.t)
        elif one.type not in (*GRAPHS, *SPARSE):
            try:
                value = onnx.helper.get_attribute_value(one)
            except ValueError as error:
                raise InputError(f"its node {node.op_type} has a damaged attribute ({described(error, 60)})") from None
            found[one.name] = value.decode(errors="replace") if isinstance(value, bytes) else value
    return found


def tensor_of(proto: Any) -> Tensor:
    """A tensor as it is computed with here: float32, int64 or bool."""
    if proto.data_type not in ELEMENTS:
        raise InputError(f"its tensor {proto.name[:60]!r} has type {proto.data_type} of ONNX, which is not read")
    kind = ELEMENTS[proto.data_type]
    try:
        found = np.array(library().numpy_helper.to_array(proto), dtype=kind)
    except Exception as error:  # a damaged file may fail in any way
        raise InputError(f"its tensor {proto.name[:60]!r} is damaged ({described(error, 60)})") from None
    return torch.from_numpy(found).to(TYPES[kind]).reshape(tuple(proto.dims))


def _tensors(proto: Any) -> list[Any]:
    """Every tensor of a graph: weights, and those in attributes."""
    return [*proto.graph.initializer, *(one.t for node in proto.graph.node for one in node.attribute if one.type in TENSORS)]


def _beside(path: Path, data: bytes) -> list[Path]:
    """The files that hold numbers of a graph: each lies in the same folder, and is a regular file."""
    if b"location" not in data:
        return []

    def look() -> list[Path]:
        names = {_place(one, path)[0] for one in _tensors(parsed(data)) if one.data_location == EXTERNAL}
        return [path.parent / name for name in sorted(names)]

    sandbox.first_in_child(path, look, len(data))
    return look()


def _place(tensor: Any, path: Path) -> tuple[str, int, int]:
    """The file, the first byte and the number of bytes of a tensor whose numbers are in another file."""
    stated = {one.key: one.value for one in tensor.external_data}
    name = stated.get("location", "")
    if not name or name != Path(name).name or "\\" in name or "\0" in name or name in (".", ".."):
        raise InputError(f"{path}: its weights are in {name[:60]!r}; only a file in the same folder is read: put it there")
    if (path.parent / name).is_symlink():
        raise InputError(f"{path}: its weights are in {name!r}, which is a link; put the file itself beside it")
    if not (path.parent / name).exists():
        raise InputError(f"{path}: its weights are in the file {name!r}, which is not beside it: put both in one folder")
    numbers = [stated.get(one, "0") for one in ("offset", "length")]
    if not all(one.isascii() and one.isdecimal() and len(one) < 16 for one in numbers):
        raise InputError(f"{path}: its tensor {tensor.name[:60]!r} states no valid place of its numbers; the file is damaged")
    return name, int(numbers[0]), int(numbers[1])


def _fetch(proto: Any, path: Path) -> None:
    """Put the numbers that are in other files into the graph."""
    for one in _tensors(proto):
        if one.data_location != EXTERNAL:
            continue
        name, start, length = _place(one, path)
        with sandbox.regular(path.parent / name) as file:
            file.seek(start)
            data = sandbox.some(file, path.parent / name, length)
        if not length or len(data) != length:
            raise InputError(f"{path.parent / name}: is shorter than {path} says; it is damaged, or belongs to another file")
        del one.external_data[:]
        one.data_location = 0
        one.raw_data = data

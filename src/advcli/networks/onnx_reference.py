"""An ONNX graph as onnx's own reference evaluator computes it, beside the network that was made of it."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from advcli.errors import InputError, described
from advcli.networks.classifier import classifier_of
from advcli.networks.onnx_file import OnnxFile
from advcli.networks.onnx_graph import CHANNELS_LAST, ROWS
from advcli.numerics.arrays import Array

AGREE = 1e-3  # outputs may differ by this share of the largest one
AGREE_HALF = 5e-2  # where the file computes in 16 bits, and the network in 32
TYPES = {1: "float32", 10: "float16", 11: "float64"}

WRONG = ("LRN",)  # the evaluator takes the number of images for that of channels


class NoReference(Exception):
    """The evaluator cannot run this graph, or not rightly."""


def compare(read: OnnxFile, model: nn.Module, x: Tensor, where: str) -> None:
    """InputError if the network answers otherwise than the file's own graph on these images, pixels in [0, 1]."""
    classifier = classifier_of(model)
    seen = (x - classifier.mean) / classifier.std
    with torch.no_grad():
        found = _as_in_file(classifier.network(seen).double().reshape(len(x), -1), read.converted.last)
    wanted = torch.from_numpy(_evaluated(read, seen)).reshape(len(x), -1)
    if not bool(torch.isfinite(wanted).all()):
        raise InputError(f"{where}: its graph returns numbers that are not finite on {len(x)} images: the model is broken")
    apart, size = float((found - wanted).abs().max()), float(wanted.abs().max())
    halves = any(one.data_type in (10, 16) for one in read.proto.graph.initializer)
    if not apart <= (AGREE_HALF if halves else AGREE) * max(size, 1e-6):
        raise InputError(
            f"{where}: advcli reads its graph in another way than onnx does: outputs of {len(x)} images differ by up to\n"
            f"{apart:.3g} of {size:.3g}, so an attack would be on another network; please report this, with the file"
        )


def _as_in_file(logits: Tensor, last: str) -> Tensor:
    """The outputs with the last operation of the file, which was left out."""
    return torch.softmax(logits, 1) if last == "softmax" else torch.sigmoid(logits) if last == "sigmoid" else logits


def _evaluated(read: OnnxFile, x: Tensor) -> Array:
    """What onnx's reference evaluator returns, as many images at a time as the graph takes."""
    from onnx.reference import ReferenceEvaluator  # an extra

    if wrong := [one.op_type for one in read.proto.graph.node if one.op_type in WRONG]:
        raise NoReference(f"it computes {wrong[0]} in another way than ONNX says")
    stated = read.proto.graph.input
    constants = {one.name for one in read.proto.graph.initializer}
    one = next(one for one in stated if one.name not in constants)
    sizes = [int(dimension.dim_value) for dimension in one.type.tensor_type.shape.dim]
    if read.converted.layout == CHANNELS_LAST:
        x = x.permute(0, 2, 3, 1)
    elif read.converted.layout == ROWS:
        x = x.reshape(len(x), *sizes[1:])
    pictures = x.contiguous().numpy().astype(TYPES.get(one.type.tensor_type.elem_type, "float32"))
    at_once = sizes[0] or len(pictures)
    try:
        evaluator: Any = ReferenceEvaluator(read.proto)
        parts = [_some(evaluator, one.name, pictures, start, at_once) for start in range(0, len(pictures), at_once)]
    except Exception as error:  # it lacks some operations, and fails on others
        raise NoReference(f"it cannot run this graph ({described(error, 100)})") from None
    found: Array = np.concatenate(parts)[: len(pictures)].astype(np.float64)
    return found


def _some(evaluator: Any, name: str, pictures: Array, start: int, at_once: int) -> Array:
    """The outputs for some images; the last one is repeated where there are too few."""
    places = np.minimum(np.arange(start, start + at_once), len(pictures) - 1)
    with np.errstate(all="ignore"):
        (found,) = evaluator.run(None, {name: pictures[places]})
    return np.asarray(found)

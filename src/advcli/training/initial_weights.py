"""The initial weights of a network: from its seed, from --weights, or published by torchvision; and its teacher."""

from pathlib import Path

import torch
from torch import Tensor, nn

from advcli.catalog import discovery
from advcli.catalog.requests import TrainRequest
from advcli.errors import CommandError, InputError
from advcli.images.dataset import Dataset
from advcli.networks import foreign_weights, model_file, torchvision_models
from advcli.networks.graph_network import GRAPH
from advcli.networks.model_file import ModelFile
from advcli.runtime.reporter import Reporter

Normalize = dict[str, list[float]]  # mean and std of each channel


def start_weights(network: nn.Module, asked: TrainRequest, reporter: Reporter) -> Normalize:
    """Load the weights of --weights or --pretrained; a last layer for another number of classes keeps its new weights.

    Returns the normalisation that the weights were trained with, if it is known.
    """
    if asked.weights and asked.pretrained:
        raise CommandError("--weights and --pretrained exclude each other; give only one of them")
    if asked.weights:
        tensors, known = _of_file(Path(asked.weights))
        adopt(network, foreign_weights.spelled_for(network, tensors), asked.weights, reporter)
        return known
    if asked.pretrained:
        path = torchvision_models.pretrained(str(asked.arch), download=asked.download)
        adopt(network, foreign_weights.state_dict(path)[0], path.name, reporter)
        return torchvision_models.normalize(str(asked.arch))
    return {}


def open_teacher(path: str, images: Dataset, behind: str | None) -> ModelFile:
    """The model of --teacher, which must have the same classes, in the same order, and take images of the same size.

    Some recipes learn from a certain defense; to others, a model that rejects is no teacher.
    """
    found = model_file.read(path)
    if found.classes != images.classes:
        raise InputError(f"{path}: knows the classes {', '.join(found.classes)}; {images.name} has {', '.join(images.classes)}")
    if found.shape != images.shape:
        have, want = ("x".join(map(str, shape)) for shape in (images.shape, found.shape))
        raise InputError(f"{images.name}: images are {have} (channels, height, width), {path} takes {want}")
    if behind is not None:
        if [one["name"] for one in found.defenses[-1:]] != [behind]:
            raise InputError(f"{path}: is not a model behind {behind}; make one with: advcli defend --method {behind}")
        return found
    if any(discovery.from_file("defense", one["name"]).traits.rejects for one in found.defenses):
        raise InputError(f"{path}: rejects some images and cannot be a teacher; use the model without its detector")
    return found


def _of_file(path: Path) -> tuple[dict[str, Tensor], Normalize]:
    """The tensors and the normalisation of a model file of ours, or the tensors of foreign weights."""
    if path.suffix == ".safetensors" and model_file.peek(path):
        model = model_file.read(path)
        if GRAPH in model.metadata["arch"]:
            raise CommandError(
                f"--weights {path}: is a network from an ONNX file, whose weights fit no architecture;\n"
                f"train another network on its answers: advcli train --recipe distill --teacher {path}"
            )
        if not model.tensors:
            raise CommandError(f"--weights {path}: holds no weights; it asks {model.metadata['arch']['name']}")
        return model.tensors, dict(model.metadata["normalize"])
    return foreign_weights.state_dict(path)[0], {}


def adopt(network: nn.Module, tensors: dict[str, Tensor], where: str, reporter: Reporter) -> None:
    """Load every tensor that fits by name and shape; only last layers may differ, and auxiliary heads may be missing."""
    own = network.state_dict()
    fits = {name: tensor for name, tensor in tensors.items() if name in own and own[name].shape == tensor.shape}
    fresh = [name for name in own if name not in fits]
    heads = {name.rpartition(".")[0] for name in fresh if name in tensors or name.lower().startswith("aux")}
    if strange := [name for name in fresh if name.rpartition(".")[0] not in heads]:
        raise InputError(f"{where}: the weights do not fit the architecture: first missing {strange[0]!r}")
    if not fits or len(heads) > 1 + sum("aux" in name.lower() for name in heads):
        raise InputError(f"{where}: the weights do not fit the architecture: {sorted(heads)[0]} has another shape")
    with torch.no_grad():
        network.load_state_dict({**own, **fits})
    reporter.note(f"{where}: {len(fits)} tensors loaded" + (f"; newly initialised: {', '.join(sorted(heads))}" if heads else ""))

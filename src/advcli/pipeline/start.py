"""What a network starts from: its own seed, somebody's weights, or those that torchvision publishes."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from advcli import foreign, modelfile, vision
from advcli.errors import CommandError, InputError
from advcli.talk import Talk


def start_weights(network: nn.Module, given: dict[str, Any], talk: Talk) -> None:
    """Load what --weights or --pretrained says; a last layer for another number of classes starts fresh."""
    if given["weights"] and given["pretrained"]:
        raise CommandError("--weights and --pretrained both say where to start; give one of them")
    if given["weights"]:
        adopt(network, _of_file(Path(given["weights"])), given["weights"], talk)
    elif given["pretrained"]:
        path = vision.pretrained(given["arch"], download=given["download"])
        adopt(network, foreign.state_dict(path)[0], path.name, talk)


def _of_file(path: Path) -> dict[str, Tensor]:
    """The tensors of a model file of ours or of foreign weights."""
    if path.suffix == ".safetensors" and modelfile.peek(path):
        return modelfile.read(path).tensors
    return foreign.state_dict(path)[0]


def adopt(network: nn.Module, tensors: dict[str, Tensor], where: str, talk: Talk) -> None:
    """Every tensor that fits by name and shape; only last layers may differ, and side heads may be missing."""
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
    talk.note(f"{where}: {len(fits)} tensors" + (f"; fresh: {', '.join(sorted(heads))}" if heads else ""))

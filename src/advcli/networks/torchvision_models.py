"""torchvision's classifiers, built for any number of classes."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
import torchvision.models
from torch import nn

from advcli.catalog import torchvision_names
from advcli.errors import CommandError, InputError

SIDE_HEADS = ("googlenet", "inception_v3")


def __getattr__(name: str) -> Callable[..., Any]:
    if name in torchvision_names.names():
        return partial(build, name)
    raise AttributeError(f"module 'advcli.networks.torchvision_models' has no attribute {name!r}")


def build(name: str, shape: tuple[int, int, int], classes: int) -> nn.Module:
    """The network with new weights; its auxiliary heads, if any, are used in training only."""
    if shape[0] != 3:
        raise CommandError(f"{name} takes colour images; the images have {shape[0]} channel")
    more: dict[str, Any] = {"aux_logits": True, "init_weights": False} if name in SIDE_HEADS else {}
    if name.startswith("vit_"):
        if shape[1] != shape[2]:
            raise CommandError(f"{name} takes square images; the images have {shape[1]}x{shape[2]}")
        more["image_size"] = shape[1]
    try:
        network = torchvision.models.get_model(name, weights=None, num_classes=classes, **more)
    except (ValueError, AssertionError, RuntimeError, TypeError) as error:
        raise CommandError(f"{name}: cannot be built for {'x'.join(map(str, shape))} ({str(error)[:80]})") from None
    return cast(nn.Module, network)


def pretrained(name: str, *, download: bool) -> Path:
    """The file of torchvision's published weights, in torch's own cache folder; downloaded only with --download."""
    if name not in torchvision_names.names():
        raise CommandError(f"--pretrained: torchvision publishes no weights for {name}; give --weights FILE")
    weights = torchvision.models.get_model_weights(name).DEFAULT
    path: Path = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rsplit("/", 1)[-1]
    if not path.exists():
        if not download:
            raise InputError(f"{name}: its published weights are not in {path.parent}; fetch them with --download")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(weights.url, str(path), hash_prefix=path.stem.rpartition("-")[2], progress=False)
        except Exception as error:  # urllib and ssl raise many kinds
            raise InputError(f"{name}: its weights could not be downloaded ({str(error)[:100]})") from None
    return path


def normalize(name: str) -> dict[str, list[float]]:
    """The mean and standard deviation of each channel that the published weights expect.

    Networks with auxiliary heads were trained on pixels from -1 to 1. torchvision normalises them like all others and undoes that
    in the network (transform_input); here the network does not, so that nothing is normalised twice.
    """
    if name in SIDE_HEADS:
        return {"mean": [0.5] * 3, "std": [0.5] * 3}
    shown = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    return {"mean": list(shown.mean), "std": list(shown.std)}

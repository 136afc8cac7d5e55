"""timm's classifiers, built for any number of classes and channels, with new weights."""

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from torch import nn

from advcli.catalog import timm_names
from advcli.errors import CommandError


def __getattr__(name: str) -> Callable[..., Any]:
    if timm_names.NAME.fullmatch(name) is None:
        raise AttributeError(f"module 'advcli.networks.timm_models' has no attribute {name!r}")
    return partial(build, importlib.import_module("timm").create_model, name.removeprefix(timm_names.PREFIX))


def build(create: Callable[..., nn.Module], name: str, shape: tuple[int, int, int], classes: int) -> nn.Module:
    """The network; one that takes images of a single size is built for the size of these."""
    wanted: dict[str, Any] = {"pretrained": False, "num_classes": classes, "in_chans": shape[0]}
    try:
        made = create(name, **wanted)
        config = configuration(made)
        if config.get("fixed_input_size") and tuple(config.get("input_size", shape))[1:] != shape[1:]:
            made = create(name, **wanted, img_size=shape[1:])
    except (RuntimeError, ValueError, AssertionError, TypeError) as error:
        said = " ".join(str(error).split())[:80]
        raise CommandError(f"timm:{name}: cannot be built for {'x'.join(map(str, shape))} ({said})") from None
    return made


def configuration(network: nn.Module) -> dict[str, Any]:
    """What timm states about a network's images."""
    return cast("dict[str, Any]", getattr(network, "default_cfg", None) or {})


def normalize(network: nn.Module, channels: int) -> dict[str, list[float]]:
    """The mean and standard deviation that timm states, where it states one for each channel."""
    config = configuration(network)
    found = {name: [float(one) for one in config.get(name) or ()] for name in ("mean", "std")}
    return found if all(len(one) == channels for one in found.values()) else {}

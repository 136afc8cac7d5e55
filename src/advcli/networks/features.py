"""The features of a network: what goes into its last linear or convolutional layers, each image a row of numbers.

The layers are found by a trial run and named by their place in the network, so that they are found again in a copy or in
another layout of it. Maps are averaged over their places, as in Lee et al. 2018 (arXiv:1807.03888).
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from advcli.errors import CommandError, InputError
from advcli.networks.classifier import Classifier

MOST_FEATURES = 8192  # of one layer
LAYERS = (nn.Linear, nn.Conv2d)


def last_layers(classifier: Classifier, x: Tensor, count: int) -> list[str]:
    """The names of the layers with weights that run last on one image, in their order; fewer where there are fewer."""
    called: list[str] = []
    with ExitStack() as hooks, torch.no_grad():
        for name, layer in classifier.network.named_modules():
            if isinstance(layer, LAYERS):
                hooks.enter_context(layer.register_forward_pre_hook(lambda _, given, name=name: called.append(name)))
        classifier(x[:1])
    found = list(dict.fromkeys(called))
    kind = type(classifier.network).__name__
    if getattr(classifier.network, "alone", False):
        raise CommandError("its ONNX graph takes one image at a time, and gives no features; export it for any number of images")
    if not found:
        raise CommandError(f"this model ({kind}) has no features: it runs no nn.Linear and no nn.Conv2d; use another detector")
    return found[-count:]


@contextmanager
def watched(classifier: Classifier, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """What goes into these layers while the network runs; of several runs, the first."""
    seen: dict[str, Tensor] = {}
    with ExitStack() as hooks:
        for name in names:

            def keep(_: nn.Module, given: tuple[Any, ...], name: str = name) -> None:
                seen.setdefault(name, given[0])

            try:
                layer = classifier.network.get_submodule(name)
            except AttributeError:
                raise InputError(f"this network has no layer {name[:80]!r}, whose input the detector measures") from None
            hooks.enter_context(layer.register_forward_pre_hook(keep))
        yield seen


@contextmanager
def last_watched(classifier: Classifier, count: int) -> Iterator[list[Tensor]]:
    """The features of the last layer with weights for this many images, while the network runs; there once it has run."""
    names = [name for name, layer in classifier.network.named_modules() if isinstance(layer, LAYERS)]
    features: list[Tensor] = []
    with watched(classifier, names) as seen:
        yield features
    if not seen:
        raise CommandError(
            f"this model ({type(classifier.network).__name__}) has no features: it runs no nn.Linear and no nn.Conv2d"
        )
    name = list(seen)[-1]
    features.append(rows_of(seen[name], name, count))


def rows_of(given: Tensor | None, name: str, count: int) -> Tensor:
    """(N, D) the features of a layer for this many images, in float32."""
    if given is None or len(given) != count:
        raise CommandError(
            "the defense under this detector runs the network several times for an image;\n"
            "put the detector directly around the network, and the other defense around both"
        )
    flat = given if given.ndim == 2 else given.flatten(2).mean(2) if given.ndim == 4 else given.flatten(1, -2).mean(1)
    if flat.shape[1] > MOST_FEATURES:
        raise CommandError(f"layer {name!r} has {flat.shape[1]} features; a detector measures at most {MOST_FEATURES}")
    return flat.float()

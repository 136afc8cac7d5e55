"""The identity of a network by what it computes, whether it lies in a file or in memory.

It digests the weights, the input, the classes, the normalisation, the kinds of the layers, and the outputs on two trial images
to three digits: a network with the same weights that computes something else is another network. Sets that were made on a
module in memory state it in place of the digest of a model file's network.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from advcli.files.header import canonical
from advcli.files.header import digest as sha256
from advcli.networks import build, trial_run
from advcli.networks.classifier import Classifier, classifier_of
from advcli.networks.model_file import ModelFile, weights_digest

MARK = "content:"  # how such an identity begins
_known: dict[str, str] = {}  # of model files, by their digest


def content_of(model: Classifier, metadata: Mapping[str, Any], tensors: dict[str, Tensor]) -> str:
    """The identity of a classifier."""
    layers = [[name, type(one).__qualname__] for name, one in model.network.named_modules()]
    normalize = {name: [float(one) for one in values] for name, values in metadata["normalize"].items()}
    weights = weights_digest(tensors)
    parts = [metadata["input"], list(metadata["classes"]), normalize, weights, layers, trial_run.behaviour(model)]
    return MARK + sha256(canonical(parts))


def is_network(said: str, model: ModelFile) -> bool:
    """True if a header names the network of this model, by either identity."""
    if said == model.network or not said.startswith(MARK):
        return said == model.network
    if model.digest not in _known:
        bare = {name: one for name, one in model.tensors.items() if not name.startswith((build.MEMBER, build.DEFENSE))}
        _known[model.digest] = content_of(classifier_of(model.module(static=True)), model.metadata, bare)
    return _known[model.digest] == said

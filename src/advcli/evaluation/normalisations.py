"""Whether a network is right more often under another usual normalisation, on the same images by McNemar's exact test."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from advcli.images.dataset import Dataset, spread
from advcli.networks.classifier import Classifier, classifier_of, frozen
from advcli.networks.model_file import ModelFile
from advcli.numerics.arrays import Array
from advcli.numerics.paired_tests import holm, mcnemar
from advcli.numerics.quantities import fraction
from advcli.runtime import devices

SURE = 0.01
FIRST, MOST, SECONDS = 128, 4000, 20  # images that are always asked, and at most, and about how long it may take
BATCH = 64
IMAGENET = ("0.485,0.456,0.406", "0.229,0.224,0.225")
USUAL = {
    "no normalisation": ("0", "1"),
    "mean and deviation 0.5": ("0.5", "0.5"),
    "pixels in 0..255": ("0", "1/255"),
}
OF_GREY = {
    "MNIST's mean and deviation": ("0.1307", "0.3081"),
    "Fashion-MNIST's mean and deviation": ("0.286", "0.353"),
}
OF_COLOUR = {
    "ImageNet's means and deviations": IMAGENET,
    "CIFAR-10's means and deviations": ("0.4914,0.4822,0.4465", "0.247,0.2435,0.2616"),
}


@dataclass(frozen=True, slots=True)
class Normalisation:
    """Means and deviations of the channels; `bgr`: they, and the network, take the channels in reverse."""

    name: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    options: str = ""  # that give it
    bgr: bool = False


@dataclass(frozen=True, slots=True)
class Better:
    """A normalisation under which more of n images are right, at that p for all that were tried."""

    way: Normalisation
    right: int
    p: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """The labels and predictions of some images under the normalisation that was given, and a better one if there is one."""

    labels: Array
    predictions: Array
    better: Better | None


def given_by(model: ModelFile) -> Normalisation:
    """The normalisation of a model."""
    own = model.metadata["normalize"]
    return Normalisation("given", tuple(map(float, own["mean"])), tuple(map(float, own["std"])))


def others(given: Normalisation) -> list[Normalisation]:
    """The usual normalisations that differ from the given one."""
    channels = len(given.mean)
    table = {**USUAL, **{1: OF_GREY, 3: OF_COLOUR}.get(channels, {})}
    found = [_usual(name, *texts, channels) for name, texts in table.items()]
    if channels == 3:
        mean, std = (",".join(f"{one:g}" for one in reversed(values)) for values in (given.mean, given.std))
        found.append(Normalisation("channels in BGR", given.mean, given.std, f"--mean {mean} --std {std}", bgr=True))
        caffe = _usual("channels in BGR, pixels in 0..255 without ImageNet's mean", IMAGENET[0], "1/255", 3)
        found.append(Normalisation(caffe.name, caffe.mean[::-1], caffe.std, caffe.options, bgr=True))
    return [one for one in found if one.bgr or not np.allclose([one.mean, one.std], [given.mean, given.std], atol=1e-3)]


def _usual(name: str, mean: str, std: str, channels: int) -> Normalisation:
    """A normalisation by the texts of its options."""
    texts = (tuple(float(fraction(one)) for one in text.split(",")) for text in (mean, std))
    first, second = (values * channels if len(values) == 1 else values for values in texts)
    return Normalisation(name, first, second, f"--mean {mean} --std {std}")


def compare(model: ModelFile, data: Dataset) -> Comparison:
    """Ask a network about labelled images, spread over the classes, under its own normalisation and the other usual ones."""
    ways = [given_by(model), *others(given_by(model))]
    data = data.rows(np.flatnonzero(data.labels >= 0))
    some = data.rows(spread(data.labels, FIRST))
    begin = time.process_time()  # of this process: a busy machine must not leave fewer images to tell the two apart
    answers = asked(model, some, ways)
    took = (time.process_time() - begin) / torch.get_num_threads()
    count = min(MOST, int(FIRST * SECONDS / max(1e-3, took)))
    if min(count, len(data)) > len(some):
        some = data.rows(spread(data.labels, count))
        answers = asked(model, some, ways)
    right = answers == some.labels
    b, c = (right[0] & ~right[1:]).sum(1), (right[1:] & ~right[0]).sum(1)
    p = holm([mcnemar(int(less), int(more)) for less, more in zip(b, c, strict=True)])
    sure = [k for k in range(len(p)) if c[k] > b[k] and p[k] < SURE]
    best = max(sure, key=lambda k: int(right[k + 1].sum()), default=None)
    better = None if best is None else Better(ways[best + 1], int(right[best + 1].sum()), p[best])
    return Comparison(some.labels, answers[0], better)


def asked(model: ModelFile, data: Dataset, ways: Sequence[Normalisation]) -> Array:
    """(ways, N) predictions; every image is read once."""
    device = devices.find_device("auto")
    network = classifier_of(model.module(static=True)).network.to(device)
    shape, classes = model.shape, len(model.classes)
    nets = [Classifier(network, way.mean, way.std, shape=shape, classes=classes).to(device).eval() for way in ways]
    found: Array = np.zeros((len(ways), len(data)), np.int64)
    with devices.threads(shape), frozen(nets[0]), torch.no_grad():
        for start in range(0, len(data), BATCH):
            x = data.pictures(start, start + BATCH).to(device)
            for k, (way, net) in enumerate(zip(ways, nets, strict=True)):
                found[k, start : start + len(x)] = _classes(net(x.flip(1) if way.bgr else x))
    return found


def _classes(logits: Tensor) -> Array:
    found: Array = logits.float().argmax(1).cpu().numpy()
    return found

"""A model file from an architecture and weights, wherever these come from: what every import of weights has in common."""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from advcli.catalog import timm_names
from advcli.catalog.file_requests import ImportRequest
from advcli.catalog.registry import Bound
from advcli.errors import AdvcliError, InputError, described
from advcli.files.header import Header
from advcli.images.dataset import Dataset
from advcli.networks import architecture, build, model_file, trial_run, weight_names
from advcli.networks.classifier import classifier_of
from advcli.networks.input_shape import Fit
from advcli.runtime.reporter import Reporter
from advcli.training.channels import numbers
from advcli.training.usual_normalisation import noted, usual
from advcli.verbs import clean_check
from advcli.verbs.imported import class_names, made_by, metadata_of, publish
from advcli.workspace import inputs, outputs


@dataclass(frozen=True, slots=True)
class Foreign:
    """Weights that fit an architecture, the data that was named, how the command names the network, and where it comes from."""

    fit: Fit
    source: Dataset | None
    said: Header  # {"arch": NAME}, {"function": NAME}, or nothing where the file tells
    parents: list[Header] = field(default_factory=list)
    classes: tuple[str, ...] = ()  # as stated beside the weights


def model_of(asked: ImportRequest, network: Bound, foreign: Foreign, reporter: Reporter) -> Path:
    """The model file of weights that an architecture has."""
    file, path, (shape, count, weights) = asked.file, outputs.output_path(asked.output, inputs.MODEL), foreign.fit
    source = foreign.source
    names, tensors = class_names(asked, source, count, reporter, foreign.classes), weights.tensors
    stated = weights.normalize or _usual(asked, network, shape, len(names), reporter)
    if weights.normalize:
        _note_own(asked, weights.normalize, reporter)
    mean = numbers(asked.mean, shape[0], stated.get("mean", 0.0), "mean")
    std = numbers(asked.std, shape[0], stated.get("std", 1.0), "std")
    if weights.unused:
        reporter.note(f"{file}: {len(weights.unused)} tensors have no place in {asked.arch}: {weights.unused[0]}, ...")
    metadata = metadata_of({"name": network.spec.name, "parameters": network.parameters}, shape, names, mean, std, source)
    model = build.build(metadata, [])
    build.load_weights(model, tensors, file)
    if ":" in network.spec.name:
        _try_out(model, network.spec.name)
    named = {"mean": asked.mean, "std": asked.std, "classes": asked.classes, "input": "x".join(map(str, shape))}
    given = network.parameters if "arch" in foreign.said else {}
    metadata["made"] = made_by(given, {**foreign.said, **named}, foreign.parents, metadata["data"])
    clean_check.check(model_file.ModelFile(Path(file), metadata, tensors), asked, reporter)
    return publish(path, metadata, tensors, asked, reporter)


def _note_own(asked: ImportRequest, own: dict[str, list[float]], reporter: Reporter) -> None:
    """Say which normalisation the file holds, and whether the options replace it."""
    told = f"normalises with mean {own['mean']} and std {own['std']}"
    if given := [name for name in ("mean", "std") if getattr(asked, name) is not None]:
        told = f"holds mean {own['mean']} and std {own['std']}; --{' and --'.join(given)} replaces its own"
    (reporter.warn if given else reporter.note)(f"{asked.file}: {told}")


def _usual(
    asked: ImportRequest, network: Bound, shape: tuple[int, int, int], classes: int, reporter: Reporter
) -> dict[str, list[float]]:
    """The normalisation that timm states for its networks, or that the published networks of an architecture have."""
    given = (asked.mean, asked.std)
    if not timm_names.is_timm(str(asked.arch)):
        found = weight_names.published_normalization(network, shape[0], classes)
        return noted(str(asked.arch), f"its published networks' (of {classes} classes)", found, given, reporter)
    with torch.random.fork_rng(devices=[]):
        made = architecture.network(network, shape, classes)
    return usual(str(asked.arch), made, shape[0], given, reporter)


def _try_out(model: nn.Module, arch: str) -> None:
    """Refuse a network of the user's own whose outputs are no logits, are random, or depend on the batch."""
    try:
        trial_run.checked_answers(classifier_of(model), torch.device("cpu"))
    except AdvcliError as error:
        raise InputError(f"{arch}: {error}") from None
    except Exception as error:  # a network is anybody's code
        said = described(error)
        raise InputError(f"{arch}: fails on two images with these weights ({said})") from error

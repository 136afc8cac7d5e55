"""`import`: makes a model file from foreign weights, or an image set from foreign images. Nothing in them is executed."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from advcli.catalog import discovery, plain_architecture, timm_names
from advcli.catalog.registry import Bound
from advcli.catalog.requests import ImportRequest
from advcli.datasets import pt
from advcli.errors import AdvcliError, CommandError, InputError, described
from advcli.files.header import Header
from advcli.images.dataset import Dataset
from advcli.networks import architecture, build, foreign_weights, model_file, trial_run, weight_names
from advcli.networks.classifier import classifier_of
from advcli.networks.input_shape import Fit, find_fit
from advcli.runtime.reporter import SILENT, Reporter
from advcli.training.channels import numbers
from advcli.training.usual_normalisation import noted, usual
from advcli.verbs import clean_check, import_function, import_pictures
from advcli.verbs.imported import class_names, made_by, metadata_of, publish, source_of
from advcli.workspace import inputs, outputs

FOR_WEIGHTS = ("arch", "input", "mean", "std", "data")
FOR_IMAGES = ("split", "image_size", "resize")


def import_(asked: ImportRequest, own: dict[str, object], reporter: Reporter = SILENT) -> Path:
    """Turn foreign weights or a function into a model file, or foreign images into an image set."""
    if discovery.names_function(asked.file):
        discovery.allow([asked.file])
        if plain_architecture.makes_network(discovery.own_function(asked.file)):
            return _network(asked, own, reporter)
        return import_function.black_box_model(asked, own, reporter)
    if asked.batch_size is not None:
        raise CommandError(f"--batch-size: is for a function, module:function; {asked.file} is a file")
    if _holds_images(asked):
        if idle := [name for name in FOR_WEIGHTS if getattr(asked, name) is not None]:
            raise CommandError(f"--{idle[0]}: is for weights; {asked.file} holds images")
        return import_pictures.image_set(asked, reporter)
    for name in FOR_IMAGES:
        if getattr(asked, name) is not None:
            raise CommandError(f"--{name.replace('_', '-')}: is for images; {asked.file} holds weights")
    if asked.arch is None:
        raise CommandError(f"--arch: name the architecture; available: {', '.join(discovery.names('architecture'))}")
    return _weights(asked, discovery.spec("architecture", asked.arch).bind(own), reporter)


def _holds_images(asked: ImportRequest) -> bool:
    """True for a folder, a .npz, and a .pt of images."""
    path = Path(asked.file)
    saved = path.suffix in pt.SUFFIXES and asked.arch is None
    return path.is_dir() or path.suffix == ".npz" or (saved and pt.holds_images(asked.file))


def _weights(asked: ImportRequest, network: Bound, reporter: Reporter) -> Path:
    """A model file from a foreign state_dict."""
    outputs.keep_inputs([outputs.output_path(asked.output, inputs.MODEL)], [asked.file])
    tensors, digest = foreign_weights.state_dict(Path(asked.file))
    source = source_of(asked)
    found = find_fit(network, tensors, asked.input, source, asked.file)
    return _model(asked, network, found, source, [{"role": "file", "digest": digest}], reporter)


def _network(asked: ImportRequest, own: dict[str, object], reporter: Reporter) -> Path:
    """A model file from a function of the user's own that returns a network with its weights."""
    if idle := [one for one in ("arch", "batch_size", *FOR_IMAGES) if getattr(asked, one) is not None]:
        raise CommandError(f"--{idle[0].replace('_', '-')}: has no use here: {asked.file} returns a network with its weights")
    network, source = discovery.spec("architecture", asked.file).bind(own), source_of(asked)
    found = import_function.with_its_weights(asked, network, source)
    return _model(replace(asked, arch=asked.file), network, found, source, [], reporter)


def _model(
    asked: ImportRequest, network: Bound, found: Fit, source: Dataset | None, parents: list[Header], reporter: Reporter
) -> Path:
    """The model file of weights that an architecture has; without parents they are the network's own."""
    file, path, (shape, count, weights) = asked.file, outputs.output_path(asked.output, inputs.MODEL), found
    names, tensors = class_names(asked, source, count, reporter), weights.tensors
    stated = weights.normalize or _usual(asked, network, shape, len(names), reporter)
    if weights.normalize:
        _note_own(asked, weights.normalize, reporter)
    mean = numbers(asked.mean, shape[0], stated.get("mean", 0.0), "mean")
    std = numbers(asked.std, shape[0], stated.get("std", 1.0), "std")
    if weights.unused:
        reporter.note(f"{file}: {len(weights.unused)} tensors have no place in {asked.arch}: {weights.unused[0]}, ...")
    metadata = metadata_of({"name": asked.arch, "parameters": network.parameters}, shape, names, mean, std, source)
    model = build.build(metadata, [])
    build.load_weights(model, tensors, file)
    if ":" in str(asked.arch):
        _try_out(model, str(asked.arch))
    named = {"mean": asked.mean, "std": asked.std, "classes": asked.classes, "input": "x".join(map(str, shape))}
    named |= {"arch": asked.arch} if parents else {"function": file}
    metadata["made"] = made_by(network.parameters, named, parents, metadata["data"])
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

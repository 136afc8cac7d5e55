"""`import`: makes a model file from foreign weights, or an image set from foreign images. Nothing in them is executed."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from advcli.catalog import discovery, timm_names
from advcli.catalog.registry import Bound
from advcli.catalog.request_parts import Selection
from advcli.catalog.requests import ImportRequest
from advcli.datasets import pt
from advcli.errors import AdvcliError, CommandError, InputError, described
from advcli.files import atomic, header_schema, imageset_writer
from advcli.files.header import Header
from advcli.files.provenance import provenance_of
from advcli.images.dataset import Dataset
from advcli.networks import architecture, black_box, build, foreign_weights, model_file, trial_run, weight_names
from advcli.networks.black_box import AT_ONCE
from advcli.networks.classifier import classifier_of
from advcli.networks.input_shape import find_fit, shape_of
from advcli.numerics.arrays import Array
from advcli.runtime.reporter import SILENT, Reporter
from advcli.training.channels import numbers
from advcli.training.usual_normalisation import noted, usual
from advcli.verbs import clean_check
from advcli.workspace import inputs, outputs

FOR_WEIGHTS = ("arch", "input", "mean", "std", "data")
NOT_FOR_FUNCTIONS = ("arch", "mean", "std", "split", "image_size", "resize")
BATCH = 256


def import_(asked: ImportRequest, own: dict[str, object], reporter: Reporter = SILENT) -> Path:
    """Turn foreign weights or a function into a model file, or foreign images into an image set."""
    if is_function(asked.file):
        return _function(asked, own, reporter)
    if asked.batch_size is not None:
        raise CommandError(f"--batch-size: is for a function, module:function; {asked.file} is a file")
    if _holds_images(asked):
        if idle := [name for name in FOR_WEIGHTS if getattr(asked, name) is not None]:
            raise CommandError(f"--{idle[0]}: is for weights; {asked.file} holds images")
        return _pictures(asked, reporter)
    for name in ("split", "image_size", "resize"):
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


def is_function(text: str) -> bool:
    """True for module:function, where there is no such file."""
    module, _, attribute = text.partition(":")
    return all(one.isidentifier() for one in (*module.split("."), attribute)) and not Path(text).exists()


def _function(asked: ImportRequest, own: dict[str, object], reporter: Reporter) -> Path:
    """A model file that names a function of the user's own, which is asked about a few pictures of noise."""
    name, at_once = asked.file, asked.batch_size or AT_ONCE
    if idle := [*own, *(one for one in NOT_FOR_FUNCTIONS if getattr(asked, one) is not None)]:
        raise CommandError(f"--{idle[0].replace('_', '-')}: is for files; a function has no weights, and gets pixels in [0, 1]")
    path, source = outputs.output_path(asked.output, inputs.MODEL), _source(asked)
    shape = shape_of(asked.input) if asked.input else source.shape if source else None
    if shape is None:
        raise CommandError("--input: give channels, height and width of the pictures, such as --input 3x32x32, or --data")
    discovery.allow([name])
    answers, count = black_box.tried(name, shape, at_once)
    if count is None and not asked.classes and source is None:
        raise CommandError(f"--classes: name the classes; {name} gives labels, which do not tell how many there are")
    names = _classes(asked, source, count, reporter)
    if len(names) < 2:
        raise CommandError(f"--classes {asked.classes}: names one class; a classifier has two or more")
    arch = {"name": name, "parameters": {}, "answers": answers, "at_once": at_once}
    metadata = _metadata(arch, shape, names, [0.0] * shape[0], [1.0] * shape[0], source)
    options = {"function": name, "classes": asked.classes, "batch_size": asked.batch_size, "input": "x".join(map(str, shape))}
    metadata["made"] = _made({}, options, [], metadata["data"])
    reporter.note(f"{name}: gives {answers} of {len(names)} classes, for at most {at_once} pictures a call")
    return _publish(path, metadata, {}, asked, reporter)


def _weights(asked: ImportRequest, network: Bound, reporter: Reporter) -> Path:
    """A model file from a foreign state_dict."""
    file, path = asked.file, outputs.output_path(asked.output, inputs.MODEL)
    outputs.keep_inputs([path], [file])
    tensors, digest = foreign_weights.state_dict(Path(file))
    source = _source(asked)
    shape, count, weights = find_fit(network, tensors, asked.input, source, file)
    names, tensors = _classes(asked, source, count, reporter), weights.tensors
    stated = weights.normalize or _usual(asked, network, shape, len(names), reporter)
    if weights.normalize:
        _note_own(asked, weights.normalize, reporter)
    mean = numbers(asked.mean, shape[0], stated.get("mean", 0.0), "mean")
    std = numbers(asked.std, shape[0], stated.get("std", 1.0), "std")
    if weights.unused:
        reporter.note(f"{file}: {len(weights.unused)} tensors have no place in {asked.arch}: {weights.unused[0]}, ...")
    metadata = _metadata({"name": asked.arch, "parameters": network.parameters}, shape, names, mean, std, source)
    model = build.build(metadata, [])
    build.load_weights(model, tensors, file)
    if ":" in str(asked.arch):
        _try_out(model, str(asked.arch))
    named = {"arch": asked.arch, "mean": asked.mean, "std": asked.std, "classes": asked.classes}
    parents = [{"role": "file", "digest": digest}]
    metadata["made"] = _made(network.parameters, {**named, "input": "x".join(map(str, shape))}, parents, metadata["data"])
    clean_check.check(model_file.ModelFile(Path(file), metadata, tensors), asked, reporter)
    return _publish(path, metadata, tensors, asked, reporter)


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


def _source(asked: ImportRequest) -> Dataset | None:
    """The data that the network was trained on: its training split, or what there is of it."""
    if asked.data is None:
        return None
    (name, tail), where = inputs.split_suffix(asked.data), Selection(data_dir=asked.data_dir, download=asked.download)
    try:
        return inputs.open_data(name, "train", where)
    except InputError:
        part = tail or Path(name).absolute().name
        if Path(name).is_dir() and part in ("val", "test"):  # a folder of that split, or one without training images
            return inputs.open_data(name, part, where)
        raise


def _classes(asked: ImportRequest, source: Dataset | None, count: int | None, reporter: Reporter) -> list[str]:
    """The names of the classes: given, those of the data, or numbers; there must be as many as outputs."""
    if asked.classes:
        names = [one.strip() for one in asked.classes.split(",")]
    elif source:
        names = list(source.classes)
    else:
        reporter.warn(f"classes are named 0 to {(count or 0) - 1}, by position; name them with --classes or --data")
        names = [str(k) for k in range(count or 0)]
    if wrong := header_schema.wrong_classes(names):
        raise CommandError(f"--classes: no valid {wrong}; a class name must be a possible folder name")
    if count is not None and len(names) != count:
        given, what = "--classes" if asked.classes else f"--data {asked.data}", asked.arch or asked.file
        raise CommandError(f"{given}: has {len(names)} classes, and {what} has {count} outputs; name all of them with --classes")
    return names


def _metadata(
    arch: Header, shape: tuple[int, ...], names: list[str], mean: list[float], std: list[float], source: Dataset | None
) -> Header:
    """The metadata of an imported model, without its provenance."""
    return {
        "format": "advcli/model/1",
        "arch": arch,
        "input": list(shape),
        "classes": names,
        "normalize": {"mean": mean, "std": std},
        "defenses": [],
        "figures": {},
        "data": source.origin if source else None,
    }


def _made(parameters: Header, options: Header, parents: list[Header], data: Header | None) -> Header:
    return provenance_of(
        "import", method=None, parameters=parameters, options=options, parents=parents, data=data, environment={}
    )


def _publish(path: Path, metadata: Header, tensors: dict[str, Tensor], asked: ImportRequest, reporter: Reporter) -> Path:
    """Write the model file, unless the same command has made it already."""
    default = asked.output is None
    with atomic.locked(path):
        if not outputs.is_finished(path, metadata["made"], default_name=default, force=asked.force, reporter=reporter):
            model_file.write(path, metadata, tensors)
    return path


def _try_out(model: nn.Module, arch: str) -> None:
    """Refuse a network of the user's own whose outputs are no logits, are random, or depend on the batch."""
    try:
        trial_run.checked_answers(classifier_of(model), torch.device("cpu"))
    except AdvcliError as error:
        raise InputError(f"{arch}: {error}") from None
    except Exception as error:  # a network is anybody's code
        said = described(error)
        raise InputError(f"{arch}: fails on two images with these weights ({said})") from error


def _pictures(asked: ImportRequest, reporter: Reporter) -> Path:
    """An image set from a .npz, a .pt or a folder, with unchanged pixels: bytes stay bytes."""
    path = outputs.output_path(asked.output, inputs.IMAGES)
    outputs.keep_inputs([path], [asked.file])
    chosen = Selection(classes=asked.classes, image_size=asked.image_size, resize=asked.resize)
    data = inputs.open_data(asked.file, asked.split or "test", chosen)
    header_schema.refuse_names(list(data.classes), data.name)
    header = {"kind": "unknown", "classes": list(data.classes), "split": data.split, "range": [0, 1]}
    made = provenance_of(
        "import",
        method=None,
        parameters={},
        options={"split": asked.split, "classes": asked.classes, "image_size": asked.image_size, "resize": asked.resize},
        parents=[],
        data=data.origin,
        environment={},
    )
    layout, fill = imageset_writer.in_memory({"labels": data.labels, "index": data.index})
    layout["images"] = (np.dtype("u1" if data.eight_bit else "<f4"), (len(data), *data.shape))

    def pictures() -> Iterator[Array]:
        with reporter.progress(f"reading {data.name}", len(data), "images") as tick:
            for start in range(0, len(data), BATCH):
                x, _ = data.batch(start, start + BATCH)
                tick(len(x), "")
                yield (x * 255).round().to(torch.uint8).numpy() if data.eight_bit else x.numpy()

    with atomic.locked(path):
        if not outputs.is_finished(path, made, default_name=asked.output is None, force=asked.force, reporter=reporter):
            imageset_writer.write(path, {**header, "made": made}, layout, {**fill, "images": pictures})
    return path

"""`import`: makes a model file from foreign weights, or an image set from foreign images. Nothing in them is executed."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from advcli.catalog import discovery
from advcli.catalog.registry import Bound
from advcli.catalog.request_parts import Selection
from advcli.catalog.requests import ImportRequest
from advcli.errors import AdvcliError, CommandError, InputError
from advcli.files import atomic, header_schema, imageset_writer
from advcli.files.header import Header
from advcli.files.provenance import provenance_of
from advcli.networks import build, foreign_weights, model_file, trial_run
from advcli.networks.classifier import classifier_of
from advcli.networks.input_shape import find_fit
from advcli.numerics.arrays import Array
from advcli.runtime.reporter import SILENT, Reporter
from advcli.training.channels import numbers
from advcli.workspace import inputs, outputs

FOR_WEIGHTS = ("arch", "input", "mean", "std", "data")
BATCH = 256


def import_(asked: ImportRequest, own: dict[str, object], reporter: Reporter = SILENT) -> Path:
    """Turn foreign weights into a model file, or foreign images into an image set."""
    if Path(asked.file).is_dir() or Path(asked.file).suffix == ".npz":
        if idle := [name for name in FOR_WEIGHTS if getattr(asked, name) is not None]:
            raise CommandError(f"--{idle[0]}: is for weights; {asked.file} holds images")
        return _pictures(asked, reporter)
    for name in ("split", "image_size", "resize"):
        if getattr(asked, name) is not None:
            raise CommandError(f"--{name.replace('_', '-')}: is for images; {asked.file} holds weights")
    if asked.arch is None:
        raise CommandError(f"--arch: name the architecture; available: {', '.join(discovery.names('architecture'))}")
    return _weights(asked, discovery.spec("architecture", asked.arch).bind(own), reporter)


def _weights(asked: ImportRequest, network: Bound, reporter: Reporter) -> Path:
    """A model file from a foreign state_dict."""
    file, path = asked.file, outputs.output_path(asked.output, inputs.MODEL)
    outputs.keep_inputs([path], [file])
    tensors, digest = foreign_weights.state_dict(Path(file))
    where = Selection(data_dir=asked.data_dir, download=asked.download)
    source = inputs.open_data(asked.data.removesuffix(":test"), "train", where) if asked.data else None
    shape, count, tensors = find_fit(network, tensors, asked.input, source, file)
    if asked.classes:
        names = [one.strip() for one in asked.classes.split(",")]
    elif source:
        names = list(source.classes)
    else:
        reporter.warn(f"classes are named 0 to {count - 1}, by position; name them with --classes or --data")
        names = [str(k) for k in range(count)]
    if wrong := header_schema.wrong_classes(names):
        raise CommandError(f"--classes: no valid {wrong}; a class name must be a possible folder name")
    if len(names) != count:
        given = "--classes" if asked.classes else f"--data {asked.data}"
        raise CommandError(f"{given}: has {len(names)} classes, and {asked.arch} has {count} outputs; --classes names those")
    metadata: Header = {
        "format": "advcli/model/1",
        "arch": {"name": asked.arch, "parameters": network.parameters},
        "input": list(shape),
        "classes": names,
        "normalize": {
            "mean": numbers(asked.mean, shape[0], 0.0, "mean"),
            "std": numbers(asked.std, shape[0], 1.0, "std"),
        },
        "defenses": [],
        "figures": {},
        "data": source.origin if source else None,
    }
    model = build.build(metadata, [])
    build.load_weights(model, tensors, file)
    if ":" in str(asked.arch):
        _try_out(model, str(asked.arch))
    named = {"arch": asked.arch, "mean": asked.mean, "std": asked.std, "classes": asked.classes}
    metadata["made"] = provenance_of(
        "import",
        method=None,
        parameters=network.parameters,
        options={**named, "input": "x".join(map(str, shape))},
        parents=[{"role": "file", "digest": digest}],
        data=metadata["data"],
        environment={},
    )
    with atomic.locked(path):
        default_name = asked.output is None
        if not outputs.is_finished(path, metadata["made"], default_name=default_name, force=asked.force, reporter=reporter):
            model_file.write(path, metadata, tensors)
    return path


def _try_out(model: nn.Module, arch: str) -> None:
    """Refuse a network of the user's own whose outputs are no logits, are random, or depend on the batch."""
    try:
        trial_run.checked_answers(classifier_of(model), torch.device("cpu"))
    except AdvcliError as error:
        raise InputError(f"{arch}: {error}") from None
    except Exception as error:  # a network is anybody's code
        said = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
        raise InputError(f"{arch}: fails on two images with these weights ({said})") from error


def _pictures(asked: ImportRequest, reporter: Reporter) -> Path:
    """An image set from a .npz or a folder, with unchanged pixels: bytes stay bytes."""
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

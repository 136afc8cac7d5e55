"""`import`: foreign weights become a model file, foreign pictures an image set. Nothing in them is executed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from advcli.catalog import discovery
from advcli.catalog.options import DataDir, Download, Force, ImageSize, Output, Param, Resize, Split
from advcli.catalog.registry import Bound
from advcli.errors import CommandError, InputError
from advcli.files import atomic, header_schema, imageset_writer
from advcli.files.header import Header
from advcli.images.dataset import Dataset
from advcli.networks import build, foreign_weights, model_file
from advcli.numerics.arrays import Array
from advcli.numerics.quantities import fraction
from advcli.runtime.reporter import SILENT, Talk
from advcli.workspace import inputs, outputs

MOST_CLASSES = 100_000
SIZES = (8, 28, 32, 48, 64, 96, 128, 160, 192, 224, 256, 299, 384)  # pixels of pictures that people train on
FOR_WEIGHTS = ("arch", "input", "mean", "std", "data")
IMAGES = "images.h5"
BATCH = 256


def import_(
    file: Annotated[
        str, Param("A state_dict (.pt, .pth, .safetensors), or pictures: .npz or a folder of class folders.", form="FILE")
    ],
    *,
    arch: Annotated[str | None, Param("The architecture that the weights belong to.", form="NAME")] = None,
    input: Annotated[
        str | None, Param("Channels, height and width of its images. [default: guessed from the weights]", form="CxHxW")
    ] = None,
    classes: Annotated[str | None, Param("Names of the classes, in the order of the outputs.", form="NAME,...")] = None,
    mean: Annotated[str | None, Param("Mean of each channel that the network was trained with.", form="X,...")] = None,
    std: Annotated[str | None, Param("Standard deviation of each channel.", form="X,...")] = None,
    data: Annotated[str | None, Param("The data set that it was trained on, for its classes' names.", form="DATA")] = None,
    split: Split = None,
    image_size: ImageSize = None,
    resize: Resize = None,
    data_dir: DataDir = None,
    download: Download = False,
    output: Output = None,
    force: Force = False,
    talk: Talk = SILENT,
    **options: object,
) -> Path:
    """Turn foreign weights into a model file, or foreign pictures into an image set.

    The result is model.safetensors or images.h5. Nothing in the file is executed.
    """
    given = inputs.checked("import", {k: v for k, v in locals().items() if k not in ("options", "talk")})
    if Path(file).is_dir() or Path(file).suffix == ".npz":
        if idle := [name for name in FOR_WEIGHTS if given[name] is not None]:
            raise CommandError(f"--{idle[0]}: is for weights; {file} holds pictures")
        return _pictures(given, talk)
    for name in ("split", "image_size", "resize"):
        if given[name] is not None:
            raise CommandError(f"--{name.replace('_', '-')}: is for pictures; {file} holds weights")
    if arch is None:
        raise CommandError(f"--arch: name the architecture; there are {', '.join(discovery.names('architecture'))}")
    return _weights(given, discovery.spec("architecture", arch).bind(options), talk)


def _weights(given: dict[str, Any], network: Bound, talk: Talk) -> Path:
    """A model file from somebody's state_dict."""
    file, path = given["file"], outputs.target(given["output"], inputs.MODEL)
    outputs.keep_inputs([path], [file])
    tensors, digest = foreign_weights.state_dict(Path(file))
    source = inputs.open_data(given["data"].removesuffix(":test"), "train", **_where(given)) if given["data"] else None
    shape, count = find_fit(network, tensors, given["input"], source, file)
    if given["classes"]:
        names = [one.strip() for one in given["classes"].split(",")]
    elif source:
        names = list(source.classes)
    else:
        talk.warn(f"classes are called 0 to {count - 1}, matched by position; name them with --classes or --data")
        names = [str(k) for k in range(count)]
    try:
        header_schema.classes(names, "--classes")
    except InputError as error:
        raise CommandError(str(error).partition("; the file")[0]) from None
    recipe: Header = {
        "format": "advcli/model/1",
        "arch": {"name": given["arch"], "parameters": network.parameters},
        "input": list(shape),
        "classes": names,
        "normalize": {
            "mean": numbers(given["mean"], shape[0], 0.0, "mean"),
            "std": numbers(given["std"], shape[0], 1.0, "std"),
        },
        "defenses": [],
        "figures": {},
        "data": source.origin if source else None,
    }
    build.load_weights(build.build(recipe, []), tensors, file)
    recipe["made"] = outputs.made(
        "import",
        method=None,
        parameters=network.parameters,
        options={**{k: given[k] for k in (*FOR_WEIGHTS, "classes")}, "input": "x".join(map(str, shape))},
        parents=[{"role": "file", "digest": digest}],
        data=None,
        environment={},
    )
    with atomic.locked(path):
        if not outputs.finished(path, recipe["made"], default_name=given["output"] is None, force=given["force"], talk=talk):
            model_file.write(path, recipe, tensors)
    return path


def _where(given: dict[str, Any]) -> dict[str, Any]:
    return {name: given[name] for name in ("data_dir", "download")}


def find_fit(
    network: Bound, tensors: dict[str, Tensor], input: str | None, source: Dataset | None, where: str
) -> tuple[tuple[int, int, int], int]:
    """The input and the number of classes with which the architecture has tensors of these shapes.

    Networks are built without memory for the trial. Where several inputs fit, the user must say which.
    """
    shapes = [_shape(input)] if input else [source.shape] if source else _likely_shapes(tensors)
    found = {name: tensor.shape for name, tensor in tensors.items()}
    counts = sorted({tensor.shape[0] for tensor in tensors.values() if tensor.ndim and 2 <= tensor.shape[0] <= MOST_CLASSES})
    fits: list[tuple[tuple[int, int, int], int]] = []
    for shape in shapes:
        fits += [(shape, count) for count in counts if _shapes_of(network, shape, count) == found]
        if len({shape for shape, _ in fits}) > 1:
            some = " and ".join("x".join(map(str, shape)) for shape, _ in fits)
            raise CommandError(f"{where}: the weights fit images of several sizes ({some}); say which with --input or --data")
    if not fits:
        wanted = next((own for shape in shapes for count in counts[:1] if (own := _shapes_of(network, shape, count))), {})
        raise InputError(f"{where}: the weights do not fit {network.spec.name}: {build.difference(wanted, found)}")
    return fits[0]


def _shapes_of(network: Bound, shape: tuple[int, int, int], count: int) -> dict[str, torch.Size] | None:
    """Names and shapes of a network's tensors; None where it cannot be built for such images."""
    try:
        with torch.device("meta"):
            return {name: tensor.shape for name, tensor in network(shape, count).state_dict().items()}
    except CommandError:
        return None


def _likely_shapes(tensors: dict[str, Tensor]) -> list[tuple[int, int, int]]:
    """Channels as a convolution takes them, the usual ones first, or so many square pixels as a linear layer takes."""
    depths = {tensor.shape[1] for tensor in tensors.values() if tensor.ndim == 4}
    widths = {tensor.shape[1] for tensor in tensors.values() if tensor.ndim == 2}
    if depths:
        return [(c, size, size) for c in sorted(depths & {1, 3} or depths) for size in SIZES]
    return [(c, size, size) for c in (1, 3) for size in range(1, 513) if c * size * size in widths]


def _pictures(given: dict[str, Any], talk: Talk) -> Path:
    """An image set from a .npz or a folder, its pictures as they are: bytes stay bytes."""
    path = outputs.target(given["output"], IMAGES)
    outputs.keep_inputs([path], [given["file"]])
    data = inputs.open_data(given["file"], given["split"] or "test", **inputs.selection(given))
    header = {"kind": "clean", "classes": list(data.classes), "split": data.split, "range": [0, 1]}
    made = outputs.made(
        "import",
        method=None,
        parameters={},
        options={k: given[k] for k in ("split", "classes", "image_size", "resize")},
        parents=[],
        data=data.origin,
        environment={},
    )
    layout, fill = imageset_writer.in_memory({"labels": data.labels, "index": data.index})
    layout["images"] = (np.dtype("u1" if data.eight_bit else "<f4"), (len(data), *data.shape))

    def pictures() -> Iterator[Array]:
        with talk.progress(f"reading {data.name}", len(data), "images") as tick:
            for start in range(0, len(data), BATCH):
                x, _ = data.batch(start, start + BATCH)
                tick(len(x), "")
                yield (x * 255).round().to(torch.uint8).numpy() if data.eight_bit else x.numpy()

    with atomic.locked(path):
        if not outputs.finished(path, made, default_name=given["output"] is None, force=given["force"], talk=talk):
            imageset_writer.write(path, {**header, "made": made}, layout, {**fill, "images": pictures})
    return path


def _shape(text: str) -> tuple[int, int, int]:
    pieces = text.lower().split("x")
    if len(pieces) != 3 or not all(piece.isascii() and piece.isdecimal() and 0 < int(piece) <= 65536 for piece in pieces):
        raise CommandError(f"--input {text}: is channels x height x width, such as 3x32x32")
    return int(pieces[0]), int(pieces[1]), int(pieces[2])


def numbers(text: str | None, count: int, default: float | list[float], name: str) -> list[float]:
    """One number for each channel."""
    if text is None:
        return default if isinstance(default, list) else [default] * count
    try:
        values = [float(fraction(piece)) for piece in text.split(",")]
    except (ValueError, OverflowError) as error:
        raise CommandError(f"--{name}: {error}") from None
    values = values * count if len(values) == 1 else values
    if len(values) != count or (name == "std" and min(values) <= 1e-12):
        raise CommandError(f"--{name} {text}: takes {count} positive numbers, one for each channel")
    return values

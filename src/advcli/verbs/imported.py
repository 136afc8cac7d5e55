"""What every import does: the data of a model, the names of its classes, its metadata, and the writing of its file."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from advcli.catalog.file_requests import ImportRequest
from advcli.catalog.request_parts import Selection
from advcli.errors import CommandError, InputError
from advcli.files import atomic, header_schema
from advcli.files.header import Header, canonical
from advcli.files.provenance import provenance_of
from advcli.images.dataset import Dataset
from advcli.networks import model_file
from advcli.runtime.reporter import Reporter
from advcli.workspace import inputs, outputs


def where_of(asked: ImportRequest) -> Selection:
    """The place and the size of the images of --data."""
    return Selection(data_dir=asked.data_dir, download=asked.download, image_size=asked.image_size, resize=asked.resize)


def source_of(asked: ImportRequest) -> Dataset | None:
    """The data that the network was trained on: its training split, or what there is of it."""
    if asked.data is None:
        return None
    (name, tail), where = inputs.split_suffix(asked.data), where_of(asked)
    try:
        return inputs.open_data(name, "train", where)
    except InputError:
        part = tail or Path(name).absolute().stem
        if Path(name).exists() and part in ("val", "test"):  # a folder of that split, or one without training images
            return inputs.open_data(name, part, where)
        raise


def class_names(
    asked: ImportRequest, source: Dataset | None, count: int | None, reporter: Reporter, stated: Sequence[str] = ()
) -> list[str]:
    """The names of the classes: given, those stated beside the weights, those of the data, or numbers; as many as outputs.

    Stated names give way to those of data that has other ones.
    """
    if asked.classes:
        names = [one.strip() for one in asked.classes.split(",")]
    elif stated and (source is None or set(source.classes) <= set(stated)):
        names = list(stated)
    elif source:
        names = list(source.classes)
        if stated and names != list(stated):
            told = f"names its classes {_listed(stated)}, the data {_listed(names)}"
            reporter.warn(f"{asked.file}: {told}; these are taken in this order: check it, and give --classes if it is another")
    else:
        reporter.warn(f"classes are named 0 to {(count or 0) - 1}, by position; name them with --classes or --data")
        names = [str(k) for k in range(count or 0)]
    if wrong := header_schema.wrong_classes(names):
        raise CommandError(f"--classes: no valid {wrong}; a class name must be a possible folder name")
    if count is not None and len(names) != count:
        given, what = "--classes" if asked.classes else f"--data {asked.data}", asked.arch or asked.file
        raise CommandError(f"{given}: has {len(names)} classes, and {what} has {count} outputs; name all of them with --classes")
    return names


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + ", ..." * (len(names) > 5)


def metadata_of(
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


def made_by(parameters: Header, options: Header, parents: list[Header], data: Header | None) -> Header:
    return provenance_of(
        "import", method=None, parameters=parameters, options=options, parents=parents, data=data, environment={}
    )


def publish(path: Path, metadata: Header, tensors: dict[str, Tensor], asked: ImportRequest, reporter: Reporter) -> Path:
    """Write the model file, unless the same command has made it already."""
    default = asked.output is None
    with atomic.locked(path):
        if not outputs.is_finished(path, metadata["made"], default_name=default, force=asked.force, reporter=reporter):
            model_file.write(path, metadata, tensors)
        elif _differs(model_file.peek(path), metadata, tensors):
            raise InputError(f"{path}: exists, and holds another network than {asked.file} gives now; --force replaces it")
    return path


def _differs(found: Header, metadata: Header, tensors: dict[str, Tensor]) -> bool:
    """True if a file of the same command has other weights, or another architecture, classes or normalisation."""
    other = any(canonical([found.get(key)]) != canonical([metadata[key]]) for key in ("arch", "classes", "normalize"))
    return other or found.get("weights") != model_file.weights_digest(tensors)

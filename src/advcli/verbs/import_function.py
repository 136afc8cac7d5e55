"""`import module:function`: a model file of a black box, or of the network that a function returns."""

from pathlib import Path

from advcli.catalog import web_address
from advcli.catalog.file_requests import ImportRequest
from advcli.catalog.registry import Bound
from advcli.errors import CommandError, InputError
from advcli.files.header import Header
from advcli.images.dataset import Dataset
from advcli.networks import architecture, black_box, foreign_weights
from advcli.networks.black_box import AT_ONCE
from advcli.networks.input_shape import Attempt, Fit, shape_of
from advcli.networks.weight_names import Named
from advcli.runtime.reporter import Reporter
from advcli.verbs.imported import class_names, made_by, metadata_of, publish, source_of
from advcli.workspace import inputs, outputs

NOT_FOR_FUNCTIONS = ("arch", "mean", "std", "split")
SIZES = ("image_size", "resize")  # of photographs in --data


def black_box_model(asked: ImportRequest, own: dict[str, object], reporter: Reporter) -> Path:
    """A model file that names a function of the user's own, which is asked about a few pictures of noise."""
    name, at_once = asked.file, asked.batch_size or AT_ONCE
    if idle := [*own, *(one for one in NOT_FOR_FUNCTIONS if getattr(asked, one) is not None)]:
        raise CommandError(f"--{idle[0].replace('_', '-')}: is for files; a function has no weights, and gets pixels in [0, 1]")
    if asked.data is None and (idle := [one for one in SIZES if getattr(asked, one) is not None]):
        raise CommandError(f"--{idle[0].replace('_', '-')}: is for photographs; give --data FOLDER, too")
    path, source = outputs.output_path(asked.output, inputs.MODEL), source_of(asked)
    shape = _shape(asked, source)
    away = web_address.is_address(name)
    if away:
        reporter.note(f"{name}: is asked over the network; the images leave this machine")
    answers, count = black_box.tried(name, shape, at_once, asked.max_rate)
    if count is None and not asked.classes and source is None:
        raise CommandError(f"--classes: name the classes; {name} gives labels, which do not tell how many there are")
    names = class_names(asked, source, count, reporter)
    if len(names) < 2:
        raise CommandError(f"--classes {asked.classes}: names one class; a classifier has two or more")
    arch: Header = {"name": name, "parameters": {}, "answers": answers, "at_once": at_once}
    if away:
        arch |= {"call": "http"} | ({} if asked.max_rate is None else {"rate": asked.max_rate})
    metadata = metadata_of(arch, shape, names, [0.0] * shape[0], [1.0] * shape[0], source)
    options: Header = {"function": name, "classes": asked.classes, "batch_size": asked.batch_size, "max_rate": asked.max_rate}
    options["input"] = "x".join(map(str, shape))
    metadata["made"] = made_by({}, options, [], metadata["data"])
    reporter.note(f"{name}: gives {answers} of {len(names)} classes, for at most {at_once} pictures a call")
    if source is not None:
        reporter.note(
            f"{name}: its accuracy is not measured here, since each picture is a call; evaluate --data {asked.data} does it"
        )
    return publish(path, metadata, {}, asked, reporter)


def with_its_weights(asked: ImportRequest, network: Bound, source: Dataset | None) -> Fit:
    """The network that a function returns, for images of a stated shape, with the weights that it has."""
    shape = _shape(asked, source)
    known = len(asked.classes.split(",")) if asked.classes else len(source.classes) if source else None
    if known is None and "classes" in dict(network.spec.fills or ()).values():
        raise CommandError(f"--classes: name the classes, or give --data; {asked.file} makes a network for any number of them")
    attempt = Attempt(network, shape)
    count = attempt.outputs(known or 2)
    if count is None:
        raise InputError(f"{asked.file}: gives no network for images of {'x'.join(map(str, shape))} ({attempt.failure})")
    tensors = architecture.network(network, shape, count).state_dict()
    return Fit(shape, count, Named(foreign_weights.plain(tensors, asked.file)))


def _shape(asked: ImportRequest, source: Dataset | None) -> tuple[int, int, int]:
    """Channels, height and width of the pictures, which no function states."""
    if not asked.input and source is None:
        raise CommandError("--input: give channels, height and width of the pictures, such as --input 3x32x32, or --data")
    return shape_of(asked.input) if asked.input else source.shape  # type: ignore[union-attr]  # one of the two is given

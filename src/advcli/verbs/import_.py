"""`import`: makes a model file from foreign weights, or an image set from foreign images. Nothing in them is executed."""

from dataclasses import replace
from pathlib import Path

from advcli.catalog import discovery, plain_architecture, web_address
from advcli.catalog.file_requests import ImportRequest
from advcli.catalog.registry import Bound
from advcli.datasets import pt
from advcli.errors import CommandError
from advcli.networks import foreign_weights, hugging_face_folder, onnx_file
from advcli.networks.input_shape import find_fit
from advcli.runtime.reporter import SILENT, Reporter
from advcli.verbs import import_folder, import_function, import_onnx, import_pictures
from advcli.verbs.import_weights import Foreign, model_of
from advcli.verbs.imported import source_of
from advcli.workspace import inputs, outputs

FOR_WEIGHTS = ("arch", "input", "mean", "std", "data")
SIZES = ("image_size", "resize")


def import_(asked: ImportRequest, own: dict[str, object], reporter: Reporter = SILENT) -> Path:
    """Turn foreign weights or a function into a model file, or foreign images into an image set."""
    if discovery.names_function(asked.file):
        if asked.max_rate is not None:
            raise CommandError(f"--max-rate: is for an address, https://...; {asked.file} is a function")
        discovery.allow([asked.file])
        if plain_architecture.makes_network(discovery.own_function(asked.file)):
            return _network(asked, own, reporter)
        return import_function.black_box_model(asked, own, reporter)
    if web_address.is_address(asked.file):
        if words := web_address.fault(asked.file):
            raise CommandError(f"{asked.file}: {words}")
        discovery.allow([asked.file])
        return import_function.black_box_model(asked, own, reporter)
    if asked.max_rate is not None:
        raise CommandError(f"--max-rate: is for an address, https://...; {asked.file} is a file")
    if asked.batch_size is not None:
        raise CommandError(f"--batch-size: is for a function, module:function; {asked.file} is a file")
    if _holds_images(asked):
        if idle := [name for name in FOR_WEIGHTS if getattr(asked, name) is not None]:
            raise CommandError(f"--{idle[0]}: is for weights; {asked.file} holds images")
        return import_pictures.image_set(asked, reporter)
    _refuse_idle(asked)
    if Path(asked.file).suffix == onnx_file.SUFFIX:
        return import_onnx.graph(asked, own, reporter)
    if hugging_face_folder.is_folder(Path(asked.file)) and asked.arch is None:
        return import_folder.classifier(asked, reporter)
    if "://" in asked.file:
        raise CommandError(f"{asked.file}: is no address of a classifier; one begins with http:// or https://")
    if asked.arch is None:
        raise CommandError(f"--arch: name the architecture; available: {', '.join(discovery.names('architecture'))}")
    return _weights(asked, discovery.spec("architecture", asked.arch).bind(own), reporter)


def _refuse_idle(asked: ImportRequest) -> None:
    """Refuse options that have no use for weights; sizes are for the folder of images in --data."""
    if asked.split is not None:
        raise CommandError(f"--split: is for images; {asked.file} holds weights")
    for name in SIZES:
        if getattr(asked, name) is not None and asked.data is None:
            raise CommandError(
                f"--{name.replace('_', '-')}: is for images, and {asked.file} holds weights; give --data FOLDER, too"
            )


def _holds_images(asked: ImportRequest) -> bool:
    """True for a folder, a .csv of labels, a .npz, and a .pt of images."""
    path = Path(asked.file)
    saved = path.suffix in pt.SUFFIXES and asked.arch is None
    if hugging_face_folder.is_folder(path):
        return False
    return path.is_dir() or path.suffix in (".npz", ".csv") or (saved and pt.holds_images(asked.file))


def _weights(asked: ImportRequest, network: Bound, reporter: Reporter) -> Path:
    """A model file from a foreign state_dict."""
    outputs.keep_inputs([outputs.output_path(asked.output, inputs.MODEL)], [asked.file])
    tensors, digest = foreign_weights.state_dict(Path(asked.file))
    source = source_of(asked)
    found = find_fit(network, tensors, asked.input, source, asked.file)
    parents = [{"role": "file", "digest": digest}]
    return model_of(asked, network, Foreign(found, source, {"arch": asked.arch}, parents), reporter)


def _network(asked: ImportRequest, own: dict[str, object], reporter: Reporter) -> Path:
    """A model file from a function of the user's own that returns a network with its weights."""
    if idle := [one for one in ("arch", "batch_size", "split") if getattr(asked, one) is not None]:
        raise CommandError(f"--{idle[0].replace('_', '-')}: has no use here: {asked.file} returns a network with its weights")
    network, source = discovery.spec("architecture", asked.file).bind(own), source_of(asked)
    found = import_function.with_its_weights(asked, network, source)
    return model_of(replace(asked, arch=asked.file), network, Foreign(found, source, {"function": asked.file}), reporter)

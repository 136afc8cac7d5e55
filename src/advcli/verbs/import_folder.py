"""`import FOLDER` of a Hugging Face image classifier: its configuration, weights, classes, size of images and normalisation."""

from dataclasses import replace
from pathlib import Path

from advcli.catalog import discovery, hugging_face_names
from advcli.catalog.file_requests import ImportRequest
from advcli.errors import CommandError
from advcli.files import sandbox
from advcli.files.header import Header
from advcli.images.dataset import Dataset
from advcli.networks import foreign_weights, hugging_face_folder, hugging_face_models
from advcli.networks.hugging_face_folder import Folder
from advcli.networks.input_shape import Fit, shape_of
from advcli.networks.weight_names import Named
from advcli.runtime.reporter import Reporter
from advcli.verbs.import_weights import Foreign, model_of
from advcli.verbs.imported import source_of
from advcli.workspace import inputs, outputs


def classifier(asked: ImportRequest, reporter: Reporter) -> Path:
    """A model file from the folder of a classifier."""
    folder = hugging_face_folder.read(Path(asked.file))
    network = discovery.spec("architecture", hugging_face_names.PREFIX + folder.kind).bind({"config": folder.config})
    outputs.keep_inputs([outputs.output_path(asked.output, inputs.MODEL)], [str(folder.weights)])
    tensors, digest = foreign_weights.state_dict(folder.weights)
    asked = _sized(asked, folder, reporter)
    source = source_of(asked)
    if not folder.normalize and None in (asked.mean, asked.std):
        raise CommandError(f"--mean, --std: give both; {folder.path} has no {hugging_face_folder.PREPROCESSOR} to state them")
    shape = _shape(asked, folder, source)
    made = network.spec.load()  # with the code that it takes, before the limits of a child count that
    sandbox.first_in_child(folder.path, lambda: made(shape, folder.count, config=folder.config), folder.weights.stat().st_size)
    kept = hugging_face_models.with_weights(folder.kind, folder.config, folder.count, tensors, str(folder.weights))
    named = Named(foreign_weights.plain(kept, str(folder.weights)), folder.normalize)
    parents: list[Header] = [{"role": "file", "digest": digest}]
    foreign = Foreign(Fit(shape, folder.count, named), source, {}, parents, tuple(folder.classes))
    return model_of(asked, network, foreign, reporter)


def _sized(asked: ImportRequest, folder: Folder, reporter: Reporter) -> ImportRequest:
    """The request with the sizes that the folder states, for a folder of photographs in --data."""
    photographs = asked.data is not None and inputs.is_photographs(asked.data)
    square = folder.shape is not None and folder.shape[1] == folder.shape[2]
    if not photographs or not square or asked.image_size or asked.resize:
        return asked
    assert folder.shape is not None
    size = folder.shape[1]
    told = f"--image-size {size}" + (f" --resize {folder.resize}" if folder.resize else "")
    reporter.note(f"{asked.data}: images are made as {folder.path} states: {told}")
    return replace(asked, image_size=size, resize=folder.resize)


def _shape(asked: ImportRequest, folder: Folder, source: Dataset | None) -> tuple[int, int, int]:
    """The shape of images: given, as the folder states it, or that of the data."""
    if asked.input:
        return shape_of(asked.input)
    found = folder.shape or (source.shape if source else None)
    if found is None:
        raise CommandError(f"--input: give the size of images, such as --input 3x224x224; {folder.path} does not state it")
    return found

"""The trial of an imported ONNX graph on a few images: it answers as onnx's own evaluator does, each image by itself."""

import torch
from torch import Tensor

from advcli.catalog.file_requests import ImportRequest
from advcli.errors import AdvcliError, InputError, described
from advcli.files import sandbox
from advcli.networks import onnx_reference, trial_run
from advcli.networks.classifier import classifier_of
from advcli.networks.model_file import ModelFile, try_graphs
from advcli.networks.onnx_file import OnnxFile
from advcli.numerics.rng import Purpose, SampleRNG
from advcli.runtime.reporter import Reporter
from advcli.verbs import clean_check

MANY, FEW = 8, 2  # images: small ones, and larger ones, for the evaluator takes its time
SMALL = 64 * 64  # pixels


def check(read: OnnxFile, model: ModelFile, asked: ImportRequest, reporter: Reporter) -> None:
    """Refuse a graph that is read in another way than onnx does; note what was changed."""
    module = model.module()
    size = sum(one.numel() * one.element_size() for one in model.tensors.values())
    sandbox.first_in_child(asked.file, lambda: try_graphs(module, asked.file), size)
    try:
        trial_run.checked_answers(classifier_of(module), torch.device("cpu"))
    except AdvcliError as error:
        raise InputError(f"{asked.file}: {error}") from None
    except Exception as error:  # a graph is anybody's program
        raise InputError(f"{asked.file}: its graph fails on two images ({described(error)})") from None
    x, what = _images(model, asked)
    try:
        onnx_reference.compare(read, module, x, asked.file)
    except onnx_reference.NoReference as error:
        reporter.warn(f"{asked.file}: was not compared with onnx's own evaluator: {error}")
    else:
        reporter.note(f"{asked.file}: answers as onnx's own evaluator does on {len(x)} {what}")
    if read.converted.last:
        reporter.note(f"{asked.file}: ends in a {read.converted.last}, which is left out: advcli works on what goes into it")
    if read.converted.layout:
        reporter.note(f"{asked.file}: takes {read.converted.layout}; its images are transposed to that layout")


def _images(model: ModelFile, asked: ImportRequest) -> tuple[Tensor, str]:
    """Some test images of --data, or noise."""
    count = MANY if model.shape[1] * model.shape[2] <= SMALL else FEW
    if asked.data is not None:
        try:
            data = clean_check.test_images(model, asked)
            return data.pictures(0, min(count, len(data))), f"images of {data.name}"
        except InputError:  # the check of the clean accuracy says why
            pass
    return SampleRNG(0, torch.arange(count), (Purpose.TRIAL,)).uniform(*model.shape), "images of noise"

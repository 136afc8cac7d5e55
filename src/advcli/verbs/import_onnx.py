"""`import` of an ONNX file: its graph as a model file, after a comparison with onnx's own evaluator."""

from pathlib import Path

from advcli.catalog.file_requests import ImportRequest
from advcli.errors import CommandError
from advcli.networks import model_file, onnx_file
from advcli.networks.graph_network import GRAPH
from advcli.networks.input_shape import shape_of
from advcli.runtime.reporter import Reporter
from advcli.training.channels import numbers
from advcli.verbs import clean_check, onnx_trial
from advcli.verbs.imported import class_names, made_by, metadata_of, publish, source_of
from advcli.workspace import inputs, outputs


def graph(asked: ImportRequest, own: dict[str, object], reporter: Reporter) -> Path:
    """A model file from an ONNX file, whose graph is compared with what becomes of it."""
    name, path = asked.file, outputs.output_path(asked.output, inputs.MODEL)
    if idle := [*own, *(["arch"] if asked.arch else [])]:
        raise CommandError(f"--{idle[0].replace('_', '-')}: is for weights; {name} holds its own network")
    outputs.keep_inputs([path], [name])
    source = source_of(asked)
    read = onnx_file.read(Path(name), shape_of(asked.input) if asked.input else source.shape if source else None)
    found = read.converted
    names = class_names(asked, source, found.classes, reporter)
    mean, std = numbers(asked.mean, found.shape[0], 0.0, "mean"), numbers(asked.std, found.shape[0], 1.0, "std")
    metadata = metadata_of({"name": "onnx", "parameters": {}, GRAPH: found.graph}, found.shape, names, mean, std, source)
    options = {"mean": asked.mean, "std": asked.std, "classes": asked.classes, "input": "x".join(map(str, found.shape))}
    metadata["made"] = made_by({}, options, [{"role": "file", "digest": read.digest}], metadata["data"])
    if read.beside:
        metadata["made"]["beside"] = read.beside
    model = model_file.ModelFile(Path(name), metadata, found.tensors)
    onnx_trial.check(read, model, asked, reporter)
    clean_check.check(model, asked, reporter)
    return publish(path, metadata, found.tensors, asked, reporter)

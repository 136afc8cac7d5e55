"""What `import` measures on --data: the clean accuracy, and whether normalisation and order of the classes look right."""

from advcli.catalog import torchvision_names
from advcli.catalog.file_requests import ImportRequest
from advcli.errors import InputError
from advcli.evaluation.clean_accuracy import CleanAccuracy
from advcli.evaluation.normalisations import Better, compare
from advcli.images.dataset import Dataset
from advcli.networks.graph_network import GRAPH
from advcli.networks.model_file import ModelFile
from advcli.runtime.reporter import Reporter
from advcli.verbs.imported import where_of
from advcli.workspace import inputs

SMALL = 96  # pixels
NOT_MEASURED = (
    "its accuracy was not measured, so that a wrong --mean or --std, pixels in 0..255, BGR or another order of --classes stays "
    "unseen; give --data, the images that it is for"
)


def check(model: ModelFile, asked: ImportRequest, reporter: Reporter) -> None:
    """State the accuracy on the test images of --data; warn if it is chance, or if another reading of the weights does better."""
    note_size(model, reporter)
    if asked.data is None:
        reporter.warn(f"{asked.file}: {NOT_MEASURED}")
        return
    try:
        data = test_images(model, asked)
    except InputError as error:  # the weights can still be imported
        reporter.warn(f"{asked.file}: its accuracy was not measured: {str(error).splitlines()[0]}")
        return
    if not (data.labels >= 0).any():
        return
    found = compare(model, data)
    clean = CleanAccuracy.of(found.labels, found.predictions, model.classes)
    reporter.note(f"{asked.file}: clean accuracy on {data.name}:{data.split}: {clean}")
    if doubt := clean.doubt(way_on=""):
        reporter.warn(f"{asked.file}: {doubt}")
    if found.better:
        reporter.warn(f"{asked.file}: {_advice(found.better, clean, model)}")


def note_size(model: ModelFile, reporter: Reporter) -> None:
    """Note that an architecture for photographs gets small images: its weights fit any size, and its accuracy does not."""
    name, size = str(model.metadata["arch"]["name"]), max(model.shape[1:])
    if size < SMALL and name in torchvision_names.names():
        reporter.note(
            f"{model.path}: takes images of {size} pixels; usual weights of {name} are trained for about 224; if these are, "
            "give --input 3x224x224, and --image-size 224 to attack and evaluate for folders of images"
        )


def test_images(model: ModelFile, asked: ImportRequest) -> Dataset:
    """The test split of --data, or its only one; a split that is named stays."""
    text = str(asked.data)
    name, tail = inputs.split_suffix(text)
    origin = model.metadata["data"] or {}
    text = name if tail == "train" else text
    split = origin.get("split") if origin.get("split") in ("val", "test") else inputs.default_split(text, None)
    return inputs.data_of(model, text, split, where_of(asked), can_choose=False)


def _advice(better: Better, clean: CleanAccuracy, model: ModelFile) -> str:
    """A better normalisation, with both accuracies and what to do."""
    way, n = better.way, clean.n
    swap = ""
    if way.bgr and GRAPH in model.metadata["arch"]:
        swap = "export it with x.flip(1) in front and "
    elif way.bgr:
        first = next((name for name, one in model.tensors.items() if one.ndim == 4 and one.shape[1] == 3), None)
        what = f"weights[{first!r}] = weights[{first!r}].flip(1)" if first else "those of its first layer"
        swap = f"swap the input channels of its weights ({what}) and "
    return (
        f"with {way.name}, {better.right} of the same {n} images are right ({better.right / n:.1%}), as it is {clean.right} "
        f"({clean.right / n:.1%}; McNemar p {better.p:.1g}): the network was probably trained so; {swap}import with {way.options}"
    )

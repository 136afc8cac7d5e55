"""The inputs of a verb: models, data sets and devices, from the command line or the table of defaults."""

from dataclasses import replace
from pathlib import Path

from advcli.catalog import discovery
from advcli.catalog.nearest import nearest
from advcli.catalog.request_parts import Selection
from advcli.datasets.csv import csv, labels_of
from advcli.datasets.folder import folder
from advcli.datasets.imageset import imageset as image_set
from advcli.datasets.npz import npz
from advcli.datasets.pt import SUFFIXES, pt
from advcli.errors import CommandError, InputError
from advcli.images.dataset import Dataset, missing_classes
from advcli.images.downloads import Library, library
from advcli.networks.model_file import ModelFile
from advcli.runtime.reporter import SILENT, Reporter
from advcli.workspace.lookup import find_folder

MODEL, DEFENDED = "model.safetensors", "defended.safetensors"
ADVERSARIAL, PERTURBATIONS, IMAGES = "adversarial.h5", "perturbations.h5", "images.h5"
SPLITS = ("train", "val", "test")
LISTED = 20  # classes that a message spells out


def split_suffix(text: str) -> tuple[str, str]:
    """(NAME, SPLIT) of NAME:SPLIT; the split is empty if none is given."""
    name, _, tail = text.rpartition(":")
    return (name, tail) if name and tail in SPLITS else (text, "")


WHOLE = Selection()


def open_data(
    text: str | None, split: str | None, chosen: Selection = WHOLE, *, known: tuple[str, ...] = (), reporter: Reporter = SILENT
) -> Dataset:
    """A data set by what was typed: a name, NAME:SPLIT, a folder, a .csv, a .npz, a .pt or an image-set file.

    `known` are the classes of the model that it is for: a set that has them all and more gives these alone.
    """
    name, tail = split_suffix(text or "digits")
    if tail and split and tail != split:
        raise CommandError(f"--data {text} and --split {split} name two splits")
    if chosen.resize and (chosen.image_size or 0) > chosen.resize:
        raise CommandError(f"--image-size {chosen.image_size}: is larger than --resize {chosen.resize}")
    wanted, sizes = tail or split or "", {"image_size": chosen.image_size, "resize": chosen.resize}
    if name in known_sets() or is_own(name):
        found = _known(name, wanted or "train", sizes, library(chosen.data_dir, download=chosen.download))
    elif labels := _labels_csv(name):
        found = csv(wanted or "train", path=labels, image_size=chosen.image_size, resize=chosen.resize)
    elif Path(name).is_dir():
        found = folder(wanted or "train", path=name, image_size=chosen.image_size, resize=chosen.resize)
    elif Path(name).suffix == ".npz":
        found = npz(wanted, path=name)
    elif Path(name).suffix in SUFFIXES and Path(name).exists():
        found = pt(wanted, path=name)
    elif Path(name).exists():
        found = image_set(wanted, path=name)
    else:
        meant = nearest(name, known_sets())
        raise InputError(
            f"{name}: no such data set, folder or image-set file{meant}; available data sets: {', '.join(known_sets())}"
        )
    if (chosen.image_size or chosen.resize) and "image_size" not in found.origin:
        raise CommandError("--image-size and --resize are for folders of images; this data set has its size")
    classes = chosen.classes
    if not classes and found.origin["name"] != "file":
        classes = found.of_model(known)
    found = found.selected(classes, chosen.limit, chosen.per_class, chosen.part)
    _tell(found, reporter)
    return found


def is_photographs(text: str) -> bool:
    """True for a folder of pictures, or a CSV of their labels, whose pictures are given a size."""
    name = split_suffix(text)[0]
    return Path(name).is_dir() or _labels_csv(name) is not None


def _labels_csv(name: str) -> str | None:
    """The CSV of labels that is named, or that lies in the folder that is named."""
    path = Path(name)
    found = path if path.suffix.lower() == ".csv" and path.is_file() else labels_of(path) if path.is_dir() else None
    return str(found) if found else None


def _tell(data: Dataset, reporter: Reporter) -> None:
    for text in data.notes:
        reporter.note(text)


def known_sets() -> list[str]:
    """Data sets with a name."""
    return [one.name for one in discovery.specs("source") if one.traits.where != "path"]


def is_own(name: str) -> bool:
    """True if a data set is a function of the user's own, module:function."""
    return ":" in name and not Path(name).exists() and name.partition(":")[0] not in known_sets()


def _known(name: str, split: str, sizes: dict[str, int | None], where: Library) -> Dataset:
    """A data set by its name; the user's own is called by its name in every file, whatever it calls itself."""
    spec = discovery.spec("source", name)
    if spec.traits.where == "path":
        raise CommandError(f"{name}: reads from a path; a named data set needs where='package' or 'library'")
    if spec.traits.where == "package":
        found: Dataset = spec.load()(split)
    elif any(sizes.values()) and spec.traits.resizes:
        found = spec.load()(split, where, **sizes)
    else:
        found = spec.load()(split, where)
    return replace(found, origin={**found.origin, "name": name}) if ":" in name else found


def data_of(
    model: ModelFile,
    text: str | None,
    split: str | None,
    chosen: Selection = WHOLE,
    *,
    can_choose: bool = True,
    reporter: Reporter = SILENT,
) -> Dataset:
    """The data for a model: as given, or the test split of its training data.

    A model's own folder, and images of another shape than it takes, are resized as in its training, unless sizes are given.
    `can_choose` says whether the verb has the option --classes.
    """
    if text is None:
        text, chosen = default_data(model, chosen)
    split = default_split(text, split)
    data = open_data(text, split, chosen, known=model.classes)
    if "image_size" in data.origin and not (chosen.image_size or chosen.resize):
        origin = model.metadata["data"] or {}
        own = all(origin.get(key) == data.origin.get(key) for key in ("name", "digest"))
        sized = replace(chosen, image_size=origin.get("image_size"), resize=origin.get("resize"))
        if sized != chosen and (own or data.shape != model.shape):
            data = open_data(text, split, sized, known=model.classes)
    _tell(data, reporter)
    return fitted_to(model, data, _advice(data, model, can_choose=can_choose), reporter)


def default_split(text: str, split: str | None) -> str | None:
    """The split to use of a data set: test, unless one is given, or a file states its own."""
    name, tail = split_suffix(text)
    states = Path(name).is_file() and Path(name).suffix.lower() != ".csv"
    return split or (None if tail or states else "test")


def fitted_to(model: ModelFile, data: Dataset, advice: str, reporter: Reporter) -> Dataset:
    """The images with labels that index the model's classes; refused if the model takes images of another shape."""
    data = data.for_classes(model.classes, str(model.path), advice)
    if data.shape != model.shape:
        have, want = ("x".join(map(str, shape)) for shape in (data.shape, model.shape))
        raise InputError(f"{data.name}: images are {have} (channels, height, width), {model.path} takes {want}")
    if few := missing_classes(f"{data.name}:{data.split}", data.labels, data.classes, model.classes):
        reporter.warn(few)
    return data


def default_data(model: ModelFile, chosen: Selection) -> tuple[str, Selection]:
    """What a model was trained on, as one would type it, and the classes and sizes that it was trained with."""
    origin = model.metadata["data"]
    if origin is None:
        raise InputError(f"{model.path}: this model names no data set; give --data")
    name = str(origin["name"])
    if ":" in name:
        discovery.from_file("source", name)  # refuses code that the user has not named
    known = name in known_sets() or ":" in name
    found = find_folder(origin) if name == "folder" else name if known else None
    if found is None:
        raise InputError(f"{model.path}: its training data {name} was not found here; give --data")
    chosen = replace(  # the model was trained on these, and knows no others
        chosen,
        classes=chosen.classes or origin.get("classes"),
        image_size=chosen.image_size or origin.get("image_size"),
        resize=chosen.resize or origin.get("resize"),
    )
    return found, chosen


def _advice(data: Dataset, model: ModelFile, *, can_choose: bool) -> str:
    """Advice on selecting the images of a set for a model of other classes."""
    shared = ",".join(one for one in model.classes if one in data.classes)
    if not shared:
        return _other_classes(data, model)
    return f"\ngive --classes {shared}" if can_choose else f"\nexport it and import it again with --classes {shared}"


def _other_classes(data: Dataset, model: ModelFile) -> str:
    """Advice where a model has none of the classes of a set: other data, or other names for the same classes."""
    have, want = len(data.classes), len(model.classes)
    if have != want:
        return f"\n{model.path} has {want} classes, the data {have}: give the data that it was made for"
    if model.metadata["made"]["verb"] != "import" or want > LISTED:
        return ""
    return f"\nif they are the same in this order, advcli import it again with --classes {','.join(data.classes)}"

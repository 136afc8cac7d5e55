"""What a verb works on: models, data sets and devices, from what was typed or from the fixed table of defaults."""

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import torch

from advcli.catalog import discovery
from advcli.catalog.options import Option
from advcli.catalog.registry import Spec
from advcli.datasets.folder import folder, listing_digest
from advcli.datasets.imageset import imageset as image_set
from advcli.datasets.npz import npz
from advcli.errors import CommandError, InputError
from advcli.files import imageset_reader, sandbox
from advcli.files.header import Header
from advcli.images.dataset import Dataset
from advcli.images.downloads import Library, library
from advcli.networks import model_file
from advcli.networks.model_file import ModelFile

MODEL, DEFENDED = "model.safetensors", "defended.safetensors"
ADVERSARIAL, PERTURBATIONS = "adversarial.h5", "perturbations.h5"
SPLITS = ("train", "val", "test")
TINY = 256  # pixels
FOREIGN = (".pt", ".pth", ".safetensors", ".npz")


def checked(verb: str, given: dict[str, Any]) -> dict[str, Any]:
    """The verb's arguments, read and range-checked by its own parameters."""
    _, options = discovery.verb(verb)
    return {o.name: o.read(given[o.name]) for o in options if o.name in given}


def refuse_idle(spec: Spec, options: tuple[Option, ...], given: dict[str, Any]) -> None:
    """An option that would do nothing for this method is an error."""
    for one in options:
        if given.get(one.name, one.default) != one.default and not spec.has(one.param.needs):
            raise CommandError(f"{spec.name} has no option {one.flag}: it would do nothing there")


def find_device(name: str) -> torch.device:
    """cpu, cuda, cuda:1, or auto."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda"):
            raise RuntimeError("neither cpu nor cuda")
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0][:90]
        raise CommandError(f"--device {name}: cannot be used here ({reason}); cpu always can") from None
    return device


@contextmanager
def threads(shape: tuple[int, int, int]) -> Iterator[None]:
    """Tiny pictures by one thread: two would only wait for each other, and on a busy machine for very long."""
    before = torch.get_num_threads()
    torch.set_num_threads(1 if prod(shape) <= TINY else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def environment(device: torch.device, batch_size: int) -> Header:
    """What may change the last bit and nothing else."""
    return {
        "torch": torch.__version__.partition("+")[0],
        "device": device.type,
        "threads": torch.get_num_threads() if device.type == "cpu" else 0,
        "batch_size": batch_size,
    }


def default_batch(batch_size: int | None, device: torch.device) -> int:
    return batch_size or (64 if device.type == "cpu" else 512)


def spelled(text: str) -> tuple[str, str]:
    """(NAME, SPLIT) of NAME:SPLIT; the split is empty where none is written."""
    name, _, tail = text.rpartition(":")
    return (name, tail) if name and tail in SPLITS else (text, "")


SELECTION = ("classes", "limit", "per_class", "image_size", "resize", "data_dir", "download")


def selection(given: dict[str, Any]) -> dict[str, Any]:
    """What a verb was told of which images to take, and where from."""
    return {name: given[name] for name in SELECTION if name in given}


def open_data(
    text: str | None,
    split: str | None,
    *,
    classes: str | None = None,
    limit: int | None = None,
    per_class: int | None = None,
    image_size: int | None = None,
    resize: int | None = None,
    data_dir: str | None = None,
    download: bool = False,
) -> Dataset:
    """A data set by what was typed: a name, NAME:SPLIT, a folder, a .npz or an image-set file."""
    name, tail = spelled(text or "digits")
    if tail and split and tail != split:
        raise CommandError(f"--data {text} and --split {split} name two splits")
    if resize and (image_size or 0) > resize:
        raise CommandError(f"--image-size {image_size}: cannot be cut out of pictures of --resize {resize}")
    wanted, sizes = tail or split or "", {"image_size": image_size, "resize": resize}
    if name in known_sets():
        found = _known(name, wanted or "train", sizes, library(data_dir, download=download))
    elif Path(name).is_dir():
        found = folder(wanted or "train", path=name, image_size=image_size, resize=resize)
    elif Path(name).suffix == ".npz":
        found = npz(wanted, path=name)
    elif Path(name).exists():
        found = image_set(wanted, path=name)
    else:
        raise InputError(f"{name}: no such data set, folder or image-set file; there are {', '.join(known_sets())}")
    if (image_size or resize) and "image_size" not in found.origin:
        raise CommandError("--image-size and --resize are for folders of pictures; this data set has its size")
    return found.selected(classes, limit, per_class)


def known_sets() -> list[str]:
    """Data sets that have a name."""
    return [one.name for one in discovery.specs("source") if one.traits.family != "files"]


def _known(name: str, split: str, sizes: dict[str, int | None], where: Library) -> Dataset:
    spec = discovery.spec("source", name)
    if spec.traits.family == "embedded":
        found: Dataset = spec.load()(split)
    elif any(sizes.values()) and spec.traits.family == "photographs":
        found = spec.load()(split, where, **sizes)
    else:
        found = spec.load()(split, where)
    return found


def data_of(model: ModelFile, text: str | None, split: str | None, **chosen: Any) -> Dataset:
    """The data for a model: as typed, or the test split of what the model was trained on."""
    origin = model.recipe["data"] or {"name": "nothing"}
    if text is None:
        name = str(origin["name"])
        found = find_folder(origin["digest"]) if name == "folder" else name if name in known_sets() else None
        if found is None:
            raise InputError(f"{model.path}: the {name} that it was trained on is not found here; give --data")
        text = found
        for key in ("classes", "image_size", "resize"):  # the model was trained on these, and knows no others
            chosen[key] = chosen.get(key) or origin.get(key)
    name, tail = spelled(text)
    split = split or ("" if tail or Path(name).is_file() else "test")
    data = open_data(text, split or None, **chosen).for_classes(model.classes, str(model.path))
    if data.shape != model.shape:
        have, want = ("x".join(map(str, shape)) for shape in (data.shape, model.shape))
        raise InputError(f"{data.name}: images are {have} (channels, height, width), {model.path} takes {want}")
    return data


def find_folder(digest: str, where: Path = Path()) -> str | None:
    """The folder in `where`, or in a folder of it, with that listing."""
    near = [p for p in sorted(where.iterdir()) if p.is_dir() and not p.name.startswith(".")]
    inner = [p for folder in near for p in sorted(folder.iterdir()) if p.is_dir()]
    for one in [*near, *inner]:
        if listing_digest(one) == digest:
            return str(one)
    return None


def find_file(digest: str, where: Path = Path()) -> Path | None:
    """The first file in a folder with that content."""
    for path, content, _ in files_in(where):
        if content == digest:
            with contextlib.suppress(InputError):  # a damaged copy is passed over
                header_of(path)
                return path
    for path in sorted(where.iterdir()):  # weights of other tools have no digest inside
        with contextlib.suppress(InputError):
            if path.suffix in FOREIGN and path.is_file() and sandbox.digest_of(path) == digest:
                return path
    return None


def files_in(where: Path) -> Iterator[tuple[Path, str, Header]]:
    """(path, digest, header) of advcli's files in a folder, as they state themselves."""
    for path in sorted(where.iterdir()):
        try:
            if path.suffix == ".h5" and path.is_file():
                with sandbox.regular(path) as file:
                    yield path, file.read(72)[8:].decode("ascii", "replace"), {}
            elif path.suffix == ".safetensors" and path.is_file():
                recipe = model_file.peek(path)
                yield path, str(recipe.get("digest")), recipe
        except (InputError, OSError):
            continue


def header_of(path: Path) -> tuple[str, Header]:
    """(digest, header) of a file of ours, checked against its bytes."""
    if path.suffix == ".safetensors":
        model = model_file.read(path)
        return model.digest, model.recipe
    with imageset_reader.ImageSet(path) as opened:
        return opened.digest, opened.header

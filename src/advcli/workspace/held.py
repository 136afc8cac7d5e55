"""What a call from Python holds in memory in place of files: modules, images and sets, each with a name for the tables."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import Any

import torch
from torch import Tensor, nn

from advcli.catalog.request_parts import SplitSelection
from advcli.datasets.imageset import of_set
from advcli.errors import CommandError, InputError
from advcli.files import header_schema
from advcli.files.header import MEMORY
from advcli.files.imageset_in_memory import ImageSetInMemory
from advcli.files.imageset_reader import ImageSet
from advcli.images.dataset import Dataset
from advcli.networks import module_in_memory
from advcli.networks.input_shape import shape_of
from advcli.networks.model_file import ModelFile
from advcli.networks.module_in_memory import DefendedModule
from advcli.runtime.reporter import Reporter
from advcli.training.channels import numbers
from advcli.workspace import data_in_memory, inputs
from advcli.workspace.data_in_memory import DataInMemory

ABOUT = ("mean", "std", "classes", "input")  # keywords that describe a module


@dataclass(frozen=True, slots=True)
class Held:
    """The objects of a call by the names that stand for them in its request."""

    modules: dict[str, DefendedModule] = field(default_factory=dict)  # with no defense, or several
    sets: dict[str, ImageSetInMemory] = field(default_factory=dict)
    data: DataInMemory | ImageSetInMemory | None = None

    def __bool__(self) -> bool:
        return bool(self.modules or self.sets or self.data is not None)

    def model(self, name: str | None, asked: SplitSelection, files: Iterable[str], device: str) -> ModelFile | None:
        """The module of that name as a model for the images of the call; None if there is no such module."""
        if name is None or name not in self.modules:
            return None
        given = replace(self.modules[name], name=name)
        x, known = self._some(given, asked, files)
        count = module_in_memory.count_classes(given.module, name, torch.cat([x, x])[:2], device)
        shape = tuple(x.shape[1:])
        normalize = {
            "mean": numbers(spelled(given.about.get("mean")), shape[0], 0.0, "mean"),
            "std": numbers(spelled(given.about.get("std")), shape[0], 1.0, "std"),
        }
        return module_in_memory.model_of(given, shape, class_names(given, count, known), normalize)

    def _some(self, given: DefendedModule, asked: SplitSelection, files: Iterable[str]) -> tuple[Tensor, tuple[str, ...]]:
        """Two images of the call, or blank ones of the stated size, and the classes of where they come from, if it has names."""
        of_set = next(filter(None, map(self._first_of, files)), None)
        known = of_set[1] if of_set else ()
        if (size := given.about.get("input")) is not None:
            return torch.zeros(2, *shape_of(size if isinstance(size, str) else "x".join(map(str, size)))), known
        if isinstance(self.data, DataInMemory):
            return self.data.first(2), known
        if self.data is not None:
            return self.data.rows("images", 0, 2), self.data.classes
        if of_set:
            return of_set
        if asked.data is None:
            raise CommandError(f"{given.name}: give images, as data=(images, labels), or their size, as input='3x32x32'")
        found = inputs.open_data(asked.data, inputs.default_split(asked.data, asked.split), asked)
        return found.pictures(0, 2), found.classes

    def _first_of(self, file: str) -> tuple[Tensor, tuple[str, ...]] | None:
        """The first images of a set, and its classes; None if it has no rows."""
        with self.sets[file] if file in self.sets else ImageSet(file) as opened:
            return (opened.rows("images", 0, 2), opened.classes) if len(opened) else None

    def data_of(self, model: ModelFile, asked: SplitSelection, reporter: Reporter) -> Dataset:
        """The images of the call for a model: those in memory, or what the request names."""
        if self.data is None:
            return inputs.data_of(model, asked.data, asked.split, asked, reporter=reporter)
        if asked.image_size or asked.resize:
            raise CommandError("--image-size and --resize are for folders of images; images in memory have their size")
        if isinstance(self.data, ImageSetInMemory):
            found = of_set(self.data, asked.split or "")
        else:
            found = self.data.dataset(model.classes, asked.split or "test")
        if not len(found):
            raise InputError("data: holds no image")
        found = found.selected(asked.classes, asked.limit, asked.per_class, asked.part)
        for text in found.notes:
            reporter.note(text)
        return inputs.fitted_to(model, found, "", reporter)


NOTHING = Held()


def class_names(one: DefendedModule, count: int, known: Sequence[str]) -> list[str]:
    """The names of a module's outputs: as given, of the data if it has as many, else 0, 1, ..."""
    given = one.about.get("classes")
    if given is not None:
        found = [name.strip() for name in given.split(",")] if isinstance(given, str) else list(map(str, given))
        if len(found) != count:
            raise CommandError(f"--classes: names {len(found)} classes; {one.name} has {count} outputs")
        if wrong := header_schema.wrong_classes(found):
            raise CommandError(f"--classes: no valid {wrong}; a class name must be a possible folder name")
        return found
    if known and len(known) != count:
        raise CommandError(f"--classes: name the {count} outputs of {one.name}; the data has {len(known)} classes")
    return list(known) or [str(k) for k in range(count)]


def spelled(value: Any) -> str | None:
    """Numbers for the channels as an option takes them."""
    if value is None or isinstance(value, str):
        return value
    found = value.tolist() if hasattr(value, "tolist") else value
    return ",".join(map(repr, found if isinstance(found, Sequence) else [found]))


class Names:
    """The names of the objects of a call: each object has one, and no file of the call is called so."""

    def __init__(self, given: Mapping[str, object]) -> None:
        self._used = {str(one) for value in given.values() for one in _each(value) if is_name(one)}
        self._known: dict[int, str] = {}

    def are_missing(self, value: object) -> list[Any]:
        """The objects of a keyword that have no name yet."""
        found = {id(one): one for one in _each(value) if not is_name(one) and id(one) not in self._known}
        return list(found.values())

    def give(self, one: object, text: str) -> str:
        """Name an object; with a number behind the text if something else is called so."""
        name = next(name for name in (text, *(f"{text} ({k})" for k in range(2, 10_000))) if name not in self._used)
        self._used.add(name)
        self._known[id(one)] = name
        return name

    def of(self, value: object) -> object:
        """A keyword's value with names in place of its objects."""
        found = [self._known.get(id(one), one) for one in _each(value)]
        return found if isinstance(value, list | tuple) else next(iter(found), None)


def take(given: Mapping[str, object]) -> tuple[Held, dict[str, object]]:
    """The objects among the keywords of a call, and the same keywords with names in their place."""
    rest, names = dict(given), Names(given)
    modules: dict[str, DefendedModule] = {}
    sets: dict[str, ImageSetInMemory] = {}
    missing = names.are_missing(rest.get("model"))
    about = {key: rest.pop(key) for key in ABOUT if key in rest} if missing else {}
    for one in missing:
        found = described(one, about)
        modules[names.give(one, found.name)] = found
    for one in names.are_missing(rest.get("files")):
        if (rows := rows_of(one)) is None:
            raise CommandError(f"files: expected adversarial images, or paths; found {type(one).__name__}")
        sets[names.give(one, str(rows.path))] = rows
    rest |= {key: names.of(rest[key]) for key in ("model", "files") if key in rest}
    data: DataInMemory | ImageSetInMemory | None = None
    if not is_name(images := rest.get("data")):
        data, rest["data"] = rows_of(images) or data_in_memory.read(images), MEMORY
    return Held(modules, sets, data), rest


def described(one: object, about: Mapping[str, object]) -> DefendedModule:
    """A copy of a module with what a call says about it."""
    if isinstance(one, DefendedModule):
        return replace(one, about={**one.about, **about})
    if not isinstance(one, nn.Module):
        raise CommandError(f"model: expected a torch.nn.Module, or the path of a model file; found {type(one).__name__}")
    name = type(module_in_memory.unwrapped(one)).__name__
    return DefendedModule(name, module_in_memory.copied(one, name), (), dict(about))


def rows_of(value: object) -> ImageSetInMemory | None:
    """The rows of adversarial images that an attack in memory gave."""
    found = getattr(value, "rows", None)
    return found if isinstance(found, ImageSetInMemory) else None


def is_name(value: object) -> bool:
    """True for what names a file or a data set, and for nothing at all."""
    return value is None or isinstance(value, str | PathLike)


def _each(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else () if value is None else (value,)

"""`evaluate`: models and image sets in, a table out. Every figure is recomputed from the stored bytes."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor, nn

from advcli import catalog, stack
from advcli.dataset import Dataset
from advcli.errors import CommandError, InputError
from advcli.geometry import distance
from advcli.header import Header
from advcli.imageset import ImageSet
from advcli.modelfile import ModelFile, read
from advcli.numbers import fraction
from advcli.parameters import (
    BatchSize,
    Classes,
    Data,
    Device,
    Files,
    ImageSize,
    Limit,
    Models,
    Param,
    PerClass,
    Seed,
    Split,
)
from advcli.pipeline import inputs
from advcli.pipeline.threat import threat
from advcli.registry import Bound, refuse_unknown
from advcli.rng import SampleRNG
from advcli.stack import frozen
from advcli.talk import SILENT, Talk
from advcli.verdicts import Figure, Verdicts, rate

Array = np.ndarray[Any, np.dtype[Any]]
ANSWERS = ("accuracy", "robust_accuracy")


@dataclass(frozen=True, slots=True)
class Report:
    """The table: one row for every model, set, budget and metric."""

    rows: list[dict[str, Any]]
    passed: bool = True

    def document(self) -> dict[str, Any]:
        return {"rows": self.rows}


@dataclass(frozen=True, slots=True)
class Subject:
    """A set to evaluate on: clean data, or an image-set file."""

    name: str
    header: Header
    count: int
    ids: Array
    labels: Array
    pictures: Callable[[int, int], Tensor]
    eight_bit: bool
    file: ImageSet | None = None


def evaluate(
    files: Files = (),
    *,
    model: Models = (),
    data: Data = None,
    split: Split = None,
    limit: Limit = None,
    per_class: PerClass = None,
    classes: Classes = None,
    image_size: ImageSize = None,
    metric: Annotated[tuple[str, ...], Param("A metric; may be repeated. [default: accuracy and success]", form="NAME")] = (),
    fail_under: Annotated[
        tuple[str, ...], Param("Exit 1 below this: accuracy=0.9 or robust_accuracy=0.45.", form="METRIC=X")
    ] = (),
    draws: Annotated[int, Param("Fresh draws of a random defense; the spread is shown.", low=1)] = 3,
    seed: Seed = 1,
    batch_size: BatchSize = None,
    device: Device = "auto",
    talk: Talk = SILENT,
    **options: object,
) -> Report:
    """Measure models on clean and adversarial images.

    Accuracy and success with exact intervals, and beside each figure the threat model it holds under.
    """
    given = inputs.checked("evaluate", {k: v for k, v in locals().items() if k not in ("options", "talk")})
    bars = [_bar(text) for text in given["fail_under"]]
    metrics = chosen(given["metric"], options)
    models = [read(path) for path in given["model"]] or _default_models(talk)
    rows: list[dict[str, Any]] = []
    worst = Worst()
    with contextlib.ExitStack() as open_files:
        clean, sets = _subjects(given, models, open_files, talk)
        for one in models:
            judge = Judge(one, given)
            for subject in [*clean(one), *sets]:
                _fits(subject, one)
                rows += judge.rows(subject, metrics, worst, talk)
    rows += worst.rows(always=any(name == "robust_accuracy" for name, _ in bars))
    return Report(rows, all([_passes(name, bar, rows, talk) for name, bar in bars]))


def chosen(names: tuple[str, ...], options: dict[str, object]) -> list[Bound]:
    """The metrics asked for, or the default ones, with their options."""
    specs = [catalog.spec("metric", name) for name in names] or [s for s in catalog.specs("metric") if s.traits.default]
    refuse_unknown("evaluate", options, tuple(o for s in specs for o in s.options))
    return [s.bind({k: v for k, v in options.items() if s.option(k)}) for s in specs]


def _default_models(talk: Talk) -> list[ModelFile]:
    there = [name for name in (inputs.MODEL, inputs.DEFENDED) if Path(name).exists()]
    if not there:
        raise InputError(f"no {inputs.MODEL} or {inputs.DEFENDED} here; give --model, or make one with: advcli train")
    talk.note(f"models: {', '.join(there)}")
    return [read(name) for name in there]


def _subjects(
    given: dict[str, Any], models: list[ModelFile], files: contextlib.ExitStack, talk: Talk
) -> tuple[Callable[[ModelFile], list[Subject]], list[Subject]]:
    """The clean data (which depends on the model) and the files; a FILE or --data replaces all default sets."""
    selection = {name: given[name] for name in ("limit", "per_class", "classes", "image_size")}
    names = list(given["files"])
    default = not names and given["data"] is None
    if default and Path(inputs.ADVERSARIAL).exists():
        names = [inputs.ADVERSARIAL]
        talk.note(f"sets: the clean test split, {inputs.ADVERSARIAL}")
    if given["files"] and any(v is not None for v in (*selection.values(), given["split"])) and given["data"] is None:
        raise CommandError("--split, --limit, --per-class, --classes and --image-size choose from --data, not from a file")
    opened = [files.enter_context(ImageSet(name)) for name in names]
    splits = {one.header["split"] for one in opened}
    sets = [_file_subject(one, name) for one, name in zip(opened, names, strict=True)]

    def clean(model: ModelFile) -> list[Subject]:
        if not default and given["data"] is None:
            return []
        found = inputs.data_of(model, given["data"], given["split"], **selection)
        splits.add(found.split)
        if len(splits) > 1:
            raise InputError(f"the sets come from different splits ({', '.join(sorted(splits))}); evaluate them apart")
        return [_data_subject(found)]

    if len(splits) > 1:
        raise InputError(f"the files come from different splits ({', '.join(sorted(splits))}); evaluate them apart")
    return clean, sets


def _data_subject(data: Dataset) -> Subject:
    header = {"kind": "clean", "classes": list(data.classes), "split": data.split, "epsilon": None}
    return Subject(
        name=f"{data.name}:{data.split}",
        header=header,
        count=len(data),
        ids=data.index,
        labels=data.labels,
        pictures=lambda start, stop: data.batch(start, stop)[0],
        eight_bit=data.eight_bit,
    )


def _file_subject(opened: ImageSet, name: str) -> Subject:
    if opened.kind == "perturbation":
        raise InputError(f"{name}: holds perturbations; evaluate the set that they were made with")
    if opened.kind == "adversarial" and opened.header["norm"] != "raw":
        refuse_too_far(opened)
    count = len(opened)
    pictures = lambda start, stop: opened.rows("images", start, stop)  # noqa: E731  # a view of the open file
    return Subject(name, opened.header, count, opened.column("index"), opened.column("labels"), pictures, opened.eight_bit, opened)


def refuse_too_far(opened: ImageSet) -> None:
    """A row whose perturbation exceeds its declared budget makes the whole set unusable."""
    bound, origin = opened.column("epsilon"), opened.column("original")
    for start in range(0, len(opened), 1024):
        stop = min(start + 1024, len(opened))
        size = distance(opened.rows("images", start, stop), opened.pick("originals", origin[start:stop]), opened.header["norm"])
        over = size.numpy() > bound[start:stop].astype(np.float64) + opened.header["tolerance"]
        if over.any():
            row = int(np.argmax(over))
            raise InputError(
                f"{opened.path}: row {start + row} lies {float(size[row]):.6g} ({opened.header['norm']}) from its original, "
                f"beyond its budget {bound[start + row]:.6g}"
            )


def _fits(subject: Subject, model: ModelFile) -> None:
    strange = [name for name in subject.header["classes"] if name not in model.classes]
    shape = tuple(subject.pictures(0, 1).shape[1:])
    if strange:
        raise InputError(f"{subject.name}: its classes {', '.join(strange[:5])} are none of {model.path}'s")
    if shape != model.shape:
        raise InputError(f"{subject.name}: images are {'x'.join(map(str, shape))}, {model.path} takes {'x'.join(map(str, model.shape))}")


class Judge:
    """One model, ready to decide."""

    def __init__(self, model: ModelFile, given: dict[str, Any]) -> None:
        self.file, self.seed = model, given["seed"]
        self.device = inputs.find_device(given["device"])
        self.batch = given["batch_size"] or 512
        self.module: nn.Module = model.module().to(self.device)
        self.rounds = given["draws"] if stack.is_random(model.defenses) else 1

    def decide(self, count: int, pictures: Callable[[int, int], Tensor], ids: Array, turn: int, labels: Array) -> tuple[Array, Array]:
        """(decisions, ranks of the label) of a set's images."""
        decisions, ranks = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        with frozen(self.module), torch.no_grad():
            for start in range(0, count, self.batch):
                stop = min(start + self.batch, count)
                draws = SampleRNG(self.seed, torch.from_numpy(ids[start:stop]).to(self.device), ("evaluate", str(turn)))
                logits = self.module(pictures(start, stop).to(self.device), draws).float().cpu()
                label = torch.from_numpy(labels[start:stop]).clamp_min(0)[:, None]
                own = logits.gather(1, label)
                ties = (logits == own) & (torch.arange(logits.shape[1]) < label)  # a tie goes to the lower class
                ranks.append(((logits > own) | ties).sum(1).numpy())
                decisions.append(logits.argmax(1).numpy())
        return np.concatenate(decisions), np.concatenate(ranks)

    def rows(self, subject: Subject, metrics: list[Bound], worst: "Worst", talk: Talk) -> list[dict[str, Any]]:
        """All figures of the model on one set."""
        with talk.progress(f"{self.file.path} on {subject.name}", self.rounds, "draws" if self.rounds > 1 else "pass") as tick:
            rounds = []
            for turn in range(self.rounds):
                rounds.append(self._verdicts(subject, turn))
                tick(1, "")
        found = []
        for text, mask in _budgets(subject):
            line = threat(subject.header, self.file, text, subject.eight_bit)
            for bound in metrics:
                if bound.spec.traits.of == "adversarial" and rounds[0].clean is None:
                    continue
                each = [list(bound(verdicts[mask])) for verdicts in rounds]
                found += [self._row(subject, text, line, [one[k] for one in each]) for k in range(len(each[0]))]
            if subject.header["kind"] == "adversarial" and text is not None:
                worst.add(self.file, subject, text, mask, rounds[0], line)
        return found

    def _verdicts(self, subject: Subject, turn: int) -> Verdicts:
        table = np.array([*(self.file.classes.index(name) for name in subject.header["classes"]), -1], np.int64)
        labels = table[subject.labels]
        decided, rank = self.decide(subject.count, subject.pictures, subject.ids, turn, labels)
        opened = subject.file
        if opened is None or "original" not in opened:
            return Verdicts(self.file.classes, labels, decided, rank)
        origin, first = np.unique(opened.column("original"), return_index=True)
        clean = np.full(int(origin.max(initial=-1)) + 1, -1, np.int64)
        clean[origin], _ = self.decide(
            len(origin), lambda a, b: opened.pick("originals", origin[a:b]), subject.ids[first], turn, labels[first]
        )
        targets = table[opened.column("target")]
        return Verdicts(self.file.classes, labels, decided, rank, targets, clean[opened.column("original")])

    def _row(self, subject: Subject, text: str | None, line: dict[str, Any], each: list[Figure]) -> dict[str, Any]:
        figure = each[0]
        row = {
            "model": str(self.file.path),
            "set": subject.name,
            "kind": subject.header["kind"],
            "epsilon": None if text is None else float(fraction(text)),
            "metric": figure.metric,
            "value": figure.value,
            "n": figure.n,
            "k": figure.k,
            "low": figure.low,
            "high": figure.high,
            "threat": line,
            **figure.about,
        }
        if len(each) > 1:
            values = [one.value for one in each]
            row["spread"] = {"draws": len(each), "min": min(values), "max": max(values)}
        return row


def _budgets(subject: Subject) -> Iterator[tuple[str | None, Array]]:
    """(text, rows) of every budget; one without a text for sets that have none."""
    texts = subject.header.get("epsilon")
    if not texts or subject.file is None or "epsilon" not in subject.file:
        yield None, np.ones(subject.count, bool)
        return
    stored = subject.file.column("epsilon")
    for text in texts:
        yield text, stored == np.float32(float(fraction(text)))


class Worst:
    """Per image, the worst case over all adversarial sets of one budget."""

    def __init__(self) -> None:
        self._fallen: dict[tuple[str, str, str], dict[tuple[str, int], bool]] = {}
        self._sets: dict[tuple[str, str, str], list[str]] = {}

    def add(self, model: ModelFile, subject: Subject, text: str, mask: Array, verdicts: Verdicts, line: dict[str, Any]) -> None:
        assert subject.file is not None  # only files have budgets
        key = (str(model.path), str(line["norm"]), text)
        source = subject.header["made"]["data"]
        name = f"{source['name']} {source.get('digest', '')}"
        fallen = self._fallen.setdefault(key, {})
        right = verdicts.predictions == verdicts.labels
        for index, held in zip(subject.file.column("index")[mask], right[mask], strict=True):
            fallen[(name, int(index))] = fallen.get((name, int(index)), True) and bool(held)
        self._sets.setdefault(key, []).append(subject.name)

    def rows(self, *, always: bool) -> list[dict[str, Any]]:
        """Robust accuracy per model and budget, where there is more than one set, or where it is asked for."""
        found = []
        for (model, norm, text), fallen in self._fallen.items():
            names = self._sets[(model, norm, text)]
            if always or len(names) > 1:
                one = rate("robust_accuracy", sum(fallen.values()), len(fallen))
                found.append({
                    "model": model, "set": " + ".join(names), "kind": "worst case", "epsilon": float(fraction(text)),
                    "metric": one.metric, "value": one.value, "n": one.n, "k": one.k, "low": one.low, "high": one.high,
                    "threat": {"attack": "worst of the sets", "norm": norm, "epsilon": text, "knowledge": None, "notes": []},
                })  # fmt: skip
        return found


def _bar(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    if name not in ANSWERS:
        raise CommandError(f"--fail-under {text}: takes {' or '.join(f'{one}=X' for one in ANSWERS)}")
    try:
        bar = float(fraction(value))
    except ValueError:
        raise CommandError(f"--fail-under {text}: {value!r} is not a number") from None
    if not 0 <= bar <= 1:
        raise CommandError(f"--fail-under {text}: a rate lies between 0 and 1")
    return name, bar


def _passes(name: str, bar: float, rows: list[dict[str, Any]], talk: Talk) -> bool:
    kind = "clean" if name == "accuracy" else "worst case"
    values = [row["value"] for row in rows if row["metric"] == name and row["kind"] == kind]
    if not values:
        raise CommandError(f"--fail-under {name}: this run computes no {name}; give it {'clean data' if kind == 'clean' else 'an adversarial set'}")
    if min(values) < bar:
        talk.warn(f"{name} is {min(values):.1%}, below {bar:.1%}")
    return min(values) >= bar

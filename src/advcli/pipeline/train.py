"""`train`: images in, a model out; what was asked for, resolved, and the rules for what is written."""

import hashlib
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from advcli import catalog, modelfile, stack, storage
from advcli.dataset import Dataset
from advcli.errors import CommandError, InputError
from advcli.parameters import (
    Classes,
    Data,
    Device,
    DryRun,
    Force,
    ImageSize,
    Limit,
    Output,
    Param,
    PerClass,
    Seed,
)
from advcli.pipeline import inputs, outputs
from advcli.pipeline.estimate import Estimate
from advcli.pipeline.trainer import Trainer
from advcli.registry import Bound, refuse_unknown
from advcli.talk import SILENT, Talk

SHOWN = 48_000  # pictures that the automatic number of epochs shows, within 3 and 40 epochs


def train(
    *,
    data: Data = None,
    recipe: Annotated[str, Param("How to train: a recipe of the list, or package.module:function.", form="NAME")] = "standard",
    arch: Annotated[str, Param("The architecture: one of the list, or package.module:function.", form="NAME")] = "cnn",
    epochs: Annotated[int | None, Param("Passes over the data. [default: 3 to 40 by the size of the data]", low=1)] = None,
    lr: Annotated[float, Param("Learning rate of Adam.", low=0, high=1000)] = 0.002,
    weight_decay: Annotated[float, Param("Weight decay.", low=0, high=1000)] = 0.0,
    batch_size: Annotated[int, Param("Images in one step.", low=1)] = 64,
    limit: Limit = None,
    per_class: PerClass = None,
    classes: Classes = None,
    image_size: ImageSize = None,
    seed: Seed = 0,
    device: Device = "auto",
    output: Output = None,
    force: Force = False,
    dry_run: DryRun = False,
    talk: Talk = SILENT,
    **options: object,
) -> Path | Estimate:
    """Train a classifier.

    The result is model.safetensors, with its log beside it.
    """
    given = inputs.checked("train", {k: v for k, v in locals().items() if k not in ("options", "talk")})
    objective, network = split_options(recipe, arch, options)
    images = inputs.open_data(data, None, classes=classes, limit=limit, per_class=per_class, image_size=image_size)
    if images.split != "train":
        raise InputError(f"{images.name}: holds the {images.split} split; only training images may enter training")
    if (images.labels < 0).any():
        raise InputError(f"{images.name}: row {int(np.argmax(images.labels < 0))} has no label to learn")
    if len(images.classes) < 2:
        raise InputError(f"{images.name}: has one class only ({images.classes[0]}); a classifier needs two")
    if images.origin["name"] == "file":
        refuse_repeats(images)
    chosen = find_epochs(given["epochs"], len(images))
    with inputs.threads(images.shape):
        return _train(images, objective, network, given, chosen, talk)


def _train(images: Dataset, objective: Bound, network: Bound, given: dict[str, Any], chosen: int, talk: Talk) -> Path | Estimate:
    """Train with everything resolved."""
    where, arch = inputs.find_device(given["device"]), given["arch"]
    names = ("lr", "weight_decay", "batch_size", "seed")
    made = outputs.made(
        "train",
        method=given["recipe"],
        parameters={**objective.parameters, **network.parameters},
        options={"arch": arch, "epochs": chosen, **{k: given[k] for k in names}},
        parents=[],
        data=images.origin,
        environment=inputs.environment(where, given["batch_size"]),
    )
    path = outputs.target(given["output"], inputs.MODEL)
    journal = path.with_suffix(".log.jsonl")
    if journal.exists() and not path.exists() and not given["force"] and b'"epoch"' not in journal.read_bytes()[:100]:
        raise CommandError(f"{journal}: stands there and is no log of advcli's; --force replaces it, -o names another model")
    trainer = Trainer(images, objective, network, given, chosen, where)
    if given["dry_run"]:
        return trainer.estimate()
    with storage.locked(path):
        parts = outputs.Parts.of(path)
        if not outputs.finished(path, made, default_name=given["output"] is None, force=given["force"], talk=talk):
            parts.begin(made, talk)
            log = trainer.fit(validation(images, given), parts, talk)
            document = trainer.recipe(arch, made, log[-1])
            outputs.log_lines(journal, log)
            modelfile.write(path, document, stack.classifier_of(trainer.model).network.state_dict())
        parts.remove()
    return path


def refuse_repeats(images: Dataset) -> None:
    """Every picture of a file once, and every source row once: what is there twice would count twice."""
    seen: dict[bytes, int] = {}
    for start in range(0, len(images) if images.kind == "clean" else 0, 1024):
        for row, pixels in enumerate(images.batch(start, start + 1024)[0], start):
            first = seen.setdefault(hashlib.blake2b(pixels.numpy().tobytes(), digest_size=16).digest(), row)
            if first != row:
                raise InputError(f"{images.name}: /images, row {row}: the same picture as row {first}; remove one of them")


def split_options(recipe: str, arch: str, options: dict[str, object]) -> tuple[Bound, Bound]:
    """Which options are the recipe's and which the architecture's; others are refused by name."""
    first, second = catalog.spec("recipe", recipe), catalog.spec("architecture", arch)
    refuse_unknown(f"{recipe} on {arch}", options, (*first.options, *second.options))
    mine = {k: v for k, v in options.items() if first.option(k)}
    return first.bind(mine), second.bind({k: v for k, v in options.items() if k not in mine})


def find_epochs(given: int | None, count: int) -> int:
    return given or min(40, max(3, round(SHOWN / count)))


def validation(images: Dataset, given: dict[str, Any]) -> Dataset | None:
    """The validation split of the same source; an image-set file has none."""
    if images.origin["name"] == "file":
        return None
    name = (given["data"] or "digits").removesuffix(":train")
    kept = {k: given[k] for k in ("classes", "image_size")}
    try:
        return inputs.open_data(name, "val", **kept).for_classes(images.classes, "the training set")
    except InputError:
        return None  # a small folder may have no validation pictures

"""`train`: images in, a model out. The one training loop; recipes are per-sample losses that it calls."""

import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor, nn

from advcli import catalog, modelfile, stack, storage
from advcli.arrays import Array
from advcli.dataset import Dataset
from advcli.errors import AdvcliError, CommandError, InputError
from advcli.interval import exact_interval
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
from advcli.registry import Bound, refuse_unknown
from advcli.rng import SampleRNG
from advcli.stack import frozen
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
        if not outputs.finished(path, made, default_name=given["output"] is None, force=given["force"], talk=talk):
            log = trainer.fit(validation(images, given), talk)
            document = trainer.recipe(arch, made, log[-1])
            outputs.log_lines(journal, log)
            modelfile.write(path, document, stack.classifier_of(trainer.model).network.state_dict())
    return path


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


class Trainer:
    """The one loop: order by seed, loss by recipe, one line of log per epoch."""

    def __init__(
        self, data: Dataset, objective: Bound, network: Bound, given: dict[str, Any], epochs: int, device: torch.device
    ) -> None:
        self.data, self.objective, self.network, self.given = data, objective, network, given
        self.epochs, self.device, self.seed = epochs, device, int(given["seed"])
        self.pixels = [0.0] * data.shape[0], [1.0] * data.shape[0]
        with torch.random.fork_rng(devices=[]):
            torch.random.manual_seed(self.seed)  # inside the fork: the caller's random state stays as it is
            net = network(data.shape, len(data.classes))
        self.model: nn.Module = stack.Classifier(net, *self.pixels).to(device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=given["lr"], weight_decay=given["weight_decay"])

    def fit(self, val: Dataset | None, talk: Talk) -> list[dict[str, Any]]:
        """Train; the log has a line per epoch."""
        log = []
        with talk.progress("training", self.epochs * len(self.data), "images") as tick:
            for epoch in range(self.epochs):
                begin, total = time.perf_counter(), 0.0
                for places in self._order(epoch):
                    total += self._step(epoch, places) * len(places)
                    tick(len(places), f"epoch {epoch + 1}/{self.epochs}")
                seconds = round(time.perf_counter() - begin, 3)
                line = {"epoch": epoch + 1, "loss": total / len(self.data), "seconds": seconds}
                k, n = self.accuracy(val) if val else (0, 0)
                log.append({**line, "val": {"k": k, "n": n}})
                tick(0, f"epoch {epoch + 1}/{self.epochs}, loss {line['loss']:.3f}")
        if val:
            low, high = exact_interval(k, n)
            talk.note(f"validation accuracy {k / n:.1%} ({k} of {n}; 95 % interval {low:.1%} to {high:.1%})")
        return log

    def _order(self, epoch: int) -> list[Array]:
        """The batches of one epoch, shuffled by seed and epoch alone."""
        ids = torch.arange(len(self.data))
        drawn = SampleRNG(self.seed, ids, ("order", str(epoch))).bits(1)[:, 0]
        order = drawn.argsort(stable=True).numpy()
        size = self.given["batch_size"]
        return [order[i : i + size] for i in range(0, len(order), size)]

    def _step(self, epoch: int, places: Array) -> float:
        x = self.data.read(places).to(self.device)
        label = torch.from_numpy(self.data.labels[places]).to(self.device)
        ids = torch.from_numpy(self.data.index[places]).to(self.device)
        rng = SampleRNG(self.seed, ids, ("training", str(epoch)))
        self.model.train()
        loss: Tensor = self.objective(self.model, x, label, rng=rng).mean()
        self.optimizer.zero_grad(set_to_none=True)
        if not bool(torch.isfinite(loss)):
            raise AdvcliError(f"training: the loss became {float(loss.detach())} in epoch {epoch + 1}; a lower --lr may help")
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.optimizer.step()
        return float(loss.detach())

    def accuracy(self, data: Dataset) -> tuple[int, int]:
        """How many images of a set the model has right, of how many."""
        right = 0
        with frozen(self.model), torch.no_grad():
            for start in range(0, len(data), 512):
                x, label = data.batch(start, start + 512)
                right += int((self.model(x.to(self.device)).argmax(1).cpu() == label).sum())
        return right, len(data)

    def recipe(self, arch: str, made: dict[str, Any], last: dict[str, Any]) -> dict[str, Any]:
        """The model file's document."""
        mean, std = self.pixels
        return {
            "format": "advcli/model/1",
            "arch": {"name": arch, "parameters": self.network.parameters},
            "input": list(self.data.shape),
            "classes": list(self.data.classes),
            "normalize": {"mean": mean, "std": std},
            "defenses": [],
            "figures": {"accuracy": {"split": "val", **last["val"]}},
            "data": self.data.origin,
            "made": made,
        }

    def estimate(self) -> Estimate:
        """Time by a few steps."""
        batches = self._order(0)
        self._step(0, batches[0])
        begin, count = time.perf_counter(), min(5, len(batches))
        for places in batches[:count]:
            self._step(0, places)
        seconds = (time.perf_counter() - begin) / count * len(batches) * self.epochs
        size = sum(t.numel() * t.element_size() for t in self.model.state_dict().values())
        return Estimate(len(self.data), size, seconds)

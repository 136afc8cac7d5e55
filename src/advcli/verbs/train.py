"""`train`: makes a model from images; resolves the options, and decides what is written."""

import hashlib
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from advcli.catalog import discovery
from advcli.catalog.registry import Bound, refuse_unknown
from advcli.catalog.requests import TrainRequest
from advcli.errors import CommandError, Empty, InputError
from advcli.files import atomic, sandbox
from advcli.files.imageset_reader import content_digest
from advcli.files.parts import Parts, log_lines
from advcli.files.provenance import provenance_of
from advcli.images.dataset import Dataset, missing_classes
from advcli.networks import architecture, model_file
from advcli.networks.classifier import Classifier, classifier_of
from advcli.networks.graph_network import GRAPH
from advcli.runtime import devices
from advcli.runtime.estimate import Estimate
from advcli.runtime.reporter import SILENT, Reporter
from advcli.training import monitor
from advcli.training.before_training import check_before_training
from advcli.training.channels import numbers
from advcli.training.initial_weights import open_teacher, start_weights
from advcli.training.loop import Trainer
from advcli.training.monitor import Log
from advcli.training.optimizer import freeze
from advcli.training.plan import Plan, filters
from advcli.training.scikit_fit import fit, is_fitted, refuse_loop_options
from advcli.training.training_options import TrainingOptions
from advcli.training.usual_normalisation import usual
from advcli.verbs.adversarial_data import with_adversarial
from advcli.verbs.fooling_data import with_fooling
from advcli.workspace import inputs, outputs


def train(asked: TrainRequest, own: dict[str, object], reporter: Reporter = SILENT) -> Path | Estimate:
    """Train a classifier."""
    discovery.allow(asked.allow)
    arch, own = _architecture(asked, own, reporter)
    asked = replace(asked, arch=arch)
    objective, network = split_options(asked.recipe, arch, own)
    if network.spec.traits.fitted:
        refuse_loop_options(asked)
    asked.refuse_idle(objective.spec)
    if objective.spec.has("teacher") and not asked.teacher:
        raise CommandError(f"{asked.recipe}: needs a model to learn from; give --teacher FILE")
    monitor.resolved(objective, 1)  # refuses what it cannot train against before anything is read
    TrainingOptions.resolved(asked, 1)  # refuses what does not go together
    images = inputs.open_data(asked.data, None, asked, reporter=reporter)
    if images.split != "train":
        raise InputError(f"{images.name}: holds the {images.split} split; training uses training images only")
    if (images.labels < 0).any():
        raise InputError(f"{images.name}: row {int(np.argmax(images.labels < 0))} has no label")
    if len(set(images.labels.tolist())) < 2:
        only = images.classes[int(images.labels[0])]
        raise InputError(f"{images.name}: has images of one class only ({only}); a classifier needs two")
    if few := missing_classes(f"{images.name}:{images.split}", images.labels, images.classes, images.classes):
        reporter.warn(few)
    if images.origin["name"] == "file":
        refuse_repeats(images)
    images = with_adversarial(with_fooling(images, asked, reporter), asked, reporter)
    options = TrainingOptions.resolved(asked, len(images))
    objective = monitor.resolved(objective, images.shape[0])
    with devices.threads(images.shape):
        return _train(images, objective, network, asked, options, reporter)


def _architecture(asked: TrainRequest, own: dict[str, object], reporter: Reporter) -> tuple[str, dict[str, object]]:
    """The architecture and the options: as given, those of the model of --weights, or the default."""
    assumed = next(str(one.param.assumed) for one in TrainRequest.options() if one.name == "arch")
    path = Path(asked.weights or "")
    if asked.arch or path.suffix != ".safetensors" or not model_file.peek(path):
        return asked.arch or assumed, own
    found = model_file.read(path).metadata["arch"]
    if GRAPH in found or "answers" in found:  # its own error is better than that of an unknown architecture
        return assumed, own
    name = discovery.from_file("architecture", found["name"]).name
    reporter.note(f"architecture: {name}, that of {asked.weights}")
    return name, {**found["parameters"], **own}


RECORDED = ("arch", "preprocess", "pretrained", "freeze_until", "mean", "std")


def _train(
    images: Dataset, objective: Bound, network: Bound, asked: TrainRequest, options: TrainingOptions, reporter: Reporter
) -> Path | Estimate:
    """Train with every option resolved."""
    where = devices.find_device(asked.device)
    recorded = {**asdict(options), **{name: getattr(asked, name) for name in RECORDED}}
    if options.optimizer != "sgd":
        del recorded["momentum"]
    parents = [{"role": "weights", "digest": sandbox.digest_of(asked.weights)}] if asked.weights else []
    for role, files in (("augment-adv", asked.augment_adv), ("fooling", asked.fooling)):
        parents += [{"role": role, "digest": content_digest(Path(path))} for path in files]
    teacher = open_teacher(asked.teacher, images, objective.spec.traits.behind) if asked.teacher else None
    parents += [{"role": "teacher", "digest": teacher.digest}] if teacher else []
    made = provenance_of(
        "train",
        method=asked.recipe,
        parameters={**objective.parameters, **network.parameters},
        options=recorded,
        parents=parents,
        data=images.origin,
        environment=devices.environment(where, options.batch_size),
    )
    path = outputs.output_path(asked.output, inputs.MODEL)
    outputs.keep_inputs([path], [asked.weights, asked.teacher, asked.data, *asked.augment_adv, *asked.fooling])
    journal = path.with_suffix(".log.jsonl")
    if journal.exists() and not path.exists() and not asked.force:
        with sandbox.regular(journal) as file:
            if b'"epoch"' not in file.read(100):
                raise outputs.taken(journal, " and is no log of advcli's")
    plan = _plan(images, objective, network, asked, options, teacher.module() if teacher else None, where, reporter)
    metadata = {**_metadata(plan, network, filters(asked.preprocess)), "figures": {}, "data": images.origin, "made": made}
    check_before_training(plan, path, metadata)
    if asked.dry_run:
        return Estimate(len(images), 0, 0.0) if is_fitted(plan) else Trainer(plan).estimate()
    with atomic.locked(path), atomic.locked(journal):
        parts = Parts.of(path)
        if not outputs.is_finished(path, made, default_name=asked.output is None, force=asked.force, reporter=reporter):
            parts.begin(made, reporter)
            keep_log = partial(log_lines, journal)
            log = (
                fit(plan, network.spec.name, keep_log, reporter)
                if is_fitted(plan)
                else Trainer(plan).fit(parts, keep_log, reporter)
            )
            weights = classifier_of(plan.model).network.state_dict()
            model_file.write(path, {**metadata, "figures": figures(plan, log)}, weights)
        parts.remove()
    return path


def _plan(
    images: Dataset,
    objective: Bound,
    network: Bound,
    asked: TrainRequest,
    options: TrainingOptions,
    teacher: nn.Module | None,
    where: torch.device,
    reporter: Reporter,
) -> Plan:
    """The initial model behind its filters, and its training data."""
    val = validation(images, asked)
    for name in ("patience", "stop_at"):
        if getattr(options, name) is not None and val is None:
            raise CommandError(f"--{name.replace('_', '-')}: needs validation images, and {images.name} has none")
    if options.keep == "best" and val is None:
        raise CommandError(f"--keep best: needs validation images, and {images.name} has none")
    with torch.random.fork_rng(devices=[]):
        torch.random.manual_seed(options.seed)  # inside the fork: the caller's random state stays as it is
        net = architecture.network(network, images.shape, len(images.classes))
    known = start_weights(net, asked, reporter)
    known = known or usual(str(asked.arch), net, images.shape[0], (asked.mean, asked.std), reporter)
    mean = numbers(asked.mean, images.shape[0], known.get("mean", 0.0), "mean")
    std = numbers(asked.std, images.shape[0], known.get("std", 1.0), "std")
    model: nn.Module = Classifier(net, mean, std, shape=images.shape, classes=len(images.classes))
    before = filters(asked.preprocess)
    for one in before:
        model = one(model)
    still, threat = freeze(net, asked.freeze_until), monitor.training_budget(objective, images.shape[0])
    if threat and val is None:
        reporter.warn(f"{images.name} has no validation images: nothing tells whether the network overfits the attack")
    draws = any(one.spec.traits.random for one in before)
    loss = partial(objective.spec.load(), **objective.parameters)
    replays = int(objective.parameters.get("replays", 1))
    return Plan(images, val, loss, objective.spec.given, model, still, options, where, teacher, threat, draws, replays)


def _metadata(plan: Plan, network: Bound, before: list[Bound]) -> dict[str, Any]:
    """The metadata of the model itself."""
    classifier = classifier_of(plan.model)
    return {
        "format": "advcli/model/1",
        "arch": {"name": network.spec.name, "parameters": network.parameters},
        "input": list(plan.data.shape),
        "classes": list(plan.data.classes),
        "normalize": {name: getattr(classifier, name).flatten().tolist() for name in ("mean", "std")},
        "defenses": [{"name": one.spec.name, "parameters": one.parameters} for one in before],
    }


def figures(plan: Plan, log: Log) -> dict[str, Any]:
    """The images behind the model's accuracy; with --keep best, that they also chose the weights."""
    if plan.val is None:
        return {}
    kept = log[monitor.kept_epoch(log, plan.options.keep)]
    by = "best epoch" if plan.options.keep == "best" else "stop-at" if plan.options.stop_at is not None else None
    whose = {"split": "val", "data": plan.val.name}
    found = {"accuracy": {**whose, **kept["val"], "chosen_by": by}}
    if "attacked" in kept:  # without its seconds: equal commands make equal bytes
        found["attacked"] = {**whose, **{k: v for k, v in kept["attacked"].items() if k != "seconds"}, "chosen_by": by}
    return found


def refuse_repeats(images: Dataset) -> None:
    """Refuse a file that repeats an image or a source row, since it would count twice."""
    seen: dict[bytes, int] = {}
    for start in range(0, len(images) if images.kind in ("clean", "unknown") else 0, 1024):
        for row, pixels in enumerate(images.batch(start, start + 1024)[0], start):
            first = seen.setdefault(hashlib.blake2b(pixels.numpy().tobytes(), digest_size=16).digest(), row)
            if first != row:
                raise InputError(f"{images.name}: /images, row {row}: the same image as row {first}; remove one of them")


def split_options(recipe: str, arch: str, options: dict[str, object]) -> tuple[Bound, Bound]:
    """Split the options into the recipe's and the architecture's; others are refused by name."""
    first, second = discovery.spec("recipe", recipe), discovery.spec("architecture", arch)
    refuse_unknown(f"{recipe} on {arch}", options, (*first.options, *second.options))
    mine = {k: v for k, v in options.items() if first.option(k)}
    return first.bind(mine), second.bind({k: v for k, v in options.items() if k not in mine})


def validation(images: Dataset, asked: TrainRequest) -> Dataset | None:
    """The validation split of the same source; an image-set file has none."""
    if images.origin["name"] == "file":
        return None
    name, every = (asked.data or "digits").removesuffix(":train"), replace(asked, limit=None, per_class=None, part=None)
    try:
        found = inputs.open_data(name, "val", every).for_classes(images.classes, "the training set")
        labelled = np.flatnonzero(found.labels >= 0)
        return found if len(labelled) == len(found) else found.rows(labelled) if len(labelled) else None
    except Empty:
        return None  # a small folder may have no validation images

"""Training without a loop: scikit-learn fits all images at once, and what it found is kept as arrays."""

import time
from collections.abc import Callable
from typing import Any

import torch

from advcli.catalog.requests import TrainRequest
from advcli.errors import CommandError
from advcli.networks import classifier
from advcli.networks.scikit_learn import Fitted
from advcli.numerics.arrays import Array
from advcli.numerics.rng import SampleRNG
from advcli.runtime.reporter import Talk
from advcli.training import monitor
from advcli.training.loop import Plan
from advcli.training.monitor import Log

LOOP = ("recipe", "epochs", "batch_size", "optimizer", "lr", "schedule", "momentum", "weight_decay", "clip", "ema", "augment",
        "keep", "patience", "stop_at", "teacher", "weights", "pretrained", "freeze_until", "precision")  # fmt: skip
BATCH = 1024


def is_fitted(plan: Plan) -> bool:
    """Whether scikit-learn fits the model, and no loop trains it."""
    return isinstance(classifier.classifier_of(plan.model).network, Fitted)


def refuse_loop_options(given: dict[str, Any]) -> None:
    """Options of the loop would do nothing."""
    for one in TrainRequest.options():
        if one.name in LOOP and given[one.name] != one.default:
            raise CommandError(f"{given['arch']} has no option {one.flag}: scikit-learn fits it, no loop trains it")


def fit(plan: Plan, publish_log: Callable[[Log], None], talk: Talk) -> Log:
    """Fit what the classifier sees behind its filters and its normalisation; the log has one line."""
    begin, network = time.perf_counter(), classifier.classifier_of(plan.model).network
    assert isinstance(network, Fitted)  # is_fitted said so
    talk.note(f"{plan.given['arch']}: scikit-learn fits {len(plan.data)} images")
    network.fit(_seen(plan, network), plan.data.labels, plan.given["seed"])
    plan.model.to(plan.device)
    k, n = monitor.accuracy(plan.model, plan.val, plan.device, plan.given["seed"]) if plan.val else (0, 0)
    log = [{"epoch": 1, "images": len(plan.data), "seconds": round(time.perf_counter() - begin, 3), "val": {"k": k, "n": n}}]
    publish_log(log)
    monitor.say(log, "last", talk)
    return log


def _seen(plan: Plan, network: Fitted) -> Array:
    """(N, D) what comes to the network."""
    pieces: list[torch.Tensor] = []
    hook = network.register_forward_pre_hook(lambda _, given: pieces.append(given[0].flatten(1)))
    with torch.no_grad():
        for start in range(0, len(plan.data), BATCH):
            ids = torch.from_numpy(plan.data.index[start : start + BATCH])
            rng = SampleRNG(plan.given["seed"], ids, ("training", "0"))
            plan.model(plan.data.batch(start, start + BATCH)[0], rng)
    hook.remove()
    found: Array = torch.cat(pieces).numpy()
    return found

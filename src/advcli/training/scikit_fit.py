"""Training by scikit-learn, which fits all images at once; the result is kept as arrays."""

import time
from collections.abc import Callable

import torch

from advcli.catalog.request_parts import TrainingLoop
from advcli.catalog.requests import TrainRequest
from advcli.errors import CommandError
from advcli.images.passes import passes
from advcli.networks import classifier
from advcli.networks.scikit_learn import Fitted
from advcli.numerics.arrays import Array
from advcli.numerics.rng import Purpose
from advcli.runtime.reporter import Reporter
from advcli.training import monitor
from advcli.training.monitor import Log
from advcli.training.plan import Plan

BATCH = 1024


def is_fitted(plan: Plan) -> bool:
    """True if scikit-learn fits the model, instead of the loop."""
    return isinstance(classifier.classifier_of(plan.model).network, Fitted)


def refuse_loop_options(asked: TrainRequest) -> None:
    """Refuse options of the training loop, which have no effect here."""
    loop = {one.name for one in TrainingLoop.options()} - {"preprocess"} | {"recipe", "batch_size"}
    for one in TrainRequest.options():
        if one.name in loop and getattr(asked, one.name) != one.default:
            raise CommandError(f"{asked.arch} has no option {one.flag}: scikit-learn fits it")


def fit(plan: Plan, name: str, publish_log: Callable[[Log], None], reporter: Reporter) -> Log:
    """Fit on the images after filters and normalisation; the log has one line."""
    begin, network = time.perf_counter(), classifier.classifier_of(plan.model).network
    assert isinstance(network, Fitted)  # is_fitted said so
    reporter.note(f"{name}: scikit-learn fits {len(plan.data)} images")
    network.fit(_seen(plan, network), plan.data.labels, plan.options.seed)
    plan.model.to(plan.device)
    k, n = monitor.accuracy(plan.model, plan.val, plan.device, plan.options.seed) if plan.val else (0, 0)
    log = [{"epoch": 1, "images": len(plan.data), "seconds": round(time.perf_counter() - begin, 3), "val": {"k": k, "n": n}}]
    publish_log(log)
    monitor.report_figures(log, "last", reporter)
    return log


def _seen(plan: Plan, network: Fitted) -> Array:
    """(N, D) the network's inputs."""
    pieces: list[torch.Tensor] = []
    hook = network.register_forward_pre_hook(lambda _, given: pieces.append(given[0].flatten(1)))
    with torch.no_grad():
        path, cpu = (Purpose.TRAINING, "0"), torch.device("cpu")
        for part in passes(plan.data.pictures, plan.data.index, BATCH, cpu, plan.options.seed, path):
            plan.model(part.x, part.draws)
    hook.remove()
    found: Array = torch.cat(pieces).numpy()
    return found

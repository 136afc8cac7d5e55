"""Monitors a training: accuracy on validation images after every epoch, clean and, in adversarial training, under attack.

A network that is trained against one step only can learn to mask that step: its accuracy under FGSM is then high, under
PGD near zero (catastrophic overfitting, arXiv:2001.03994). So every line of the log has both, beside the accuracy on the same
images without attack. Attacks and verdicts are those of the verb `attack`.
"""

import time
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import nn

from advcli.catalog import discovery
from advcli.catalog.registry import Bound
from advcli.images.dataset import Dataset
from advcli.images.passes import passes
from advcli.networks.classifier import frozen
from advcli.numerics.intervals import exact_interval
from advcli.numerics.quantities import BUDGETS, Budget, budget
from advcli.numerics.rng import Purpose
from advcli.runtime.reporter import Reporter
from advcli.search.batch import craft
from advcli.search.job import Job
from advcli.training.inner_attack import inner_attack

Log = list[dict[str, Any]]
SEEN = 500  # the first validation images
STEPS = 10
MOST_NUMBERS = 1 << 21  # in a batch
MANY = f"pgd-{STEPS}"


@dataclass(frozen=True, slots=True)
class TrainingBudget:
    """The ball that a recipe trains against."""

    norm: str
    eps: Budget

    @property
    def attacks(self) -> dict[str, Bound]:
        """One step and many; what is measured is named by their names."""
        if self.norm == "linf":
            one = discovery.spec("attack", "fgsm").bind({})
        else:
            one = discovery.spec("attack", "fgm").bind({"norm": self.norm})
        if self.norm == "raw":
            return {one.spec.name: one}
        return {one.spec.name: one, MANY: discovery.spec("attack", "pgd").bind({"norm": self.norm, "steps": STEPS})}


def accuracy(model: nn.Module, data: Dataset, device: torch.device, seed: int) -> tuple[int, int]:
    """(correct, total) of a model on a set."""
    right = 0
    with frozen(model), torch.no_grad():
        for part in passes(data.pictures, data.index, at_once(data), device, seed, (Purpose.VALIDATION,)):
            decided = model(part.x, part.draws).argmax(1).cpu().numpy()
            right += int((decided == data.labels[part.places]).sum())
    return right, len(data)


def at_once(data: Dataset) -> int:
    """Images in a batch."""
    return max(16, min(512, MOST_NUMBERS // prod(data.shape)))


def resolved(objective: Bound, channels: int) -> Bound:
    """The recipe with its budget filled in: the default depends on grey or colour images."""
    more = {}
    if "against" in objective.parameters:
        more["against"] = inner_attack(objective.parameters["against"], channels).spelled
    elif objective.parameters.get("eps", "") is None:
        more["eps"] = BUDGETS[norm_of(objective)][channels == 3]
    return Bound(objective.spec, objective.parameters | more)


def training_budget(objective: Bound, channels: int) -> TrainingBudget | None:
    """The ball that a recipe trains against: that of its inner attack, or of its own eps and norm."""
    if "against" in objective.parameters:
        one = inner_attack(objective.parameters["against"], channels)
        return TrainingBudget(one.norm, one.eps)
    if "eps" in objective.parameters:
        return TrainingBudget(norm_of(objective), budget(str(objective.parameters["eps"])))
    return None


def norm_of(objective: Bound) -> str:
    return str(objective.parameters.get("norm", "linf"))


def validate_under_attack(
    model: nn.Module, training_budget: TrainingBudget, val: Dataset, device: torch.device, seed: int, draws: bool
) -> dict[str, Any]:
    """How many of the first validation images are correct, clean and under each attack, and the seconds it took."""
    begin, seen, step = time.perf_counter(), val.selected(None, SEEN, None), at_once(val)
    found: dict[str, Any] = {"norm": training_budget.norm, "eps": training_budget.eps.text, "n": len(seen)}
    with frozen(model):
        for name, method in training_budget.attacks.items():
            job = Job(model, method, training_budget.norm, (training_budget.eps,), None, "true", seed, device, random_model=draws)
            right = {"clean": 0, name: 0}
            for start in range(0, len(seen), step):
                columns = craft(job, seen, start, min(start + step, len(seen)))
                right["clean"] += int((columns["clean_prediction"] == columns["labels"]).sum())
                right[name] += int((columns["prediction"] == columns["labels"]).sum())
            found |= right
    return {**found, "seconds": round(time.perf_counter() - begin, 3)}


def rank(line: dict[str, Any]) -> tuple[int, ...]:
    """The order of epochs: first correct images under PGD, if that is measured, then correct images."""
    return line.get("attacked", {}).get(MANY, 0), line["val"]["k"]


def kept_epoch(log: Log, keep: str) -> int:
    """The index of the epoch whose weights are kept: the last, or the first of the best."""
    ranks = [rank(line) for line in log]
    return ranks.index(max(ranks)) if keep == "best" else len(log) - 1


def is_blinded(line: dict[str, Any]) -> bool:
    """True if the network resists one step but not many: catastrophic overfitting."""
    under = line.get("attacked", {})
    return bool(MANY in under and 2 * under[MANY] < under[one_step(under)] > under["clean"] / 4)


def one_step(under: dict[str, Any]) -> str:
    return "fgsm" if "fgsm" in under else "fgm"


def report_figures(log: Log, keep: str, reporter: Reporter) -> None:
    """Report the figures of the kept weights, and warn of catastrophic overfitting."""
    line, last = log[kept_epoch(log, keep)], log[-1]
    k, n = line["val"]["k"], line["val"]["n"]
    if n:
        reporter.note(f"validation accuracy {accuracy_text(k, n)}")
    if "attacked" in line:
        under = line["attacked"]
        for name in (one for one in (one_step(under), MANY) if one in under):
            reporter.note(f"under {name} at {under['norm']} {under['eps']} {accuracy_text(under[name], under['n'])}")
    if is_blinded(last):
        under = last["attacked"]
        held = f"{under[one_step(under)]} of {under['n']} hold against one step, {under[MANY]} against {STEPS}"
        advice = "take more steps (--against pgd:steps=10), or the best epoch (--keep best)"
        advice = advice if is_blinded(line) else f"kept is epoch {line['epoch']}, the best under {MANY}"
        reporter.warn(f"caught overfitting to one step: after epoch {last['epoch']} {held}\n{advice}")


def accuracy_text(k: int, n: int) -> str:
    low, high = exact_interval(k, n)
    return f"{k / n:.1%} ({k} of {n}; 95 % interval {low:.1%} to {high:.1%})"

"""One batch of an attack: from images to the rows of the adversarial set.

The attack proposes points, and the verdict decides: every proposal is projected into the ball, rounded with --quantize, and
judged by one forward pass of the plain float32 model on the values that will be stored. A row that stopped early and that the
verdict refused is attacked again at full strength.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from advcli.images.dataset import Dataset
from advcli.networks.rejection import split
from advcli.numerics.arrays import Array
from advcli.numerics.pixels import as_bytes
from advcli.numerics.rng import Purpose, SampleRNG
from advcli.search.attempts import BestAttempts, Record
from advcli.search.call import target_classes
from advcli.search.goal import Goal
from advcli.search.job import Job
from advcli.search.procedure import Attempt
from advcli.search.victim import Tally, Victim


class Rows(NamedTuple):
    """(budgets, images) the rows of one target."""

    points: Tensor
    busy: Tensor  # (images) whether it was attacked
    success: Tensor
    decision: Tensor
    stage: Tensor  # which one broke it
    on_the_way: Tensor  # whether the search saw it reach the goal
    rising: Tensor  # whether its margin still grew fast enough
    records: list[Record]  # how each image evolved, if it did


def targets(job: Job, label: Tensor, logits: Tensor, ids: Tensor) -> list[Tensor | None]:
    """The target of every image, for each of its rows; None for an untargeted attack."""
    classes, rule = logits.shape[1], job.target
    if rule is None:
        return [None]
    if rule == "other":
        return [k + (k >= label).long() for k in range(classes - 1)]
    if rule == "all" and not job.from_images:
        return [ids % classes]  # one class for each picture, all classes in one batch
    if rule == "all":
        return [torch.full_like(label, k) for k in range(classes)]
    return [target_classes(rule, label, logits, SampleRNG(job.seed, ids, (Purpose.TARGET,)))]


def craft(job: Job, data: Dataset, start: int, stop: int) -> dict[str, Array]:
    """The finished columns of one batch: rows by original, then target, then budget."""
    x, truth = (part.to(job.device) for part in data.batch(start, stop))
    ids = torch.from_numpy(data.index[start:stop]).to(job.device)
    clean = job.verdict(x, ids)
    decided = job.decide(clean)
    scores, _ = split(clean, job.rejects)
    label = torch.where(truth < 0, decided, truth) if job.label == "true" else decided
    free = torch.full_like(decided, not job.from_images, dtype=torch.bool)  # has no class that it could be wrong about
    right = free | ((decided == truth) | (truth < 0)) & (decided >= 0)
    # what a model draws for one verdict may have an image wrong that it has right the next time
    open_ = right | (truth >= 0) if job.random_model and job.label == "true" else right
    if job.moves_wrong:
        open_ = decided >= 0
    label = label.clamp_min(0)
    tally = Tally(len(x))
    wanted = targets(job, label, scores, ids)
    found: list[Rows] = []
    for number, target in enumerate(wanted):
        goal = Goal(label if target is None else target, target is not None, label, job.rejects, job.scale)
        busy = open_ if target is None else open_ & (free | (target != label))
        found.append(_rows(job, x, goal, busy, decided, ids, tally, number))
    success = [one.success & right for one in found]
    budgets, each = len(job.budgets), len(wanted) * len(job.budgets)
    missing = torch.full_like(label, -1)
    columns = {
        "images": interleaved([one.points for one in found]),
        "labels": truth.cpu().numpy().repeat(each),
        "index": data.index[start:stop].repeat(each),
        "originals": x.cpu().numpy(),
        "original": np.arange(start, start + len(x)).repeat(each),
        "target": interleaved([(missing if target is None else target).expand(budgets, -1) for target in wanted]),
        "epsilon": np.tile(_budgets(job), len(x) * len(wanted)),
        "success": interleaved(success).astype(np.uint8),
        "prediction": interleaved([one.decision for one in found]),
        "clean_prediction": decided.cpu().numpy().repeat(each),
        "queries": charged(tally.queries, each),
        "gradients": charged(tally.gradients, each),
    }
    if found[0].records:
        columns |= evolved(found[0].records)
    if job.stages:
        columns["stage"] = interleaved([one.stage for one in found])
    if job.observed:
        stands = [one.busy & ~one.success for one in found]
        seen = {"stands": stands, "on_the_way": [one.on_the_way for one in found], "rising": [one.rising for one in found]}
        for name, rows in seen.items():
            columns[name] = interleaved([a & b for a, b in zip(rows, stands, strict=True)]).astype(np.uint8)
    if data.eight_bit:
        columns["originals"] = as_bytes(columns["originals"])
    if job.store_bytes:
        columns["images"] = as_bytes(columns["images"])
    return {name: np.ascontiguousarray(values) for name, values in columns.items()}


def evolved(records: list[Record]) -> dict[str, Array]:
    """The confidence of every row by generation, and the texts of their genomes, one after the other."""
    columns = {"confidence": torch.stack([curve for curve, _ in records]).numpy()}
    texts = [text for _, text in records]
    if any(texts):
        columns["genome"] = np.array([len(text) for text in texts], np.int64)
        columns["genomes"] = np.frombuffer(b"".join(texts), np.uint8)
    return columns


def _budgets(job: Job) -> Array:
    """The budgets as the file stores them: NaN for a method without budgets."""
    found = np.array([one.value for one in job.budgets], np.float32)
    return np.where(np.isfinite(found), found, np.float32(np.nan))


def interleaved(parts: list[Tensor]) -> Array:
    """One (budgets, images, ...) for each target -> (images x targets x budgets, ...): the order of the rows."""
    found: Array = torch.stack(parts).movedim(2, 0).flatten(0, 2).cpu().numpy()
    return found


def charged(counts: Tensor, each: int) -> Array:
    """The cost of an image on its first row; 0 on the others."""
    found: Array = np.zeros((len(counts), each), np.int64)
    found[:, 0] = counts.numpy()
    return found.reshape(-1)


def _rows(job: Job, x: Tensor, goal: Goal, busy: Tensor, decided: Tensor, ids: Tensor, tally: Tally, number: int) -> "Rows":
    """The rows of all images for one target."""
    everyone = busy.nonzero()[:, 0]
    draws = SampleRNG(job.seed, ids[everyone], (Purpose.DEFENSE, str(number))) if job.random_model else None
    victim = Victim(job.searched, tally, everyone.cpu(), draws, job.eot, job.half, job.rejects)
    if job.substitute is not None:
        victim = Victim(job.substitute, Tally(len(x)), everyone.cpu(), None)  # what it costs, the model does not pay
    best = BestAttempts(job, x[everyone], goal[everyone], ids[everyone], decided[everyone])
    rng = SampleRNG(job.seed, ids[everyone], (Purpose.ATTACK, str(number)))
    attempts = job.procedure.attempts
    for restart in range(job.restarts):
        own = rng.fork("restart", restart)
        for one in attempts(job, best, victim, own, early_stop=job.early_stop):
            best.offer(Attempt(*one))
        if job.undefended is not None:
            plain = replace(victim, model=job.undefended, draws=None, eot=1, rejects=False)
            for one in attempts(job, best, plain, own, early_stop=False):
                best.offer(Attempt(*one))
    if job.retries:
        exact = replace(victim, half=False)
        for one in attempts(job, best, exact, rng.fork("again"), early_stop=False, refused=True):
            best.offer(Attempt(*one))

    def among_all(values: Tensor, others: Tensor) -> Tensor:
        """The values of the images that were attacked among those of all."""
        return others.expand(len(job.budgets), *x.shape[: 4 if values.ndim == 5 else 1]).clone().index_copy_(1, everyone, values)

    no = torch.zeros_like(busy)
    return Rows(
        points=among_all(best.points, x),
        busy=busy,
        success=among_all(best.success, no),
        decision=among_all(best.decision, decided),
        stage=among_all(best.stage.where(best.success, -1), torch.full_like(decided, -1)),
        on_the_way=among_all(best.on_the_way, no),
        rising=among_all(best.rising, no),
        records=[best.records[row] for row in sorted(best.records)],
    )

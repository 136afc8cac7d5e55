"""Universal perturbations: one for every budget, fitted on training images, written to a file, added to any images."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from advcli.catalog.registry import Bound
from advcli.catalog.requests import AttackRequest
from advcli.crafting.first_stage import FirstStage, FirstStageKind, provenance_of_fit
from advcli.crafting.run import Run
from advcli.errors import CommandError
from advcli.files import imageset_writer
from advcli.files.header import Header
from advcli.files.imageset_reader import ImageSet
from advcli.files.parts import Parts
from advcli.images.dataset import Dataset
from advcli.images.passes import passes
from advcli.networks.model_file import ModelFile
from advcli.numerics.arrays import Array
from advcli.numerics.balls import distance
from advcli.numerics.rng import Purpose, SampleRNG
from advcli.runtime.reporter import Reporter
from advcli.search.goal import Goal
from advcli.search.job import Job
from advcli.search.two_stage import FittingImages
from advcli.search.victim import Tally, Victim
from advcli.training.loader import Batches

AT_ONCE = 64  # images that pull together


def first_stage(path: Path, model: ModelFile, method: Bound, run: Run, images: Dataset, asked: AttackRequest) -> FirstStage:
    """The file of the perturbations, their fitting, and the job that adds them."""
    job = run.job
    if job.target is not None and not job.target.isdecimal():
        raise CommandError(f"--target {asked.target}: a universal perturbation needs a single target class; name one")
    beside = {name: run.made["options"].get(name) for name in ("eps", "target", "label", "eot", "precision")}
    made = provenance_of_fit(method.spec.name, method.parameters, beside, model, images, asked)
    kept = ("classes", "norm", "epsilon", "tolerance", "access", "victim")
    own = {**{name: run.about[name] for name in kept}, "kind": "universal", "split": images.split, "range": [-1, 1], "made": made}
    return FirstStage(
        path,
        made,
        fit=partial(fit_file, path, own, method, job, images),
        attach=partial(use_perturbations, path),
        placeholder=lambda job: replace(job, shared=torch.zeros(len(job.budgets), *images.shape, device=job.device)),
    )


def use_perturbations(path: Path, job: Job) -> tuple[Job, Header]:
    """The same job with the perturbations of the file."""
    with ImageSet(path) as opened:
        shared = opened.rows("images", 0, len(opened)).to(job.device)
        return replace(job, shared=shared), {"fitted": opened.header["fitted"]}


def fit_file(path: Path, header: Header, method: Bound, job: Job, data: Dataset, reporter: Reporter) -> None:
    """Fit one perturbation for every budget, resuming after the finished ones, and publish them."""
    parts = Parts.of(path)
    parts.begin(header["made"], reporter)
    done = {one.start for one in parts.finished()}
    todo = [budget for budget in range(len(job.budgets)) if budget not in done]
    with reporter.progress(f"fitting {method.spec.name}", len(job.budgets), "budgets") as tick:
        tick(len(done), "")
        for budget in todo:
            v, cost = fit_perturbation(method, job, data, budget)
            parts.save(budget, budget + 1, {"images": v.cpu().numpy(), "cost": np.array([cost], np.int64)})
            tick(1, "")
    images, costs = (np.concatenate(list(parts.column(name))) for name in ("images", "cost"))
    total = {"images": len(data), "queries": int(costs[:, 0].sum()), "gradients": int(costs[:, 1].sum())}
    count = len(images)
    reached = -1 if job.target is None else int(job.target)
    columns: dict[str, Array] = {
        "images": images,
        "labels": np.full(count, -1, np.int64),
        "index": np.arange(count, dtype=np.int64),
        "target": np.full(count, reached, np.int64),
        "epsilon": np.array([one.value for one in job.budgets], np.float32),
    }
    imageset_writer.write_rows(path, {**header, "fitted": total}, columns)


def fit_perturbation(method: Bound, job: Job, data: Dataset, budget: int) -> tuple[Tensor, tuple[int, int]]:
    """(1, C, H, W) the perturbation of a budget, and the queries and gradients that it cost."""
    eps, tally = job.budgets[budget].value, Tally(len(data))
    rng = SampleRNG(job.seed, torch.zeros(1, dtype=torch.int64, device=job.device), (Purpose.UNIVERSAL, str(budget)))
    if not eps:
        return torch.zeros(1, *data.shape), (0, 0)
    found = method(fitting_images(job, data, tally, budget), eps, rng=rng)
    if not isinstance(found, Tensor) or tuple(found.shape) != (1, *data.shape) or not found.is_floating_point():
        has = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise CommandError(f"{method.spec.name} returned {has}, expected one float perturbation of shape {(1, *data.shape)}")
    found = torch.nan_to_num(found.detach().float().cpu(), 0.0, 0.0, 0.0).clamp(-1, 1)
    size = float(distance(found, torch.zeros_like(found), job.norm))
    return found * min(1.0, eps / max(size, eps)), (int(tally.queries.sum()), int(tally.gradients.sum()))


def fitting_images(job: Job, data: Dataset, tally: Tally, budget: int) -> FittingImages:
    """The images that the model classifies correctly; only these can be broken."""
    labels, right = [], []
    for part in passes(data.pictures, data.index, AT_ONCE, job.device, job.seed, (Purpose.VERDICT,)):
        decided, truth = job.decide(job.verdict(part.x, part.ids)), torch.from_numpy(data.labels[part.places]).to(job.device)
        own = torch.where(truth < 0, decided, truth)
        labels.append(own.clamp_min(0))
        right.append((own == decided) & (decided >= 0) & (own != int(job.target or -1)))
    label, busy = torch.cat(labels), torch.cat(right).cpu().nonzero()[:, 0]
    wanted = label if job.target is None else torch.full_like(label, int(job.target))
    goal = Goal(wanted, job.target is not None, label, job.rejects, job.scale)
    ids, batches = torch.from_numpy(data.index).to(job.device), Batches(data, job.device, AT_ONCE)

    def pass_(number: int) -> Iterator[tuple[Victim, Tensor, Goal]]:
        drawn = SampleRNG(job.seed, busy, (Purpose.ORDER, str(number))).bits(1)[:, 0]
        order = busy[drawn.argsort(stable=True)].numpy()
        for x, _, places in batches.of([order[i : i + AT_ONCE] for i in range(0, len(order), AT_ONCE)]):
            draws = SampleRNG(job.seed, ids[places], (Purpose.DEFENSE, "universal", str(budget))) if job.random_model else None
            yield Victim(job.model, tally, places.cpu(), draws, job.eot, job.half, job.rejects), x, goal[places]

    return FittingImages(data.shape, -(-len(busy) // AT_ONCE), job.device, pass_)


STAGE = FirstStageKind(".universal.h5", images=2000, plan=first_stage)

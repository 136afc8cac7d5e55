"""The first stage of some attacks, before the first image is attacked: fits a substitute or a universal perturbation.

It is fitted on training images, never on those that are attacked, and written to a file of its own: a rerun finds it, and
another set that needs the same file uses it again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from advcli.catalog.kinds import KINDS, loaded
from advcli.catalog.registry import Bound, Spec
from advcli.catalog.request_parts import Selection
from advcli.catalog.requests import AttackRequest
from advcli.errors import InputError
from advcli.files.header import Header
from advcli.files.parts import Parts
from advcli.files.provenance import provenance_of
from advcli.images.dataset import Dataset, stratified
from advcli.networks.model_file import ModelFile
from advcli.runtime import devices
from advcli.runtime.reporter import Reporter
from advcli.search.job import Job
from advcli.workspace import inputs, outputs


@dataclass(frozen=True, slots=True)
class FirstStage:
    """The file of a first stage, and the job that uses it."""

    path: Path
    made: Header
    fit: Callable[[Reporter], None]  # publishes the file
    attach: Callable[[Job], tuple[Job, Header]]  # the job with the file at hand, and what its set says of the file
    placeholder: Callable[[Job], Job]  # a job that costs as much, before there is a file

    def ensure(self, job: Job, *, default_name: bool, force: bool, reporter: Reporter) -> tuple[Job, Header]:
        """Fit the file, unless it exists already; then use it."""
        if not outputs.is_finished(self.path, self.made, default_name=default_name, force=force, reporter=reporter):
            self.fit(reporter)
        Parts.of(self.path).remove()
        return self.attach(job)


@dataclass(frozen=True, slots=True)
class FirstStageKind:
    """The first stage of a kind of attack, as `catalog.kinds` names it."""

    suffix: str  # of the file beside the set
    images: int  # to fit on, where nothing is said
    plan: Callable[..., FirstStage]  # (path, victim, method, run, images, asked)
    acting: Callable[[Bound, AttackRequest], Bound] = lambda method, asked: method  # the attack that makes the images


def first_stage_of(spec: Spec) -> FirstStageKind | None:
    """The first stage of a method's kind; None for most."""
    where = KINDS[spec.traits.kind].first_stage
    found: FirstStageKind | None = loaded(where) if where else None
    return found


def fitting_images(model: ModelFile, attacked: Dataset, enough: int, asked: AttackRequest, reporter: Reporter) -> Dataset:
    """The images to fit on: of the training split, every class in proportion to its size, without the attacked ones."""
    named = asked.fit_data
    says = named and (inputs.split_suffix(named)[1] or Path(named).is_file())
    where = Selection(data_dir=asked.data_dir, download=asked.download)
    found = inputs.data_of(model, named, None if says else "train", where, can_choose=False, reporter=reporter)
    if found.kind not in ("clean", "unknown"):
        raise InputError(f"{found.name}: holds {found.kind} images; give clean ones to fit on")
    same = all(found.origin.get(key) == attacked.origin.get(key) for key in ("name", "split", "digest"))
    if same or found.split == "test":
        raise InputError(f"{found.name}:{found.split}: fitting images and evaluation images overlap; give --fit-data")
    count = min(asked.fit_limit or enough, len(found))
    return found.rows(np.flatnonzero(stratified(found.labels, count, "fit")))


def provenance_of_fit(
    method: str, parameters: Header, options: Header, model: ModelFile, fit: Dataset, asked: AttackRequest
) -> Header:
    """The provenance of the fitted file: only what its content depends on."""
    device = devices.find_device(asked.device)
    beside = {"seed": asked.seed, "static": asked.static, "fit_limit": asked.fit_limit}
    made = provenance_of(
        "attack",
        method=method,
        parameters=parameters,
        options={**beside, **options},
        parents=[{"role": "model", "digest": model.digest}],
        data=None,
        environment=devices.environment(device, devices.default_batch(asked.batch_size, device)),
    )
    return {**made, "fit": fit_set(fit, asked)}


def fit_set(fit: Dataset, asked: AttackRequest) -> Header:
    """The description of the fitting images in a header; `named` if the command named them."""
    return {**fit.origin, "named": asked.fit_data is not None}

"""What a defense has to be fitted with: lessons for its network, in the one training loop, and a threshold."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from advcli.catalog.registry import Bound
from advcli.catalog.request_parts import Selection
from advcli.catalog.requests import DefendRequest
from advcli.defending.threshold import Calibration
from advcli.errors import InputError
from advcli.files.header import Header
from advcli.files.parts import Parts
from advcli.images.dataset import Dataset
from advcli.networks import build
from advcli.networks.lesson import Lesson
from advcli.networks.model_file import ModelFile
from advcli.numerics.rng import SampleRNG
from advcli.runtime import devices
from advcli.runtime.reporter import Talk
from advcli.training.inner_attack import Opponent, opponent
from advcli.training.loop import Trainer
from advcli.training.options import BATCHES, RATES, TrainingOptions, find_epochs
from advcli.training.plan import Plan
from advcli.workspace import inputs


@dataclass(frozen=True, slots=True)
class Lessons:
    """Training images, and the attacks that a defense learns from."""

    data: Dataset
    opponents: Sequence[Opponent]
    options: TrainingOptions
    device: torch.device
    talk: Talk

    def fit(self, model: nn.Module, parts: Parts) -> None:
        """Train the network that the defense has of its own; the model under it stays as it is."""
        model.requires_grad_(False)
        for one in build.learned(model).values():
            own = one
        own.requires_grad_(True)
        asleep = [one for one in model.children() if one is not own]
        against = [one.attacked for one in self.opponents]

        def lesson(whole: nn.Module, x: Tensor, label: Tensor, *, rng: SampleRNG) -> Tensor:
            taught: Callable[[Tensor, Lesson], Tensor] = whole.lesson  # type: ignore[assignment]  # its traits say that it learns
            return taught(x, Lesson(x, label, rng, against))

        plan = Plan(self.data, None, lesson, ("rng",), model, asleep, self.options, self.device)
        with devices.threads(self.data.shape):
            Trainer(plan).fit(parts, lambda log: None, self.talk)
        model.eval().requires_grad_(False)


@dataclass(frozen=True, slots=True)
class Fit:
    """Lessons, a threshold, or both."""

    lessons: Lessons | None
    calibration: Calibration | None

    @property
    def origin(self) -> Header:
        """The images that it is fitted on, as the header names them."""
        return (self.lessons or self._threshold).data.origin

    @property
    def _threshold(self) -> Calibration:
        assert self.calibration is not None  # a fit has one of the two
        return self.calibration

    @property
    def options(self) -> Header:
        """What the fit depends on, every default resolved."""
        if self.lessons is None:
            return {"seed": self._threshold.seed}
        how = self.lessons.options
        return {"seed": how.seed, "epochs": how.epochs, "lr": how.lr, "against": [one.spelled for one in self.lessons.opponents]}

    def fit(self, model: nn.Module, parts: Parts, made: Header) -> Header:
        """Fit, or go on where a fit was interrupted; returns what goes into the recipe."""
        if self.lessons:
            parts.begin(made, self.lessons.talk)
            self.lessons.fit(model, parts)
        return self.calibration.fit(model) if self.calibration else {}


def prepared(bound: Bound, base: ModelFile, asked: DefendRequest, talk: Talk) -> Fit | None:
    """All that a defense needs before it can stand around the model; None where that is nothing."""
    traits, lessons, calibration = bound.spec.traits, None, None
    if not traits.has("fits"):
        return None
    device = devices.find_device(asked.device)
    if traits.learns:
        data = fit_data(base, "train", asked, talk)
        if data.kind not in ("clean", "unknown") or data.split != "train":
            raise InputError(
                f"{data.name}:{data.split}: holds {data.kind} images; a defense learns from clean ones of the train split"
            )
        options = TrainingOptions(
            epochs=find_epochs(asked.epochs, len(data)),
            lr=asked.lr or RATES["adam"],
            seed=asked.seed,
            batch_size=batch_size(asked),
        )
        lessons = Lessons(data, [opponent(one, base.shape[0]) for one in asked.against], options, device, talk)
    if traits.rejects:
        named = replace(asked, data=named_set(asked.data), limit=None) if traits.learns else asked
        data = fit_data(base, "val", named, talk)
        if data.kind not in ("clean", "unknown") or data.split == "test":
            what = f"the {data.split} split" if data.kind in ("clean", "unknown") else f"{data.kind} images"
            raise InputError(f"{data.name}: holds {what}; a threshold is set on natural images of the train or val split")
        calibration = Calibration(data, bound.parameters["fpr"], asked.seed, device, batch_size(asked), talk)
    return Fit(lessons, calibration)


def batch_size(asked: DefendRequest) -> int:
    """Images at a time, in a step and in a pass: the same on every device, for weights and thresholds depend on it."""
    return asked.batch_size or BATCHES[0]


def named_set(text: str | None) -> str | None:
    """The set without its split: what learns from its train split has its threshold set on its val split."""
    if text is None:
        return None
    if Path(text).is_file():
        raise InputError(f"{text}: is one split; what learns and rejects needs a data set with train and val")
    return inputs.spelled(text)[0]


def fit_data(base: ModelFile, split: str, asked: DefendRequest, talk: Talk) -> Dataset:
    """The images that something is fitted on: a split of what the model was trained on, or what was named."""
    named = asked.data
    says = named and (inputs.spelled(named)[1] or Path(named).is_file())
    chosen = Selection(limit=asked.limit, data_dir=asked.data_dir)
    return inputs.data_of(base, named, None if says else split, chosen, can_choose=False, talk=talk)

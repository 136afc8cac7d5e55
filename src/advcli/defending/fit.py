"""The fitting of a defense: NetworkFit trains its network, FeatureFit computes its statistics, Calibration sets its threshold."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from advcli.catalog.registry import Bound
from advcli.catalog.request_parts import Selection
from advcli.catalog.requests import DefendRequest
from advcli.defending.feature_fit import MOST_IMAGES, FeatureFit
from advcli.defending.threshold import Calibration
from advcli.errors import InputError
from advcli.files.header import Header
from advcli.files.parts import Parts
from advcli.images.dataset import Dataset
from advcli.networks import build
from advcli.networks.fitting_batch import FittingBatch
from advcli.networks.model_file import ModelFile
from advcli.numerics.rng import SampleRNG
from advcli.runtime import devices
from advcli.runtime.reporter import Reporter
from advcli.training.inner_attack import InnerAttack, inner_attack
from advcli.training.loop import Trainer
from advcli.training.plan import Plan
from advcli.training.training_options import BATCHES, RATES, TrainingOptions, find_epochs
from advcli.workspace import inputs


@dataclass(frozen=True, slots=True)
class FitRecipe:
    """The settings of a fit where the command gives none."""

    epochs: int | None = None  # by the number of images
    lr: float = RATES["adam"]
    batch_size: int = BATCHES[0]
    shuffled: bool = True


RECIPES = {"usual": FitRecipe(), "paper4": FitRecipe(epochs=15, lr=0.001, batch_size=128, shuffled=False)}


@dataclass(frozen=True, slots=True)
class NetworkFit:
    """Training images, and the attacks that a defense is trained against."""

    data: Dataset
    attacks: Sequence[InnerAttack]
    options: TrainingOptions
    device: torch.device
    reporter: Reporter
    shuffled: bool = True

    def fit(self, model: nn.Module, parts: Parts) -> None:
        """Train the defense's own network; the model behind it does not change."""
        model.requires_grad_(False)
        for one in build.learned_networks(model).values():
            own = one
        own.requires_grad_(True)
        asleep = [one for one in model.children() if one is not own]
        against = [one.attacked for one in self.attacks]

        def loss(whole: nn.Module, x: Tensor, label: Tensor, *, rng: SampleRNG) -> Tensor:
            taught: Callable[[Tensor, FittingBatch], Tensor] = whole.fitting_loss  # type: ignore[assignment]  # its traits say that it learns
            return taught(x, FittingBatch(x, label, rng, against))

        plan = Plan(self.data, None, loss, ("rng",), model, asleep, self.options, self.device, shuffled=self.shuffled)
        with devices.threads(self.data.shape):
            Trainer(plan).fit(parts, lambda log: None, self.reporter)
        model.eval().requires_grad_(False)


@dataclass(frozen=True, slots=True)
class Fit:
    """A network, statistics of features, a threshold, or several of them."""

    network_fit: NetworkFit | None
    feature_fit: FeatureFit | None
    calibration: Calibration | None

    @property
    def origin(self) -> Header:
        """The images that it is fitted on, as the header names them."""
        return (self.network_fit or self.feature_fit or self._threshold).data.origin

    @property
    def _threshold(self) -> Calibration:
        assert self.calibration is not None  # a fit has one of the two
        return self.calibration

    @property
    def options(self) -> Header:
        """The settings that the fit depends on, every default resolved."""
        if self.network_fit is None:
            return {"seed": self._threshold.seed}
        how = self.network_fit.options
        return {
            "seed": how.seed,
            "epochs": how.epochs,
            "lr": how.lr,
            "against": [one.spelled for one in self.network_fit.attacks],
        }

    def fit(self, model: nn.Module, parts: Parts, made: Header) -> Header:
        """Fit, or resume an interrupted fit; returns the entries of the metadata."""
        if self.network_fit:
            parts.begin(made, self.network_fit.reporter)
            self.network_fit.fit(model, parts)
        measured = self.feature_fit.fit(model) if self.feature_fit else {}
        if not self.calibration:
            return {}
        found = self.calibration.fit(model)
        return {"found": {**found["found"], **measured}}


def prepared(bound: Bound, base: ModelFile, asked: DefendRequest, reporter: Reporter) -> Fit | None:
    """The fit that a defense needs before it is put around the model; None if it needs none."""
    traits, network_fit, feature_fit, calibration = bound.spec.traits, None, None, None
    if not traits.has("fits"):
        return None
    device = devices.find_device(asked.device)
    if traits.learns:
        data, recipe = training_images(base, asked, reporter), recipe_of(bound)
        options = TrainingOptions(
            epochs=find_epochs(asked.epochs or recipe.epochs, len(data)),
            lr=asked.lr or recipe.lr,
            seed=asked.seed,
            batch_size=batch_size(asked, bound),
        )
        attacks = [inner_attack(one, base.shape[0]) for one in asked.against] if traits.opponents else []
        network_fit = NetworkFit(data, attacks, options, device, reporter, recipe.shuffled)
    if traits.features:
        data = training_images(base, replace(asked, limit=asked.limit or MOST_IMAGES), reporter)
        feature_fit = FeatureFit(data, asked.seed, device, batch_size(asked, bound), reporter)
    if traits.rejects:
        own = traits.learns or traits.features
        named = replace(asked, data=named_set(asked.data), limit=None) if own else asked
        data = fit_data(base, "val", named, reporter)
        if data.kind not in ("clean", "unknown") or data.split == "test":
            what = f"the {data.split} split" if data.kind in ("clean", "unknown") else f"{data.kind} images"
            raise InputError(f"{data.name}: holds {what}; a threshold is set on clean images of the train or val split")
        calibration = Calibration(data, bound.parameters["fpr"], asked.seed, device, batch_size(asked, bound), reporter)
    return Fit(network_fit, feature_fit, calibration)


def training_images(base: ModelFile, asked: DefendRequest, reporter: Reporter) -> Dataset:
    """The images that a defense learns from."""
    data = fit_data(base, "train", asked, reporter)
    if data.kind not in ("clean", "unknown") or data.split != "train":
        raise InputError(
            f"{data.name}:{data.split}: holds {data.kind} images; a defense is trained on clean images of the train split"
        )
    return data


def recipe_of(bound: Bound) -> FitRecipe:
    """The settings that the defense's own option `recipe` names, if it has one."""
    return RECIPES[bound.parameters.get("recipe", "usual")]


def batch_size(asked: DefendRequest, bound: Bound) -> int:
    """Images in a batch, in training and calibration: the same on every device, since weights and thresholds depend on it."""
    return asked.batch_size or recipe_of(bound).batch_size


def named_set(text: str | None) -> str | None:
    """The set without its split: the network trains on its train split, and the threshold is set on its val split."""
    if text is None:
        return None
    if Path(text).is_file():
        raise InputError(f"{text}: is a single split; a detector that is trained needs a data set with train and val")
    return inputs.split_suffix(text)[0]


def fit_data(base: ModelFile, split: str, asked: DefendRequest, reporter: Reporter) -> Dataset:
    """The images that something is fitted on: a split of what the model was trained on, or what was named."""
    named = asked.data
    says = named and (inputs.split_suffix(named)[1] or Path(named).is_file())
    chosen = Selection(limit=asked.limit, data_dir=asked.data_dir)
    return inputs.data_of(base, named, None if says else split, chosen, can_choose=False, reporter=reporter)

"""The plan of a training: everything that the loop needs, and the filters in front of the network."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from advcli.catalog import discovery
from advcli.catalog.registry import Bound
from advcli.errors import CommandError
from advcli.images.dataset import Dataset
from advcli.training.monitor import TrainingBudget
from advcli.training.training_options import TrainingOptions


@dataclass
class Plan:
    """Everything that the training loop needs; every default is resolved."""

    data: Dataset
    val: Dataset | None
    objective: Callable[..., Tensor]  # model, images, labels, and what it asks for -> the loss of every image
    asks: tuple[str, ...]  # draws, a teacher, the epoch, what it carries from step to step
    model: nn.Module  # the classifier, behind the filters that it is trained with
    frozen: list[nn.Module]
    options: TrainingOptions
    device: torch.device
    teacher: nn.Module | None = None
    threat: TrainingBudget | None = None  # what the recipe trains against
    draws: bool = False  # whether its filters are random
    replays: int = 1  # steps on each batch before the next
    shuffled: bool = True


def filters(text: str | None) -> list[Bound]:
    """The defense of --preprocess, NAME or NAME:option=value,..."""
    if text is None:
        return []
    spec, typed = discovery.parse_method("defense", text)
    if not spec.traits.precedes:
        raise CommandError(f"--preprocess {spec.name}: not a filter of images; put it around a trained model with: advcli defend")
    return [spec.bind(typed)]

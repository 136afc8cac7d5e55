"""The settings of the training loop with every default resolved; the defaults are those of `train`."""

from dataclasses import dataclass, fields
from typing import Literal, Self

from advcli.catalog.requests import TrainRequest
from advcli.errors import CommandError

RATES = {"adam": 0.002, "adamw": 0.002, "sgd": 0.05}
SHOWN = 48_000  # images that the automatic number of epochs shows, within 3 and 40 epochs
MANY = 10_000  # images from which on a step takes more of them
BATCHES = (64, 128)  # of few images and of many


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingOptions:
    """The resolved settings of a training."""

    epochs: int
    batch_size: int = BATCHES[0]
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    lr: float = RATES["adam"]
    schedule: Literal["constant", "step", "cosine", "onecycle"] = "constant"
    momentum: float = 0.9  # of sgd alone
    weight_decay: float = 0.0
    clip: float | None = None  # largest norm of a step's gradient
    ema: float | None = None  # decay of the weights' running average
    augment: str | None = None
    keep: Literal["last", "best"] = "last"
    patience: int | None = None  # epochs without a better one
    stop_at: float | None = None  # validation accuracy
    precision: Literal["float32", "bfloat16"] = "float32"
    seed: int = 0

    @classmethod
    def resolved(cls, asked: TrainRequest, count: int) -> Self:
        """The options of `train`, with the defaults that depend on the number of images and on the optimizer."""
        default = next(one.default for one in TrainRequest.options() if one.name == "momentum")
        if asked.optimizer != "sgd" and asked.momentum != default:
            raise CommandError("--momentum: only --optimizer sgd has this option")
        found = {one.name: getattr(asked, one.name) for one in fields(cls)}
        found["epochs"] = find_epochs(asked.epochs, count)
        found["batch_size"] = asked.batch_size or BATCHES[count >= MANY]
        found["lr"] = RATES[asked.optimizer] if asked.lr is None else asked.lr
        return cls(**found)


def find_epochs(given: int | None, count: int) -> int:
    """The default number of epochs for this many images."""
    return given or min(40, max(3, round(SHOWN / count)))

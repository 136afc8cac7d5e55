"""The parts of a training: optimizer, course of the learning rate, augmentation, running average of weights."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from advcli.errors import CommandError
from advcli.numerics.quantities import fraction
from advcli.numerics.rng import SampleRNG

RATES = {"adam": 0.002, "adamw": 0.002, "sgd": 0.05}
AUGMENTATIONS = ("crop", "flip")
MOST_NOISE = 100.0
WARM, COLD = 0.3, 1e-3  # of one-cycle: the share that warms up, and where it ends


def optimizer(given: dict[str, Any], parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """sgd, adam or adamw over what is trained."""
    wanted = [one for one in parameters if one.requires_grad]
    if not wanted:
        raise CommandError("--freeze-until leaves nothing to train; name an earlier layer")
    kind, rate = given["optimizer"], given["lr"]
    if kind == "sgd":
        return torch.optim.SGD(wanted, rate, given["momentum"], weight_decay=given["weight_decay"], fused=True)
    made = torch.optim.AdamW if kind == "adamw" else torch.optim.Adam
    return made(wanted, rate, weight_decay=given["weight_decay"], fused=True)


def course(schedule: str, step: int, total: int) -> float:
    """What the learning rate is multiplied with at a step."""
    done = step / max(1, total)
    if schedule == "step":
        return 0.1 ** ((done >= 0.5) + (done >= 0.75))
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * done))
    if schedule == "onecycle":
        if done < WARM:
            return 0.04 + 0.96 * done / WARM
        return COLD + (1 - COLD) * 0.5 * (1 + math.cos(math.pi * (done - WARM) / (1 - WARM)))
    return 1.0


def augmentations(text: str | None) -> tuple[str, ...]:
    """The words of --augment."""
    words = tuple(one.strip() for one in text.split(",")) if text else ()
    for one in words:
        if one not in AUGMENTATIONS and sigma(one) is None:
            raise CommandError(f"--augment {text}: takes {', '.join(AUGMENTATIONS)} and noise:SIGMA, with a comma between them")
    return words


def sigma(word: str) -> float | None:
    """The standard deviation that `noise:0.25` asks for; None of any other word."""
    name, _, number = word.partition(":")
    try:
        found = float(fraction(number)) if name == "noise" else -1.0
    except ValueError:
        return None
    return found if 0 < found <= MOST_NOISE else None


def augmented(x: Tensor, words: tuple[str, ...], rng: SampleRNG) -> Tensor:
    """Each picture moved and under normal noise, which is not clipped, as its own draws say."""
    x = moved(x, words, rng) if {*words} & {*AUGMENTATIONS} else x
    for loud in filter(None, map(sigma, words)):
        x = x + loud * rng.fork("noise").normal(*x.shape[1:])
    return x


def moved(x: Tensor, words: tuple[str, ...], rng: SampleRNG) -> Tensor:
    """Each picture cut out of a wider one with a black border of an eighth, and mirrored."""
    drawn = rng.fork("augment").uniform(3)
    n, _, h, w = x.shape
    rows = torch.arange(h, device=x.device).expand(n, h)
    columns = torch.arange(w, device=x.device).expand(n, w)
    if "flip" in words:
        columns = torch.where(drawn[:, 2:] < 0.5, w - 1 - columns, columns)
    if "crop" in words:
        down, across = max(1, h // 8), max(1, w // 8)
        x = nn.functional.pad(x, (across, across, down, down))
        rows = rows + (drawn[:, :1] * (2 * down + 1)).long()
        columns = columns + (drawn[:, 1:2] * (2 * across + 1)).long()
    every = torch.arange(n, device=x.device)[:, None, None, None]
    channel = torch.arange(x.shape[1], device=x.device)[None, :, None, None]
    return x[every, channel, rows[:, None, :, None], columns[:, None, None, :]]


class Average:
    """An exponential running average of weights and statistics: what is evaluated and kept, where it is wanted."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.tensors = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}

    def update(self, module: nn.Module) -> None:
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                self.tensors[name].lerp_(tensor, 1 - self.decay)
            else:
                self.tensors[name].copy_(tensor)

    @contextmanager
    def applied(self, module: nn.Module) -> Iterator[None]:
        """The module with the averaged weights, for a while."""
        kept = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
        module.load_state_dict(self.tensors)
        try:
            yield
        finally:
            module.load_state_dict(kept)


def freeze(network: nn.Module, until: str | None) -> list[nn.Module]:
    """The children before a layer, which stay as they are; they also keep their statistics."""
    if until is None:
        return []
    names = [name for name, _ in network.named_children()]
    if until not in names:
        raise CommandError(f"--freeze-until {until}: the layers are {', '.join(names)}")
    frozen = [child for name, child in network.named_children() if names.index(name) < names.index(until)]
    for child in frozen:
        child.requires_grad_(False)
    return frozen

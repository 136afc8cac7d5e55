"""Images changed at random before they are learned: moved, mirrored, under noise, as their own draws say."""

import torch
from torch import Tensor, nn

from advcli.errors import CommandError
from advcli.numerics.quantities import fraction
from advcli.numerics.rng import SampleRNG

AUGMENTATIONS = ("crop", "flip")
MOST_NOISE = 100.0


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
    """Each image moved and under normal noise, which is not clipped, as its own draws say."""
    x = moved(x, words, rng) if {*words} & {*AUGMENTATIONS} else x
    for loud in filter(None, map(sigma, words)):
        x = x + loud * rng.fork("noise").normal(*x.shape[1:])
    return x


def moved(x: Tensor, words: tuple[str, ...], rng: SampleRNG) -> Tensor:
    """Each image cut out of a wider one with a black border of an eighth, and mirrored."""
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

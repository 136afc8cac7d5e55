"""Random augmentation of training images: shift, mirror, noise, by each sample's own draws."""

import torch
from torch import Tensor, nn

from advcli.errors import CommandError
from advcli.numerics.quantities import fraction
from advcli.numerics.rng import SampleRNG

AUGMENTATIONS = ("crop", "flip")
MOST_NOISE = 100.0


def augmentations(text: str | None) -> tuple[str, ...]:
    """The entries of --augment."""
    words = tuple(one.strip() for one in text.split(",")) if text else ()
    for one in words:
        if one not in AUGMENTATIONS and sigma(one) is None:
            raise CommandError(f"--augment {text}: expected {', '.join(AUGMENTATIONS)} or noise:SIGMA, separated by commas")
    return words


def sigma(word: str) -> float | None:
    """The standard deviation of `noise:0.25`; None for any other entry."""
    name, _, number = word.partition(":")
    try:
        found = float(fraction(number)) if name == "noise" else -1.0
    except ValueError:
        return None
    return found if 0 < found <= MOST_NOISE else None


def augmented(x: Tensor, words: tuple[str, ...], rng: SampleRNG) -> Tensor:
    """Each image shifted and under normal noise, which is not clipped, by its own draws."""
    x = moved(x, words, rng) if {*words} & {*AUGMENTATIONS} else x
    for loud in filter(None, map(sigma, words)):
        x = x + loud * rng.fork("noise").normal(*x.shape[1:])
    return x


def moved(x: Tensor, words: tuple[str, ...], rng: SampleRNG) -> Tensor:
    """Each image cropped at a random place after a black border of an eighth is added, and mirrored at random."""
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

"""Random numbers as a function of (seed, purpose, sample id): the same bits for any batch, order and device.

Philox4x32-10 (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011) in 64-bit integers of torch. The
key is made from seed and purpose; the counter holds the sample's id, the turn, and the position of the number. Normal
and exponential numbers use only additions, multiplications, divisions and roots, which IEEE 754 rounds identically
everywhere, so that they are equal bit for bit too.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from math import prod
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from advcli.numerics.arrays import Array

WORD = 0xFFFFFFFF
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
BLOCKS = 1 << 15  # counters at a time: the temporaries stay in the cache
LEVELS = 1 << 16
CACHED = 1 << 15  # numbers at a time, for the same reason
Words = TypeVar("Words", Tensor, Array)


def philox(counter: list[Words], key: tuple[int, int]) -> list[Words]:
    """Ten rounds over four 32-bit words, each kept in 64 bits, in torch or NumPy."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        first, second = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            ((second >> 32) & WORD) ^ c1 ^ k0,
            second & WORD,
            ((first >> 32) & WORD) ^ c3 ^ k1,
            first & WORD,
        )
        k0, k1 = (k0 + WEYL[0]) & WORD, (k1 + WEYL[1]) & WORD
    return [c0, c1, c2, c3]


class Purpose(StrEnum):
    """The purpose of a random draw, the first word of its key: each purpose has a number of its own."""

    ORDER = "order"  # of images in training, and of those that a universal perturbation is fitted on
    TRAINING = "training"
    VALIDATION = "validation"
    SPLIT = "split"  # which images a validation split, a limit or a first stage takes
    INIT = "init"  # start images of noise
    TARGET = "target"
    ATTACK = "attack"
    DEFENSE = "defense"  # the defense's draws while it is attacked
    VERDICT = "verdict"  # and those by which a success is judged
    ASKED = "asked"  # and those of the labels that a substitute learns from
    SUBSTITUTE = "stand-in"  # the word is part of the key: another one would change every draw
    UNIVERSAL = "universal"
    EVALUATE = "evaluate"
    CERTIFY = "certify"
    CALIBRATION = "calibration"
    FILTER = "filter"
    PROBE = "probe"  # a faster copy of a model against the model itself
    TRIAL = "trial"  # whether a model answers at all
    CHECK = "check"  # what the trust checks ask a model
    STATISTICS = "statistics"  # the rows and the permutations of a test


@dataclass(frozen=True, slots=True)
class SampleRNG:
    """The draws of some samples for one purpose; a sample's draws do not depend on other samples."""

    seed: int
    ids: Tensor  # (N,) int64: position in the data set, not in the batch
    path: tuple[str, ...] = ()
    turn: Tensor | None = None  # (N,) int64: how often each sample has drawn for this purpose before
    table: "Table | None" = None  # draws of a whole set, of which these samples take theirs

    def fork(self, *names: object) -> "SampleRNG":
        """The draws for a narrower purpose."""
        return replace(self, path=(*self.path, *map(str, names)))

    def at(self, turn: Tensor) -> "SampleRNG":
        return replace(self, turn=turn)

    def copies(self, count: int, some: slice = slice(None)) -> "SampleRNG":
        """Draws for `count` copies of each sample in a row, or for some of these; different ones for each copy."""
        turn = torch.zeros_like(self.ids) if self.turn is None else self.turn
        each = turn.to(self.ids.device)[:, None] * count + torch.arange(count, device=self.ids.device)[some]
        return replace(self, ids=self.ids.repeat_interleave(each.shape[1]), turn=each.flatten(), table=None)

    def __getitem__(self, mask: Tensor) -> "SampleRNG":
        return replace(self, ids=self.ids[mask], turn=None if self.turn is None else self.turn[mask], table=None)

    def bits(self, count: int) -> Tensor:
        """(N, count) integers in [0, 2^32)."""
        ids, device = self.ids, self.ids.device
        turn = torch.zeros_like(ids) if self.turn is None else self.turn.to(device)
        blocks = -(-count // 4)
        step = max(1, BLOCKS // max(1, blocks))
        found = [self._bits(ids[i : i + step], turn[i : i + step], blocks) for i in range(0, max(1, len(ids)), step)]
        return torch.cat(found)[:, :count]

    def _bits(self, ids: Tensor, turn: Tensor, blocks: int) -> Tensor:
        text = "/".join([str(self.seed), *self.path])
        digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
        key = (int.from_bytes(digest[:4], "big"), int.from_bytes(digest[4:], "big"))
        position = torch.arange(blocks, device=ids.device).expand(len(ids), blocks)
        words = [position, turn[:, None], (ids & WORD)[:, None], ((ids >> 32) & WORD)[:, None]]
        shape = (len(ids), blocks)
        if ids.device.type == "cpu":  # NumPy has less to do around each operation
            numbers = [np.broadcast_to(word.numpy().view(np.uint64), shape) for word in words]
            return torch.from_numpy(np.stack(philox(numbers, key), 2).view(np.int64)).flatten(1)
        return torch.stack(philox([word.expand(shape) for word in words], key), 2).flatten(1)

    def uniform(self, *shape: int) -> Tensor:
        """(N, *shape) float32 in [0, 1), on a grid of 2^-24."""
        whole = self.bits(prod(shape)) >> 8
        return (whole.to(torch.float32) * 2.0**-24).view(len(self.ids), *shape)

    def chance(self, rate: float, *shape: int) -> Tensor:
        """(N, *shape) true with this probability, to the nearest 2^-16: two draws from a word."""
        if self.table is not None:
            return self.table.chance(self, rate, shape)
        return (self._halves(prod(shape)) < round(rate * LEVELS)).view(len(self.ids), *shape)

    def _halves(self, count: int) -> Tensor:
        """(N, count) integers in [0, 2^16), two from a word."""
        words = self.bits(-(-count // 2))
        return torch.cat([words & 0xFFFF, words >> 16], 1)[:, :count]

    def _open(self, shape: tuple[int, ...]) -> Tensor:
        """(N, *shape) float64 strictly between 0 and 1, symmetric about one half."""
        return ((self.bits(prod(shape)).to(torch.float64) + 0.5) * 2.0**-32).view(len(self.ids), *shape)

    def normal(self, *shape: int) -> Tensor:
        """(N, *shape) standard normal float32."""
        return quantile(self._open(shape)).to(torch.float32)

    def coarse(self, *shape: int) -> Tensor:
        """(N, *shape) standard normal float32 of 2^16 levels, none beyond 4.3: for directions, many times faster."""
        return levels(self.ids.device).take(self._halves(prod(shape))).view(len(self.ids), *shape)

    def exponential(self, *shape: int) -> Tensor:
        """(N, *shape) standard exponential float32."""
        return (-logarithm(self._open(shape))).to(torch.float32)

    def below(self, high: Tensor) -> Tensor:
        """(N,) integers, uniform in [0, high) for each sample (bias below high / 2^32)."""
        return (self.bits(1)[:, 0] * high) >> 32


@contextmanager
def torch_draws(text: str, device: torch.device) -> Iterator[None]:
    """Seed torch's own draws (functional dropout, a network's own noise) from the text; restore its state afterwards."""
    on_gpu = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if on_gpu else []):
        seed = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest(), "big")
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would look for a GPU each time
        if on_gpu:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


def tree_sum(x: Tensor) -> Tensor:
    """(N, d) -> (N,) by adding halves: one order of additions for any batch and machine."""
    while x.shape[1] > 1:
        half = (x.shape[1] + 1) // 2
        low, high = x[:, :half], x[:, half:]
        x = torch.cat([low[:, : high.shape[1]] + high, low[:, high.shape[1] :]], 1)
    return x[:, 0]


def logarithm(x: Tensor) -> Tensor:
    """ln x of positive float64 by exact arithmetic: ln(m 2^e) = e ln 2 + 2 atanh((m - 1) / (m + 1))."""
    mantissa, exponent = torch.frexp(x)
    low = mantissa < 0.7071067811865476
    mantissa = torch.where(low, mantissa * 2, mantissa)
    power = exponent.to(x.dtype) - low.to(x.dtype)
    s = (mantissa - 1) / (mantissa + 1)
    square, total = s * s, torch.zeros_like(s)
    for odd in range(23, 0, -2):
        total = total * square + 1.0 / odd
    return power * 0.6931471805599453 + 2 * s * total


CENTRE = (
    (3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
     4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3),
    (1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3, 2.1213794301586595867e4,
     3.9307895800092710610e4, 2.8729085735721942674e4, 5.2264952788528545610e3),
)  # fmt: skip
SHOULDER = (
    (1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0, 3.64784832476320460504e0,
     1.27045825245236838258e0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4),
    (1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1, 1.48103976427480074590e-1,
     1.51986665636164571966e-2, 5.47593808499534494600e-4, 1.05075007164441684324e-9),
)  # fmt: skip
TAIL = (
    (6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0, 2.96560571828504891230e-1,
     2.65321895265761230930e-2, 1.24266094738807843860e-3, 2.71155556874348757815e-5, 2.01033439929228813265e-7),
    (1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2, 7.86869131145613259100e-4,
     1.84631831751005468180e-5, 1.42151175831644588870e-7, 2.04426310338993978564e-15),
)  # fmt: skip


def quantile(p: Tensor) -> Tensor:
    """The normal quantile of float64 p in (0, 1), to about 1e-15 (Wichura, algorithm AS 241, 1988)."""
    flat, step = p.flatten(), CACHED if p.device.type == "cpu" else max(1, p.numel())
    return torch.cat([_quantile(flat[i : i + step]) for i in range(0, max(1, len(flat)), step)]).view(p.shape)


@cache
def levels(device: torch.device) -> Tensor:
    """The normal quantiles of 2^16 equal probabilities, each at its middle."""
    middle = (torch.arange(LEVELS, dtype=torch.float64) + 0.5) / LEVELS
    return quantile(middle).to(torch.float32).to(device)


def _quantile(p: Tensor) -> Tensor:
    q = p - 0.5
    found = q * _ratio(CENTRE, 0.180625 - q * q)
    outside = (q.abs() > 0.425).nonzero()[:, 0]  # a seventh of them: only these need a logarithm
    p, q = p[outside], q[outside]
    r = torch.sqrt(-logarithm(torch.where(q < 0, p, 1 - p)))
    far = torch.where(r <= 5, _ratio(SHOULDER, r - 1.6), _ratio(TAIL, r - 5))
    found[outside] = torch.where(q < 0, -far, far)
    return found


def _ratio(coefficients: tuple[tuple[float, ...], tuple[float, ...]], r: Tensor) -> Tensor:
    top, bottom = torch.zeros_like(r), torch.zeros_like(r)
    for a, b in zip(reversed(coefficients[0]), reversed(coefficients[1]), strict=True):
        top.mul_(r).add_(a)
        bottom.mul_(r).add_(b)
    return top.div_(bottom)


MOST_DRAWN = 1 << 27  # draws of a table


@dataclass(slots=True)
class Table:
    """The Bernoulli draws of a whole set at once: the same as drawn in batches, and several times faster."""

    ids: Tensor
    drawn: dict[tuple[object, ...], Tensor]
    places: Tensor | None = None  # of the batch at hand, in `ids`

    def at(self, places: Tensor) -> "Table":
        return Table(self.ids, self.drawn, places)

    def chance(self, rng: SampleRNG, rate: float, shape: tuple[int, ...]) -> Tensor:
        alone = replace(rng, table=None)
        if self.places is None or rng.turn is not None or len(self.ids) * prod(shape) > MOST_DRAWN:
            return alone.chance(rate, *shape)
        key = (rng.seed, rng.path, rate, shape)
        if key not in self.drawn:
            self.drawn[key] = replace(alone, ids=self.ids).chance(rate, *shape)
        return self.drawn[key][self.places]

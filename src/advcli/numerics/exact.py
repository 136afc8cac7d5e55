"""Exponential, sine and power of float64 by additions and multiplications alone, which give the same bits on every machine."""

import torch
from torch import Tensor

from advcli.numerics.rng import logarithm

LN2_HIGH, LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10  # the high parts have trailing zeros: multiples of them are exact
PI_HIGH, PI_LOW = 3.1415926516056061, 1.9841871593708126e-09
INVERSE_LN2, INVERSE_PI = 1.4426950408889634, 0.3183098861837907
LARGEST = 700.0  # of an exponent: beyond it a float64 overflows
BIAS, MANTISSA = 1023, 52  # of a float64


def exponential(x: Tensor) -> Tensor:
    """e^x = 2^k e^r with |r| <= ln 2 / 2, to about 1e-15; x is cut at -700 and 700."""
    x = x.clamp(-LARGEST, LARGEST)
    k = torch.round(x * INVERSE_LN2)
    r = (x - k * LN2_HIGH) - k * LN2_LOW
    total = torch.ones_like(r)
    for n in range(13, 0, -1):
        total = total * r * (1.0 / n) + 1.0
    return total * ((k.to(torch.int64) + BIAS) << MANTISSA).view(torch.float64)


def sine(x: Tensor) -> Tensor:
    """sin x = (-1)^n sin r with r = x - n pi, |r| <= pi / 2, to about 1e-13 where |x| < 1e5."""
    n = torch.round(x * INVERSE_PI)
    r = (x - n * PI_HIGH) - n * PI_LOW
    square, total = r * r, torch.ones_like(r)
    for k in range(18, 0, -2):
        total = 1.0 - total * square * (1.0 / (k * (k + 1)))
    return total * r * (1.0 - 2.0 * torch.remainder(n, 2.0))


def power(base: Tensor, exponent: float) -> Tensor:
    """base^exponent of a positive base."""
    return exponential(logarithm(base) * exponent)

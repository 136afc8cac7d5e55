"""Exponential, sine and power of additions and multiplications, against those of the C library."""

import math

import torch

from advcli.numerics.exact import exponential, power, sine


def test_they_agree_with_the_c_library():
    x = torch.linspace(-40, 40, 401, dtype=torch.float64)
    for found, wanted in ((exponential(x), math.exp), (sine(x), math.sin), (power(x.abs() + 1e-9, 1 / 16), None)):
        exact = [wanted(one) if wanted else (abs(one) + 1e-9) ** (1 / 16) for one in x.tolist()]
        torch.testing.assert_close(found, torch.tensor(exact, dtype=torch.float64), rtol=1e-13, atol=1e-14)
    far = exponential(torch.tensor([-1e9, 1e9, torch.inf], dtype=torch.float64))
    assert torch.isfinite(far).all()

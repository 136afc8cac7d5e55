"""Two models on the same images: McNemar's test, Tango's interval and Holm's correction against SciPy and brute force."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest, multinomial, norm

from advcli.numerics.paired_tests import difference_interval, holm, mcnemar


@pytest.mark.parametrize(("b", "c"), [(0, 0), (1, 9), (9, 1), (0, 5), (12, 30), (200, 150), (5000, 4000)])
def test_mcnemar_is_the_binomial_test(b, c):
    assert mcnemar(b, c) == pytest.approx(binomtest(b, b + c, 0.5).pvalue if b + c else 1.0, abs=1e-12)


def likeliest(b, c, n, at):
    """The share of the first kind that makes the table likeliest where the difference is `at`, by brute force."""

    def cost(share):
        parts = ((c, share + at), (b, share), (n - b - c, 1 - 2 * share - at))
        return -sum(k * np.log(max(p, 1e-300)) for k, p in parts if k)

    low, high = max(0.0, -at), (1 - at) / 2
    inner = minimize_scalar(cost, bounds=(low, high), method="bounded", options={"xatol": 1e-13}).x
    return min((low, high, inner), key=cost)


@pytest.mark.parametrize(("b", "c", "n"), [(1, 9, 44), (9, 1, 44), (0, 50, 100), (2, 1, 5), (0, 5, 9), (12, 30, 500), (1, 1, 2)])
def test_the_interval_of_a_difference_is_tangos(b, c, n):
    """Both ends are where the score test with the likeliest nuisance, found by brute force, has p = 5 %."""
    for end in difference_interval(b, c, n):
        spread = n * (2 * likeliest(b, c, n, end) + end * (1 - end))
        assert abs(c - b - n * end) / spread**0.5 == pytest.approx(norm.ppf(0.975), abs=1e-5)


def test_the_interval_of_a_difference_holds_the_true_one():
    """By counting all tables of 20 pairs; a score interval's coverage swings around 95 %."""
    for first, second in ((0.05, 0.1), (0.1, 0.3), (0.02, 0.02), (0.2, 0.2), (0.01, 0.4)):
        held = 0.0
        for b in range(21):
            for c in range(21 - b):
                low, high = difference_interval(b, c, 20)
                chance = multinomial.pmf((b, c, 20 - b - c), 20, (first, second, 1 - first - second))
                held += chance * (low - 1e-9 <= second - first <= high + 1e-9)
        assert held >= 0.94
    assert difference_interval(0, 0, 0) == (-1.0, 1.0)


def test_holm_raises_every_p_by_the_tests_that_are_left():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []

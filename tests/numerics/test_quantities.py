"""Numbers as people write them."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advcli.numerics.quantities import budgets, fraction, shortest, step_length


@given(st.fractions(min_value=-1000, max_value=1000, max_denominator=10**6))
def test_the_shortest_text_reads_back_exactly(value):
    assert fraction(shortest(value)) == value


def test_a_sweep_has_both_ends_and_no_rounding():
    found = budgets("0:0.3:0.025")
    assert len(found) == 13
    assert [one.text for one in found[:4]] == ["0", "0.025", "0.05", "0.075"]
    assert found[-1].text == "0.3"
    assert found[3].value == 0.075


def test_lists_and_fractions_keep_the_text_that_was_written():
    assert [one.text for one in budgets("2/255,4/255, 8/255")] == ["2/255", "4/255", "8/255"]
    assert budgets("8/255")[0].value == 8 / 255


@pytest.mark.parametrize(
    "text", ["", "x", "nan", "inf", "1/0", "-0.1", "0:1", "0:1:0", "1:0:0.1", "0:1:1e-9", "0.1,0.1", "1e9999", "٣"]
)
def test_what_is_no_budget_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        budgets(text)


@pytest.mark.parametrize(
    ("text", "length"),
    [("0.01", 0.01), ("2/255", 2 / 255), ("eps/10", 0.03), ("2.5*eps/steps", 0.03), ("eps", 0.3), ("2*eps", 0.6)],
)
def test_step_lengths(text, length):
    assert step_length(text).at(0.3, 25) == pytest.approx(length)


@pytest.mark.parametrize("text", ["0", "-1", "eps/0", "eps*2", "steps", "", "eps/eps"])
def test_what_is_no_length_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        step_length(text)


def test_exactness():
    assert fraction("0.1") == Fraction(1, 10)

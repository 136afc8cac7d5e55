"""The plan of an audit: its budgets, steps and command lines."""

import pytest

from advcli.auditing.plan import Subject
from advcli.catalog.requests import AuditRequest


@pytest.mark.parametrize(
    ("shape", "norm", "eps"),
    [((1, 28, 28), "linf", "0.3"), ((3, 32, 32), "linf", "8/255"), ((1, 3, 28), "l2", "2.0"), ((3, 1, 28), "l2", "0.5")],
)
def test_the_budget_is_the_default_of_grey_or_colour(shape, norm, eps):
    assert Subject("m", "d", shape, AuditRequest(norm=norm), 10).eps == eps
    assert Subject("m", "d", shape, AuditRequest(norm=norm, eps="1/4"), 10).eps == "1/4"

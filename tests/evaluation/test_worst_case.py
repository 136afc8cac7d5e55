"""The worst case over several sets and the comparison of models, on hand-worked standings."""

from dataclasses import replace

import numpy as np
import pytest

from advcli.errors import CommandError
from advcli.evaluation.comparison import comparisons
from advcli.evaluation.threat_model import ThreatModel
from advcli.evaluation.worst_case import Standing, Worst


def stands(name, images, right, *, model="m", knowledge="white-box", start=None, budget="0.1", **more):
    line = ThreatModel(**{"attack": "pgd", "norm": "linf", "epsilon": budget, "knowledge": knowledge, "pixels": "float", **more})
    right = np.atleast_2d(np.array(right, bool))
    start = np.ones(len(images), bool) if start is None else np.array(start, bool)
    return Standing(model, name, "adversarial", budget, line, "here", np.array(images), right, start)


def test_the_worst_case_is_over_the_images_that_every_set_holds():
    worst = Worst(both=False)
    worst.add(stands("a", [1, 2, 3, 7], [1, 1, 0, 1], knowledge="transfer"))
    worst.add(stands("b", [2, 3, 4], [0, 1, 1], knowledge="static"))
    found = {(row.set, row.metric): row for row in worst.rows(asked=False)}
    one = found["a + b", "robust_accuracy"]
    assert (one.k, one.n) == (0, 2)
    assert one.threat.knowledge == "static"
    assert "over the 2 images that every set holds" in " ".join(one.threat.notes)
    assert [found[name, "newly-broken"].k for name in "ab"] == [1, 1]


def test_the_worst_case_has_seen_what_the_best_informed_of_its_strongest_sets_has():
    def known(*sets):
        worst = Worst(both=False)
        for number, (knowledge, access) in enumerate(sets):
            worst.add(stands(str(number), [1], [1], knowledge=knowledge, access=access))
        return next(row.threat.access for row in worst.rows(asked=False) if row.metric == "robust_accuracy")

    assert known(("white-box", "labels"), ("white-box", "scores")) == "scores"
    assert known(("white-box", "labels"), ("transfer", "gradient")) == "labels"
    assert known(("white-box", "labels"), ("white-box", "gradient")) == "gradient"


def test_the_worst_case_keeps_norms_and_budgets_apart_and_needs_one_source():
    worst = Worst(both=False)
    for one in (stands("a", [1], [1]), stands("b", [1], [0], budget="0.2"), stands("c", [1], [0], norm="l2")):
        worst.add(one)
    assert worst.rows(asked=False) == []
    assert [row.value for row in worst.rows(asked=True)] == [1.0, 0.0, 0.0]
    apart = Worst(both=False)
    apart.add(stands("a", [1], [1]))
    apart.add(stands("b", [2], [1]))
    assert apart.rows(asked=False) == []
    with pytest.raises(CommandError, match="no image is in all"):
        apart.rows(asked=True)


def test_a_set_stored_in_8_bits_counts_in_both_views():
    worst = Worst(both=True)
    for one in (stands("a", [1, 2], [1, 1]), stands("a", [1, 2], [1, 0], pixels="8-bit (rounded)"),
                stands("b", [1, 2], [0, 1], pixels="8-bit")):  # fmt: skip
        worst.add(one)
    found = [row for row in worst.rows(asked=False) if row.metric == "robust_accuracy"]
    assert [(row.k, row.threat.pixels) for row in found] == [(1, None), (0, "8-bit (rounded)")]


def pair(b, c, n, knowledge=("white-box", "white-box")):
    """Two standings with so many discordant images."""
    first, second = np.ones(n, bool), np.ones(n, bool)
    second[:b], first[b : b + c] = False, False
    return [
        stands("s", np.arange(n), side, model=m, knowledge=k) for side, m, k in zip((first, second), "xy", knowledge, strict=True)
    ]


@pytest.mark.parametrize(
    ("b", "c", "finding"),
    [
        (0, 0, "inconclusive"),
        (5, 5, "inconclusive"),
        (1, 5, "inconclusive"),
        (2, 30, "better"),
        (30, 2, "worse"),
        (0, 6, "better"),
    ],
)
def test_a_finding_needs_an_interval_without_zero_and_its_sign(b, c, finding):
    """S1-F7, S4-K1: never better where the sign is the other, or the interval holds 0."""
    (row,) = comparisons(pair(b, c, 100), "x")
    assert row.pair.finding == finding
    if finding == "better":
        assert row.low > 0
        assert row.pair.p_holm < 0.05


def test_unequal_attacks_allow_no_finding():
    for knowledge in (("white-box", "transfer"), ("adaptive", "static"), ("static", "transfer")):
        (row,) = comparisons(pair(2, 30, 100, knowledge), "x")
        assert row.pair.finding == "unequal attacks"
    (row,) = comparisons(pair(2, 30, 100, ("white-box", "adaptive")), "x")
    assert row.pair.finding == "better"


def test_many_tests_raise_the_bar():
    standings = []
    for number in range(8):
        standings += [replace(one, set=f"{number}") for one in pair(1, 9, 100)]
    found = comparisons(standings, "x")
    assert len(found) == 8
    assert all(row.pair.p < 0.05 < row.pair.p_holm and row.pair.finding == "inconclusive" for row in found)


def worst_of(*sets):
    worst = Worst(both=False)
    for one in sets:
        worst.add(one)
    return next(row for row in worst.rows(asked=False) if row.metric == "robust_accuracy").threat


@pytest.mark.parametrize("knowledge", ["none", "transfer", "static", "adaptive", "white-box"])
def test_the_worst_case_says_where_no_set_was_made_against_the_model(knowledge):
    line = worst_of(stands("a", [1], [1], knowledge="none"), stands("b", [1], [0], knowledge=knowledge))
    strong = knowledge in ("adaptive", "white-box")
    assert line.notes == (() if strong else (f"{knowledge}: no set was made against this very model",))
    assert line.knowledge == knowledge


def test_the_worst_case_says_how_many_images_are_not_in_all_sets():
    line = worst_of(stands("a", [1, 2, 3, 7, 8], [1] * 5), stands("b", [2, 3, 4], [1] * 3))
    assert line.notes == ("over the 2 images that every set holds; 3 more are in some of them only",)
    assert worst_of(stands("a", [1, 2], [1, 1]), stands("b", [1, 2], [1, 1])).notes == ()
    weak = worst_of(stands("a", [1, 2], [1, 1], knowledge="transfer"), stands("b", [1], [1], knowledge="static"))
    assert weak.notes == (
        "static: no set was made against this very model",
        "over the 1 images that every set holds; 1 more are in some of them only",
    )

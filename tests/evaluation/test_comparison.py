"""Several models on several sets in one command: McNemar's test for each pair, Holm's correction over all of them."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest

from advcli.cli.report import report
from advcli.evaluation import rows as report_rows
from advcli.evaluation.comparison import comparisons
from advcli.evaluation.decisions import rate
from advcli.evaluation.threat_model import ThreatModel
from advcli.evaluation.worst_case import Standing


def stands(name, model, right, *, attack="pgd", knowledge="transfer", budget="0.1", images=None, **more):
    line = ThreatModel(attack=attack, norm="linf", epsilon=budget, knowledge=knowledge, pixels="float", **more)
    right = np.atleast_2d(np.array(right, bool))
    images = np.arange(right.shape[1]) if images is None else images
    return Standing(model, name, "adversarial", budget, line, "here", images, right, np.ones(right.shape[1], bool))


def holms(p):
    """Holm's adjusted p by its definition."""
    order, found, bar = np.argsort(p, kind="stable"), np.zeros(len(p)), 0.0
    for rank, place in enumerate(order):
        bar = max(bar, min(1.0, (len(p) - rank) * p[place]))
        found[place] = bar
    return found


def test_every_pair_of_the_command_is_tested_and_corrected_together():
    """S4-K1: the stack against each single model, for each attack; p by SciPy, Holm's correction over all tests, to 1e-9."""
    rng = np.random.default_rng(0)
    for _ in range(30):
        right = {(name, model): rng.random(40) < chance for name in ("fgsm", "jsma", "cw")
                 for model, chance in (("stack", 0.7), ("a", 0.5), ("b", 0.6), ("c", 0.2))}  # fmt: skip
        found = comparisons([stands(f"{name}.h5", model, one, attack=name) for (name, model), one in right.items()], "stack")
        assert len(found) == 9
        tests = []
        for row in found:
            first, second = right[row.set[:-3], "stack"], right[row.set[:-3], row.model]
            b, c = int((first & ~second).sum()), int((second & ~first).sum())
            tests.append(binomtest(b, b + c).pvalue if b + c else 1.0)
            assert (row.pair.b, row.pair.c, row.pair.against) == (b, c, "stack")
            assert row.value == pytest.approx(second.mean() - first.mean(), abs=1e-9)
            most = max(right[row.set[:-3], model].sum() for model in "abc")
            assert row.pair.best == (second.sum() == most), "of a, b and c the one that this attack leaves most images right"
        assert [row.pair.p for row in found] == pytest.approx(tests, abs=1e-9)
        assert [row.pair.p_holm for row in found] == pytest.approx(holms(tests), abs=1e-9)


def test_an_attack_that_was_made_against_each_model_pairs_their_own_sets():
    """S4-K1: of several sets of one attack against a model the worst case of each image; other budgets are other attacks."""
    mine = [stands("stack-1.h5", "stack", [1, 1, 1, 0, 1, 1], knowledge="adaptive", eot=8),
            stands("stack-2.h5", "stack", [1, 1, 0, 1, 1, 1], knowledge="adaptive", eot=8)]  # fmt: skip
    other = stands("a.h5", "a", [1, 0, 1, 1, 0, 1], knowledge="white-box")
    elsewhere = [stands("b.h5", "a", [0] * 6, knowledge="white-box", budget="0.2"),
                 stands("c.h5", "a", [0] * 6, knowledge="white-box", attack="fgsm"),
                 stands("d.h5", "a", [0] * 6, knowledge="white-box", target="next"),
                 stands("e.h5", "a", [0] * 6, knowledge="transfer")]  # fmt: skip
    (row,) = comparisons([*mine, other, *elsewhere], "stack")
    assert row.set == "a.h5 / stack-1.h5 + stack-2.h5"
    assert (row.pair.b, row.pair.c, row.n) == (2, 2, 6)
    assert row.pair.against_threat.knowledge == "adaptive"
    assert row.threat.attack == "pgd"


def test_one_budget_is_the_same_however_it_is_written():
    pair = [stands("s.h5", "stack", [1, 0], knowledge="adaptive", budget="8/255"),
            stands("a.h5", "a", [1, 1], knowledge="white-box", budget="16/510")]  # fmt: skip
    assert len(comparisons(pair, "stack")) == 1
    assert comparisons([pair[0], replace(pair[1], source="elsewhere")], "stack") == []


def test_the_difference_of_random_models_shows_its_spread():
    """S4-K1: draw by draw; nothing is claimed where the draws do not agree on the sign."""
    rng = np.random.default_rng(1)
    steady, drawn = rng.random(60) < 0.5, rng.random((3, 60)) < 0.6
    (row,) = comparisons([stands("s.h5", "stack", drawn), stands("s.h5", "a", steady)], "stack")
    each = steady.mean() - drawn.mean(1)
    assert (row.value, row.spread.min, row.spread.max, row.spread.draws) == pytest.approx((each[0], each.min(), each.max(), 3))
    sure = np.ones((3, 60), bool)
    assert comparisons([stands("s.h5", "stack", ~sure), stands("s.h5", "a", sure)], "stack")[0].pair.finding == "better"
    unsure = sure.copy()
    unsure[2] = False
    assert comparisons([stands("s.h5", "stack", ~sure), stands("s.h5", "a", unsure)], "stack")[0].pair.finding == "inconclusive"


def test_the_table_says_what_the_comparisons_with_the_best_other_model_allow():
    """S4-K1: "we cannot prove that our model performs better" is a line of the table."""
    few, many = np.arange(100) < 50, np.arange(100) < 90
    sets = [("one.h5", few, few, few & (np.arange(100) > 3)), ("two.h5", many, few, ~many), ("three.h5", few, many, ~many)]
    standings = [
        stands(name, model, right) for name, *each in sets for model, right in zip(("stack", "a", "b"), each, strict=True)
    ]
    text = report(comparisons(standings, "stack"), width=200)
    assert "p of 6: raised for so many tests (Holm)" in text
    told = "stack against the best other model, 3 comparisons: shown better in 1, shown worse in 1, no difference shown in 1"
    assert told in text
    assert sum(line.endswith("best  transfer") or " best " in line for line in text.splitlines() if "h5" in line) == 3
    mixed = [replace(one, threat=replace(one.threat, knowledge="white-box")) if one.model == "a" else one for one in standings]
    assert "1 more under unequal attacks say nothing" not in report(comparisons(standings, "stack"), width=200)
    assert "3 more under unequal attacks say nothing" in report(comparisons(mixed, "stack"), width=200)


def test_a_spread_leaves_out_draws_without_a_figure():
    """0.2: the share of 0 of 0 in one draw is no share of 0 %."""
    line = ThreatModel(pixels="float")
    each = [rate("precision", 3, 4), rate("precision", 0, 0), rate("precision", 2, 4)]
    row = report_rows.row("m", "s", "clean", None, each, line)
    assert (row.spread.min, row.spread.max, row.spread.draws) == (0.5, 0.75, 3)
    assert report_rows.row("m", "s", "clean", None, [rate("precision", 0, 0)] * 2, line).spread is None

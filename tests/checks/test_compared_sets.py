"""Checks of finished sets: what many steps, a gradient, a larger budget or no limit at all must be able to do."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from advcli.catalog import discovery
from advcli.evaluation.threat_model import ThreatModel
from advcli.evaluation.trust import Checked, compared, marked
from advcli.evaluation.worst_case import Standing, apart
from advcli.files.check_results import Result
from masked_networks import disguised

N = 50


def stands(name, broken, *, steps=40, budget="0.1", attack="pgd", knowledge="white-box", access="gradient", **more):
    """How a model stands before a set that breaks the first `broken` of N images, or those of a range."""
    line = ThreatModel(attack=attack, norm="linf", epsilon=budget, steps=steps, knowledge=knowledge, access=access, **more)
    fallen = np.isin(np.arange(N), np.arange(broken) if isinstance(broken, int) else np.array(broken))
    return Standing("m", name, "adversarial", budget, line, "here", np.arange(N), ~fallen[None], np.ones(N, bool))


def result(check, *sets):
    found = discovery.spec("check", check).bind({})(list(sets))
    return found and (found.status, found.figure)


SQUARE = {"attack": "square", "access": "scores"}


@pytest.mark.parametrize(
    ("check", "sets", "expected"),
    [
        ("one-step", [stands("a", 40), stands("b", 30, steps=None)], ("PASS", 0.0)),
        ("one-step", [stands("a", range(2, 50)), stands("b", 30, steps=None)], ("WARN", 0.04)),
        ("one-step", [stands("a", 10), stands("b", 30, steps=None)], ("FAIL", 0.4)),
        ("one-step", [stands("a", 10), stands("b", 14, steps=None)], ("WARN", 0.08)),
        ("one-step", [stands("a", 10), stands("b", 30)], None),
        ("one-step", [stands("a", 10), stands("b", 30, steps=None, knowledge="transfer")], None),
        ("without-gradients", [stands("a", 40), stands("b", 30, **SQUARE)], ("PASS", 0.0)),
        ("without-gradients", [stands("a", 10), stands("b", 40, **SQUARE)], ("FAIL", 0.6)),
        ("without-gradients", [stands("a", 10), stands("b", 40, attack="noise", knowledge="none", access="none")], ("FAIL", 0.6)),
        ("without-gradients", [stands("a", 10), stands("b", 40, knowledge="transfer")], ("FAIL", 0.6)),
        ("without-gradients", [stands("a", 10), stands("c", 40), stands("b", 40, **SQUARE)], ("PASS", 0.0)),
        ("without-gradients", [stands("a", 10, steps=None), stands("b", 40, **SQUARE)], None),
        ("larger-budgets", [stands("a", 10), stands("a", 20, budget="0.2")], ("PASS", 0.0)),
        ("larger-budgets", [stands("a", range(5, 20), budget="2/10"), stands("a", 10)], ("FAIL", 0.5)),
        ("larger-budgets", [stands("a", 10)], None),
        ("larger-budgets", [stands("a", range(5, 20), budget="0.2", steps=None), stands("a", 10, steps=None)], None),
        ("everything-allowed", [stands("a", 50, budget="1")], ("PASS", 0.0)),
        ("everything-allowed", [stands("a", 40, budget="1.5")], ("FAIL", 0.2)),
        ("everything-allowed", [stands("a", 40, budget="0.9")], None),
        ("everything-allowed", [stands("a", 40, budget="1", target="next")], None),
        ("everything-allowed", [stands("a", 40, budget="1", **SQUARE)], None),
    ],
)  # fmt: skip
def test_what_is_judged_and_how(check, sets, expected):
    assert result(check, *sets) == expected
    assert result(check, *reversed(sets)) == expected, "whatever the order of the sets"


@pytest.mark.parametrize(
    ("norm", "budget", "expected"),
    [
        ("l2", "8", ("FAIL", 0.2)),
        ("l2", "7.95", ("FAIL", 0.2)),
        ("l2", "7", None),
        ("l1", "64", ("FAIL", 0.2)),
        ("l1", "8", None),
    ],
)
def test_everything_is_allowed_at_the_diameter_of_every_norm(norm, budget, expected):
    one = stands("a", 40, budget=budget)
    assert result("everything-allowed", replace(one, threat=replace(one.threat, norm=norm), size=64)) == expected


@pytest.mark.parametrize("words", ["--norm l2 --eps 8", "--norm l1 --eps 64"])
def test_an_honest_network_has_no_image_left_where_everything_is_allowed(run, model, words):
    run("attack", "--limit", "30", *words.split())
    found = json.loads(run("evaluate", "adversarial.h5", "--json").out)["checks"]
    assert {one["check"]: one["figure"] for one in found}["everything-allowed"] == 0


def test_only_images_that_all_sets_hold_are_compared():
    few = stands("b", range(30, 50))
    few = Standing(
        "m", "b", "adversarial", "0.1", few.threat, "here", np.arange(40, 60), ~np.ones((1, 20), bool), np.ones(20, bool)
    )
    assert apart([stands("a", range(45, 50))], [few]) == (10, 0, 5)


def test_a_finding_on_several_sets_stands_beside_those_made_along_gradients():
    sets = [
        stands("a", 10),
        stands("b", 40, **SQUARE),
        stands("c", 40, budget="0.2", **SQUARE),
        stands("d", 10, budget="0.2", steps=None),
    ]
    found = {(one.set, one.epsilon, one.label) for one in compared(sets) if one.result.status != "PASS"}
    assert found == {("a", "0.1", "FAIL without-gradients")}
    told = {one.set: one.threat.checks for one in marked(sets, [*compared(sets)])}
    assert told == {"a": ("FAIL without-gradients",), "b": (), "c": (), "d": ()}


def test_a_finding_of_a_model_marks_all_budgets_and_one_of_a_budget_that_alone():
    bad = Result("FAIL", 1.0, 0.0, 5, "found", "advice")
    sets = [stands("a", 10), stands("a", 10, budget="0.2")]
    told = [one.threat.checks for one in marked(sets, [Checked("m", "a", None, "x", bad), Checked("m", "a", "0.2", "y", bad)])]
    assert told == [("FAIL x",), ("FAIL x", "FAIL y")]


def test_a_black_box_that_beats_the_gradient_is_told_and_supports_the_claim_itself(run, model):
    disguised("cut", model, Path("masked.safetensors"))
    words = ("--model", "masked.safetensors", "--eps", "0.2", "--limit", "40")
    run("attack", *words, "-o", "pgd.h5")
    run("attack", *words, "--method", "square", "--max-queries", "300", "-o", "square.h5")
    ran = run("evaluate", "--model", "masked.safetensors", "pgd.h5", "square.h5", "--json", "--fail-under", "robust_accuracy=0")
    assert ran.code == 0, "square asked the model itself, and no check doubts it"
    found = json.loads(ran.out)
    (told,) = (one for one in found["checks"] if one["check"] == "without-gradients")
    assert (told["set"], told["epsilon"], told["status"]) == ("pgd.h5", "0.2", "FAIL")
    doubts = {
        row["set"]: row["threat"].get("checks", []) for row in found["rows"] if row["metric"] in ("accuracy", "robust_accuracy")
    }
    assert "FAIL without-gradients" in doubts["pgd.h5"]
    assert "FAIL without-gradients" in doubts["pgd.h5 + square.h5"]
    assert doubts["square.h5"] == []


def test_successes_that_8_bits_undo_are_counted(run, model):
    run("attack", "--method", "cw", "--limit", "40", "--steps", "60", "-o", "cw.h5")
    kept, lost = {}, 0
    for pixels in ("stored", "8-bit"):
        rows = json.loads(run("evaluate", "cw.h5", "--pixels", pixels, "--json").out)
        kept[pixels] = next(row for row in rows["rows"] if row["metric"] == "success" and row["epsilon"] is None)
        told = [one for one in rows["checks"] if one["check"] == "rounded-pixels"]
        assert len(told) == (pixels == "stored")
        lost = round(told[0]["figure"] * told[0]["n"]) if told else lost
        assert not told or told[0]["status"] == "PASS", "the closest points are as near to the boundary as can be"
    assert lost == kept["stored"]["k"] - kept["8-bit"]["k"] > 0

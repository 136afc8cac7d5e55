"""Checks of the search itself: an attack that loses what it found, and a search that was ended while the loss still rose."""

from pathlib import Path

import pytest
import torch

from advcli.catalog import discovery
from advcli.files.imageset_reader import ImageSet
from advcli.numerics.balls import Ball
from advcli.search.goal import Goal
from advcli.search.observer import Observer, Search

FORGETFUL = '''"""Steps as PGD does, and returns the originals."""
from advcli.extend import Ball, attack

@attack(family="mine", kind="budget", norms=("linf",), access="gradient")
def forgetful(victim, x, goal, eps, *, rng, early_stop, steps: int = 5):
    ball = Ball(x, eps, "linf")
    for _ in range(steps):
        slope, _ = victim.gradient(x, goal.loss("margin"))
        x = ball.along(x, slope, eps / 2)
    victim(x)
    return ball.center
'''


def kept(path: str = "adversarial.h5") -> dict[str, dict]:
    with ImageSet(Path(path)) as opened:
        return {one["check"]: one for one in opened.header["checks"]}


def test_an_attack_that_loses_what_it_found_fails_its_check(run, model):
    Path("mine.py").write_text(FORGETFUL)
    ran = run("attack", "--method", "mine:forgetful", "--eps", "0.3", "--limit", "30")
    assert ran.code == 0, ran.err
    assert "warning: FAIL on-the-way: " in ran.err
    assert kept()["on-the-way"]["figure"] > 0.5
    run("attack", "--eps", "0.1", "--limit", "30", "-o", "kept.h5")
    assert kept("kept.h5")["on-the-way"]["figure"] == 0


@pytest.mark.parametrize(
    ("words", "status"),
    [("", "PASS"), ("--steps 5 --step-size eps/50", "WARN"), ("--method apgd", "PASS"), ("--method bim --steps 5", "WARN")],
)
def test_a_search_that_was_ended_too_early_is_warned_of(run, model, words, status):
    ran = run("attack", "--eps", "0.1", "--limit", "30", *words.split())
    assert kept()["loss-rising"]["status"] == status
    assert ("warning: WARN loss-rising" in ran.err) == (status == "WARN")
    again = run("attack", "--eps", "0.1", "--limit", "30", *words.split())
    assert "made by the same command" in again.err
    assert ("warning: WARN loss-rising" in again.err) == (status == "WARN"), "told from the file too"


def test_where_no_image_stands_there_is_nothing_to_tell(run, model):
    run("attack", "--eps", "0.6", "--limit", "20")
    assert not {"on-the-way", "loss-rising"} & kept().keys()


@pytest.mark.parametrize("words", ["--method fgsm", "--method deepfool", "--quantize", "--method square --max-queries 20"])
def test_a_loss_that_nobody_climbs_step_by_step_is_not_judged(run, model, words):
    run("attack", "--limit", "20", *words.split())
    assert "loss-rising" not in kept()


def seen(margins: list[list[float]], radius: float = 1.0) -> Observer:
    """What an observer has seen of some images whose margins went like this."""
    count = len(margins[0])
    ball = Ball(torch.zeros(count, 1, 1, 1), torch.full((count,), radius), "linf")
    found = Observer(Goal(torch.zeros(count, dtype=torch.int64)), ball, torch.arange(count) * 3)
    for step in margins:
        logits = torch.stack([torch.zeros(count), torch.tensor(step)], 1)
        found.see(torch.arange(count) * 3, torch.full((count, 1, 1, 1), 0.5), logits, step=True)
    return found


def test_a_margin_rises_if_it_ends_at_more_than_half_its_mean_speed():
    steadily, resting, late = [-20.0 + k for k in range(11)], [-20 + min(k, 8) for k in range(11)], [-9.0] * 10 + [-8.0]
    assert seen([list(step) for step in zip(steadily, resting, late, strict=True)]).rising.tolist() == [True, False, True]
    assert not seen([[-1.0], [-1.0], [-1.0]]).rising.any(), "it never grew"
    assert not seen([[-1.0]]).rising.any(), "one step tells nothing"


@pytest.mark.parametrize(("margin", "radius", "counts"), [(1.0, 1.0, True), (1.0, 0.4, False), (-1.0, 1.0, False)])
def test_a_point_counts_if_it_reaches_the_goal_within_the_budget(margin, radius, counts):
    assert seen([[margin, -1.0]], radius).reached.tolist() == [counts, False]


def test_answers_for_some_images_are_theirs():
    found = seen([[-1.0, -1.0, -1.0]])
    found.see(torch.tensor([3]), torch.zeros(1, 1, 1, 1), torch.tensor([[0.0, 1.0]]), step=False)
    assert found.reached.tolist() == [False, True, False]


def test_figures_are_shares_of_the_images_that_stand():
    search = Search(discovery.spec("attack", "pgd").bind({}), 20, 1, 11)
    found = {name: discovery.spec("check", name).bind({})(search) for name in ("on-the-way", "loss-rising")}
    assert {name: (one.status, one.figure, one.n) for name, one in found.items()} == {
        "on-the-way": ("WARN", 0.05, 20),
        "loss-rising": ("WARN", 0.55, 20),
    }

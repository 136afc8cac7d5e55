"""The check `planted`: what it plants exists, good attacks find it, and crippled ones do not."""

import pytest
import torch

from advcli.checks.planted import discriminant
from advcli.files.imageset_reader import ImageSet


def planted(run, *words: str) -> dict | None:
    """The check's result in the header of a set."""
    assert run("attack", "--limit", "20", *words).code == 0
    with ImageSet("adversarial.h5") as made:
        return next((one for one in made.header["checks"] if one["check"] == "planted"), None)


def test_the_planted_point_is_on_its_own_side_of_every_other():
    draw = torch.Generator().manual_seed(0)
    far, others = torch.randn(50, 10, generator=draw), torch.randn(12, 50, 10, generator=draw)
    weight, bias, parted = discriminant(far, others)
    assert parted.float().mean() > 0.9
    assert ((far * weight).sum(1) > bias)[parted].all()
    assert ((others * weight).sum(2) < bias)[:, parted].all()
    assert not discriminant(others.mean(0), others)[2].any(), "a mean cannot be parted from what it is the mean of"


@pytest.mark.parametrize("line", [
    "pgd --steps 10 --eps 0.1", "apgd --steps 20 --targets 2 --eps 0.1", "mim --eps 0.1", "pgd --steps 10 --norm l2 --eps 1.0",
])  # fmt: skip
def test_good_attacks_find_what_was_planted(run, model, line):
    found = planted(run, "--method", *line.split())
    assert (found["status"], found["n"]) == ("PASS", 6)


def test_an_attack_of_too_small_steps_is_told(run, model):
    found = planted(run, "--eps", "0.1", "--method", "pgd", "--steps", "2", "--step-size", "0.001", "--no-random-start")
    assert found["status"] == "FAIL"
    assert "does not find" in found["found"]


@pytest.mark.parametrize("line", ["fgsm", "square --steps 5", "pgd --steps 2 --target 3"])
def test_one_step_scores_and_targets_are_not_judged_by_it(run, model, line):
    assert planted(run, "--eps", "0.1", "--method", *line.split()) is None


def test_of_few_images_it_says_nothing(run, model):
    assert run("attack", "--limit", "3", "--eps", "0.1", "--steps", "2").code == 0
    with ImageSet("adversarial.h5") as made:
        assert "planted" not in {one["check"] for one in made.header["checks"]}

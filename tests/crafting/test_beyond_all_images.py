"""Budgets that no two images are apart: refused, with what was most likely meant."""

from pathlib import Path

import pytest


@pytest.mark.parametrize(
    "words",
    [
        ("attack", "--eps", "8"),
        ("attack", "--eps", "0.1,8"),
        ("attack", "--method", "fgm", "--eps", "8.1"),
        ("attack", "--norm", "l1", "--eps", "100"),
        ("evaluate", "cw.h5", "--eps", "9"),
        ("train", "--recipe", "adversarial", "--against", "fgsm:eps=8", "-o", "t.safetensors"),
        ("train", "--recipe", "trades", "--eps", "8", "-o", "t.safetensors"),
        ("defend", "--method", "autoencoder", "--against", "fgsm:eps=8"),
    ],
    ids=" ".join,
)
def test_a_budget_beyond_all_images_is_refused_before_anything_is_written(words, run, model):
    assert words[0] != "evaluate" or run("attack", "--method", "cw", "--limit", "2", "--steps", "2", "-o", "cw.h5").code == 0
    before = {one.name for one in Path().iterdir()}
    ran = run(*words)
    assert ran.code == 2, ran.err
    assert "pixels are in [0, 1]; did you mean" in ran.err
    assert "/255?" in ran.err
    assert {one.name for one in Path().iterdir()} == before


def test_the_budget_of_everything_can_be_asked_for_and_is_remarked(run, model):
    ran = run("attack", "--method", "fgsm", "--eps", "1", "--limit", "3")
    assert ran.code == 0
    assert "warning: eps 1: any two images are within linf 1 of each other" in ran.err
    assert run("attack", "--method", "fgm", "--eps", "8", "--limit", "3").code == 0, "the diameter of 64 pixels"
    ran = run("attack", "--method", "fgm", "--norm", "raw", "--eps", "300", "--limit", "3")
    assert ran.code == 0, "the length of a raw gradient is no distance"
    assert "did you mean" not in run("attack", "--eps", "300/255").err

"""A zoo of masked networks: each is caught by a check that names the cause or refused with the ways on, and no honest one is."""

import json
import shutil
from pathlib import Path

import pytest

from advcli.cli.app import main
from advcli.networks import model_file
from masked_networks import disguised

CAUGHT = [
    ("saturated", "saturation", "WARN", "softmax"),
    ("probabilities", "saturation", "WARN", "probabilities instead of logits"),
    ("sharpened", "saturation", "FAIL", "probabilities instead of logits"),
    ("cut", "zero-gradients", "FAIL", "are unusable"),
    ("winners", "finite-differences", "WARN", "does not change along its gradient"),
    ("stepped", "finite-differences", "FAIL", "does not change along its gradient"),
    ("shifted", "repeated-answers", "FAIL", "draws undeclared random numbers"),
    ("levelled", "batch-dependence", "FAIL", "statistics over the batch"),
]
REFUSED = [
    ("quantised", "gives no gradient"),
    ("detached", "gives no gradient"),
    ("compressed", "gives no gradient"),
    ("voted", "gives no gradient"),
]
ATTACK = ("--limit", "40", "--eps", "0.1", "--steps", "10")


def checks(run, name: str) -> dict[str, dict]:
    return {one["check"]: one for one in json.loads(run("evaluate", "--model", name, "adversarial.h5", "--json").out)["checks"]}


@pytest.mark.parametrize(("name", "check", "status", "cause"), CAUGHT)
def test_a_masked_network_is_caught_by_a_check_that_names_the_cause(run, model, name, check, status, cause):
    disguised(name, model, Path("masked.safetensors"))
    ran = run("attack", "--model", "masked.safetensors", *ATTACK)
    assert ran.code == 0, ran.err
    found = checks(run, "masked.safetensors")[check]
    assert found["status"] in (status, "FAIL"), found
    assert f"warning: {found['status']} {check}: " in ran.err
    assert cause in f"{found['found']}; {found['advice']}"


@pytest.mark.parametrize(("name", "cause"), REFUSED)
def test_a_network_without_a_gradient_is_refused_with_the_ways_on(run, model, name, cause):
    disguised(name, model, Path("masked.safetensors"))
    ran = run("attack", "--model", "masked.safetensors", *ATTACK)
    assert ran.code == 3
    assert cause in ran.err
    assert len([line for line in ran.err.splitlines() if line.startswith("advcli:")]) == 3
    assert all(way in ran.err for way in ("--method square", "hopskipjump", "--method substitute"))
    ran = run(
        "attack", "--model", "masked.safetensors", "--method", "square", "--eps", "0.1", "--limit", "20", "--max-queries", "20"
    )
    assert ran.code == 0, ran.err
    assert "FAIL" not in ran.err


def test_a_defense_without_a_gradient_can_be_left_out(run, model):
    Path("hard.py").write_text(
        '"""Two grey levels, and no gradient."""\nfrom advcli.extend import Filtered, defense\n\n'
        '@defense(family="mine", gradient="exact")\ndef hard(model):\n'
        "    return Filtered(model, lambda x: (x > 0.5).float())\n"
    )
    assert run("defend", "--method", "hard:hard").code == 0
    ran = run("attack", "--model", "defended.safetensors", "--allow", "hard:hard", *ATTACK)
    assert ran.code == 3
    assert "--static" in ran.err
    assert run("attack", "--model", "defended.safetensors", "--allow", "hard:hard", "--static", *ATTACK).code == 0


@pytest.mark.parametrize(("name", "cause"), [("normed", "batch norm"), ("rescaled", "draws random numbers")])
def test_what_shows_on_any_picture_is_refused_before_an_image_is_looked_at(run, model, name, cause):
    disguised(name, model, Path("masked.safetensors"))
    ran = run("attack", "--model", "masked.safetensors", *ATTACK)
    assert ran.code == 3
    assert cause in ran.err


def test_a_distilled_network_is_caught_and_falls_like_its_teacher(run, model):
    allow = ("--allow", disguised("hot", model, Path("hot.safetensors")))
    words = ("--recipe", "distill", "--teacher", "hot.safetensors", "--temperature", "20", "--epochs", "12", "--quiet")
    assert run("train", *words, *allow, "-o", "cold.safetensors").code == 0
    left = {}
    for name in ("model", "cold"):
        ran = run("attack", "--model", f"{name}.safetensors", *ATTACK, "--force")
        found = json.loads(run("evaluate", "--model", f"{name}.safetensors", "adversarial.h5", "--json").out)
        left[name] = next(row["k"] for row in found["rows"] if row["metric"] == "accuracy")
    assert "warning: WARN saturation" in ran.err
    assert left["cold"] <= left["model"] + 2


def test_a_detector_with_a_wrong_threshold_is_caught(run, model):
    run("defend", "--method", "squeeze-detector", "-o", "seen.safetensors")
    kept = model_file.read("seen.safetensors")
    entry = {**kept.defenses[0], "found": {**kept.defenses[0]["found"], "threshold": -1.0}}
    model_file.write(Path("wrong.safetensors"), {**kept.metadata, "defenses": [entry]}, kept.tensors)
    words = ("--method", "square", "--max-queries", "10", "--limit", "40")
    assert "FAIL" not in run("attack", "--model", "seen.safetensors", *words, "-o", "seen.h5").err
    ran = run("attack", "--model", "wrong.safetensors", *words)
    assert "warning: FAIL false-alarms" in ran.err
    assert "threshold" in checks(run, "wrong.safetensors")["false-alarms"]["advice"]


@pytest.fixture(scope="module")
def trained_against_pgd(tmp_path_factory):
    path = tmp_path_factory.mktemp("adversarial") / "adversarial.safetensors"
    words = ["--recipe", "adversarial", "--against", "pgd:eps=0.1,steps=5", "--epochs", "6", "--quiet"]
    assert main(["train", *words, "-o", str(path)]) == 0
    return path


@pytest.mark.parametrize("seed", range(5))
def test_no_check_fails_on_honest_networks(run, model, trained_against_pgd, seed):
    shutil.copy(trained_against_pgd, "adversarial.safetensors")
    assert run("defend", "--method", "smoothing", "--sigma", "0.25", "--samples", "20", "-o", "smooth.safetensors").code == 0
    for name in ("model", "adversarial", "smooth"):
        words = ("--eps", "0.1", "--steps", "3", "--eot", "2", "--limit", "24") if name == "smooth" else ATTACK
        ran = run("attack", "--model", f"{name}.safetensors", *words, "--seed", seed, "--force", "-o", "set.h5")
        assert ran.code == 0, ran.err
        ran = run("evaluate", "--model", f"{name}.safetensors", "set.h5", "--strict", "--json")
        assert ran.code == 0, ran.out
        assert len(json.loads(ran.out)["checks"]) >= 5

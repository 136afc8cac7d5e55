"""Universal perturbations: the direction that all images share, a file, applied to others, held to the budget."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch

from advcli.catalog import discovery
from advcli.crafting import universal
from advcli.files.imageset_reader import ImageSet
from advcli.numerics.quantities import budgets
from advcli.search.job import Job
from advcli.search.victim import Tally
from conftest import Halfspace, attacked, in_memory, near_the_plane


def test_universal_finds_the_direction_that_all_images_share():
    """Images of one side of a half-space: the best v of the budget is known, and so is whom it turns."""
    for norm, steepest in (("linf", lambda w: w.sign()), ("l2", lambda w: w / w.norm())):
        model, x = Halfspace().requires_grad_(False), near_the_plane(60)
        label = model(x).argmax(1)
        x, label = x[label == 1], label[label == 1]
        far = model.distance(x, norm)
        eps = float(far.median()) + 1e-4
        for variant in ("sgd", "deepfool"):
            made = attacked("universal", model, x, label, f"{eps:.6f}", options={"norm": norm, "variant": variant, "epochs": 20})
            assert (made["success"].astype(bool) <= (far <= eps).numpy()).all()
            assert made["success"].sum() >= (1 if variant == "deepfool" else 0.95) * 0.5 * (far <= eps).sum()
        best = attacked("universal", model, x, label, f"{eps:.6f}", options={"norm": norm, "epochs": 20})
        v = torch.from_numpy(best["images"] - best["originals"])
        assert (v - v[:1]).abs().max() < 1e-6, "one for all"
        torch.testing.assert_close(v[0].flatten(), -eps * steepest(model.w), atol=2e-3 * eps, rtol=0)
        assert best["success"].sum() == (far < eps * (1 - 2e-3)).sum()


@pytest.mark.parametrize(("target", "left"), [(None, [0, 1]), ("0", [1]), ("1", [0])])
def test_it_is_fitted_on_the_right_images_of_every_class_but_the_target(target, left):
    model, x = Halfspace().requires_grad_(False), 0.5 + 0.3 * (torch.rand(40, 3, 2, 2) - 0.5)
    label = model(x).argmax(1)
    label[:5] = 1 - label[:5]  # wrong from the start
    method = discovery.spec("attack", "universal").bind({})
    job = Job(model, method, "linf", budgets("0.1"), target, "true", 0, torch.device("cpu"))
    images = universal.fitting_images(job, in_memory(x, label, 2), Tally(40), 0)
    seen = torch.cat([part for _, part, _ in images.pass_(0)])
    decided = model(seen).argmax(1)
    assert sorted(set(decided.tolist())) == left
    assert len(seen) == int(sum((label[5:] == one).sum() for one in left))


def test_universal_reaches_a_class_and_refuses_a_rule(run, model):
    ran = run("attack", "--method", "universal", "--target", "3", "--limit", "60", "--eps", "0.4", "--fit-limit", "300")
    assert ran.code == 0, ran.err
    with ImageSet("adversarial.h5") as made:
        assert set(made.column("target")) == {3}
        assert made.column("success").mean() > 0.3
    with ImageSet("adversarial.universal.h5") as fitted:
        assert fitted.column("target").tolist() == [3]
    assert "single target class" in run("attack", "--method", "universal", "--target", "next").err
    assert (
        "does not support --target"
        in run("attack", "--method", "universal", "--target", "3", "--variant", "deepfool", "--force").err
    )


FITTED = ("attack", "--method", "universal", "--limit", "50", "--eps", "0,0.1,0.2", "--fit-limit", "200", "--epochs", "3")


def test_a_universal_perturbation_is_a_file_and_goes_through_every_verb(run, model):
    ran = run(*FITTED)
    assert ran.code == 0, ran.err
    assert run("verify", "adversarial.h5", "perturbations.h5", "adversarial.universal.h5").code == 0
    with ImageSet("adversarial.universal.h5") as fitted, ImageSet("adversarial.h5") as made:
        v = fitted.rows("images", 0, 3)
        assert fitted.header["fitted"] == made.header["fitted"]
        assert fitted.header["fitted"]["gradients"] > 3 * 2 * 150
        assert fitted.header["fitted"]["queries"] == 0, "each step takes a gradient, which gives the answer too"
        assert fitted.column("epsilon").tolist() == [0, np.float32(0.1), np.float32(0.2)]
        assert float(v[0].abs().max()) == 0
        for budget in range(3):
            mine = made.pick("images", range(budget, 150, 3)) - made.pick("originals", range(50))
            changed = mine.abs().amax((1, 2, 3)) > 0
            room = (made.pick("originals", range(50)) + v[budget]).clamp(0, 1) - made.pick("originals", range(50))
            torch.testing.assert_close(mine[changed], room[changed], atol=1e-6, rtol=0)
    assert "white-box" in run("evaluate", "adversarial.h5").out
    assert "0.2" in run("stats", "adversarial.universal.h5").out
    assert run("export", "adversarial.universal.h5", "-o", "v.npz").code == 0
    for words in (["evaluate"], ["attack", "--data"], ["train", "--data"]):
        ran = run(*words, "adversarial.universal.h5")
        assert ran.code == 3
        assert "--apply adversarial.universal.h5" in ran.err


def test_universal_perturbations_are_applied_to_other_images_and_models(run, model):
    assert run(*FITTED, "-o", "u.h5").code == 0
    assert run("train", "--seed", "9", "--epochs", "3", "-o", "other.safetensors").code == 0
    ran = run("attack", "--apply", "u.universal.h5", "--model", "other.safetensors", "--data", "digits:val", "--limit", "30")
    assert ran.code == 0, ran.err
    assert run("verify", "adversarial.h5", "perturbations.h5").code == 0
    with ImageSet("adversarial.h5") as made, ImageSet("u.universal.h5") as fitted:
        assert len(made) == 90
        assert made.column("queries").sum() == made.column("gradients").sum() == 0
        assert made.header["access"] == "none"
        turned = made.column("success").astype(bool) & (np.arange(90) % 3 == 2)
        row = int(np.argmax(turned))
        wanted = (made.pick("originals", [row // 3]) + fitted.rows("images", 2, 3)).clamp(0, 1)
        assert turned.any()
        torch.testing.assert_close(made.pick("images", [row]), wanted, atol=1e-6, rtol=0)
    rows = json.loads(run("evaluate", "adversarial.h5", "--model", "other.safetensors", "--model", model, "--json").out)["rows"]
    assert {(row["model"], row["threat"]["knowledge"]) for row in rows if row["metric"] == "success"} == {
        ("other.safetensors", "transfer"),
        (str(model), "white-box"),
    }
    before = Path("adversarial.h5").read_bytes()
    line = next(line.split("command ")[1] for line in run("show", "adversarial.h5").out.splitlines() if "command " in line)
    Path("adversarial.h5").unlink()
    assert "--apply u.universal.h5" in line
    assert run(*shlex.split(line)[1:]).code == 0
    assert Path("adversarial.h5").read_bytes() == before


@pytest.mark.parametrize("name", ["adversarial.universal.h5", "adversarial.h5"])
def test_the_command_that_is_shown_makes_the_perturbation_and_its_set_again(run, model, name):
    assert run(*FITTED).code == 0
    before = Path(name).read_bytes()
    line = next(line.split("command ")[1] for line in run("show", name).out.splitlines() if "command " in line)
    for path in ("adversarial.h5", "adversarial.universal.h5"):
        Path(path).unlink()
    assert run(*shlex.split(line)[1:]).code == 0
    assert Path(name).read_bytes() == before


def test_an_interrupted_fit_goes_on_after_the_last_whole_budget(run, model, monkeypatch):
    assert run(*FITTED, "-o", "whole.h5").code == 0
    fits = []

    def stop(*args: object) -> object:
        fits.append(args)
        if len(fits) == 3:
            raise KeyboardInterrupt
        return fitted(*args)

    fitted = universal.fit_perturbation
    monkeypatch.setattr(universal, "fit_perturbation", stop)
    assert run(*FITTED).code == 130
    assert run(*FITTED).code == 0
    assert len(fits) == 4, "two budgets were kept"
    assert Path("adversarial.universal.h5").read_bytes() == Path("whole.universal.h5").read_bytes()
    assert Path("adversarial.h5").read_bytes() == Path("whole.h5").read_bytes()
    assert not list(Path().glob("*.parts"))


def test_apply_takes_universal_perturbations_for_these_images_only(run, model):
    assert run(*FITTED, "-o", "u.h5").code == 0
    for words, complaint in (
        ("--eps 0.1", "no option --eps"),
        ("--target 3", "no option --target"),
        ("--steps 3", "no option --steps"),
        ("--restarts 3", "no option --restarts"),
        ("--method fgsm", "leave out --method fgsm"),
    ):
        ran = run("attack", "--apply", "u.universal.h5", *words.split())
        assert (ran.code, complaint in ran.err) == (2, True), ran.err
    assert "holds adversarial images" in run("attack", "--apply", "u.h5").err
    np.savez("big.npz", images=np.zeros((4, 1, 9, 9), np.float32), labels=np.arange(4))
    ran = run("attack", "--apply", "u.universal.h5", "-o", "u.universal.h5")
    assert ran.code == 2, "an input is never replaced"


def test_a_users_own_universal_method_is_held_to_its_budget(run, model):
    Path("veils.py").write_text(
        '''"""A bright veil."""
import torch
from advcli.extend import attack

@attack(family="universal", kind="universal", norms=("linf",), access="none", targeted=False)
def veil(crowd, eps, *, rng):
    return torch.full((1, *crowd.shape), 5.0)

@attack(family="universal", kind="universal", norms=("linf",), access="gradient", targeted=False)
def many(crowd, eps, *, rng):
    return torch.zeros(2, *crowd.shape)
'''
    )
    ran = run("attack", "--method", "veils:veil", "--eps", "0.25", "--limit", "10")
    assert ran.code == 0, ran.err
    assert run("verify", "adversarial.h5", "adversarial.universal.h5").code == 0
    with ImageSet("adversarial.universal.h5") as fitted:
        assert float(fitted.rows("images", 0, 1).max()) == 0.25
    ran = run("attack", "--method", "veils:many", "-o", "m.h5")
    assert ran.code == 2
    assert "veils:many returned" in ran.err


def test_the_slope_is_taken_where_the_perturbation_has_led():
    """In the second pass the model is asked at the images with what the first pass found."""

    class Asked(Halfspace):
        def forward(self, x, draws=None):
            if x.requires_grad:
                seen.append(x.detach().clone())
            return super().forward(x)

    x = near_the_plane(8)
    label = Halfspace()(x).argmax(1)
    once = attacked("universal", Halfspace().requires_grad_(False), x, label, "0.02", options={"epochs": 1})
    seen: list[torch.Tensor] = []
    attacked("universal", Asked().requires_grad_(False), x, label, "0.02", options={"epochs": 2})
    v = torch.from_numpy(once["images"] - once["originals"])[:1]
    assert v.abs().max() > 0.001
    torch.testing.assert_close(seen[-1].mean(0) - x.mean(0), v[0], atol=1e-6, rtol=0)  # the order of the images is drawn

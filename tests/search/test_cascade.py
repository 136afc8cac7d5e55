"""A cascade: every stage works on what still resists, breaks there what it breaks alone, and the file says who did."""

import json

import h5py
import numpy as np
import pytest
import torch

from advcli.catalog import discovery
from advcli.errors import CommandError
from advcli.numerics.rng import SampleRNG
from advcli.search.cascade import spelled, stages_of
from advcli.training.inner_attack import inner_attack
from conftest import attacked
from small_networks import Small, pictures

OWN = '''"""One small step, then a larger search."""
from advcli.extend import attack

@attack(family="mine", kind="cascade", norms=("linf",), access="gradient", targeted=False)
def two(*, classes, random):
    return {stages}
'''


def subject(classes=5, count=60):
    model, x = Small((1, 6, 6), classes), pictures((1, 6, 6), count)
    return model, x, model(x).argmax(1)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_no_image_stands_that_a_stage_breaks_alone(norm):
    model, x, label = subject()
    eps = {"linf": "0.08", "l2": "0.3", "l1": "1.2"}[norm]
    whole = attacked("autoattack", model, x, label, eps, options={"norm": norm, "queries": 200})
    assert 0 < whole["success"].sum() < len(x), "the budget tells nothing apart"
    stages = stages_of(discovery.spec("attack", "autoattack").bind({"norm": norm, "queries": 200}), 5, random=False)
    for number, stage in enumerate(stages):
        budgeted = stage.spec.traits.budgeted
        alone = attacked(stage.spec.name, model, x, label, eps if budgeted else "", options=stage.parameters)
        far = (alone["images"] - x.numpy()).reshape(len(x), -1)
        size = np.linalg.norm(far, {"linf": np.inf, "l2": 2, "l1": 1}[norm], axis=1)
        broken = alone["success"].astype(bool) & (budgeted | (size <= float(eps)))
        assert not (broken & (whole["success"] == 0)).any(), f"stage {number} breaks alone what the cascade left"
        mine = whole["stage"] == number
        assert (alone["images"][mine & budgeted] == whole["images"][mine & budgeted]).all(), "its points are those it finds alone"


def test_later_stages_see_only_what_resists():
    model, x, label = subject()
    made = attacked("autoattack", model, x, label, "0.2", options={"queries": 100})
    won = made["success"].astype(bool)
    assert ((made["stage"] >= 0) == won).all()
    first = made["stage"] == 0
    assert first.any()
    assert (made["gradients"][first] <= 10).all(), "whoever fell in the first stage has paid for no other"
    assert (made["queries"][first] <= 1).all()


def test_what_falls_at_a_budget_falls_at_every_larger_one_for_nothing():
    model, x, label = subject()
    one, both = (attacked("autoattack", model, x, label, eps, options={"queries": 100}) for eps in ("0.1", "0.1,0.2"))
    small, large = (both["success"].reshape(-1, 2)[:, k].astype(bool) for k in (0, 1))
    assert (large >= small).all()
    assert (both["images"].reshape(-1, 2, 1, 6, 6)[small, 1] == both["images"].reshape(-1, 2, 1, 6, 6)[small, 0]).all()
    assert (both["stage"].reshape(-1, 2)[small, 1] == both["stage"].reshape(-1, 2)[small, 0]).all()
    assert (both["gradients"].reshape(-1, 2)[small, 0] == one["gradients"][small]).all()


@pytest.mark.parametrize("classes", [2, 3, 4, 10])
def test_few_classes_have_losses_that_are_defined(classes):
    model, x, label = subject(classes, 40)
    made = attacked("autoattack", model, x, label, "0.6", options={"queries": 100})
    assert np.isfinite(made["images"]).all()
    assert made["success"].mean() > 0.8


def test_a_random_model_has_stages_of_its_own():
    bound = discovery.spec("attack", "autoattack").bind({})
    plain, random = ([spelled(one) for one in stages_of(bound, 10, random=flag)] for flag in (False, True))
    assert "deepfool" in plain
    assert "deepfool" not in random
    assert {"apgd", "apgd:objective=dlr"} <= set(random)


def test_the_stages_are_those_that_the_docstring_names_with_the_papers_queries():
    """5,000 queries of Square Attack, as in the paper; towards three classes, or all others where there are fewer."""
    bound = discovery.spec("attack", "autoattack").bind({})
    first = ["fgsm:objective=margin", "pgd:steps=10,objective=margin", "deepfool", "apgd"]
    for classes, towards in ((10, "apgd:targets=3"), (3, "apgd:targets=2"), (2, "apgd:objective=margin")):
        assert bound(classes=classes, random=False) == [*first, towards, "fab", "square:steps=5000"]
    sparse = discovery.spec("attack", "autoattack").bind({"norm": "l1"})
    assert sparse(classes=10, random=False)[:3] == ["fgm:objective=margin", "pgd:steps=10,objective=margin", "apgd"]


def test_a_stage_that_needs_another_kind_of_attack_is_refused(folder):
    for number, stages in enumerate(
        ('["substitute"]', '["autoattack"]', '["spatial"]', '["fool-gradient"]', '["pgd:norm=l2,steps=0"]')
    ):
        (folder / f"own{number}.py").write_text(OWN.format(stages=stages))
        bound = discovery.spec("attack", f"own{number}:two").bind({})
        with pytest.raises(CommandError):
            stages_of(bound, 3, random=False)


def test_a_cascade_of_ones_own_runs_from_the_command_line(run, model, folder):
    (folder / "mine.py").write_text(OWN.format(stages='["fgsm", "pgd:steps=20"]'))
    ran = run("attack", "--method", "mine:two", "--eps", "0.1", "--limit", "60")
    assert ran.code == 0, ran.err
    assert "stages: fgsm, pgd:steps=20" in ran.err
    table = run("evaluate", "adversarial.h5", "--allow", "mine:two")
    assert table.code == 0, table.err
    assert "broken-by pgd:steps=20" in table.out
    assert "automatic steps" in table.out, "it counts as an iterated attack, which the checks compare with others"
    with h5py.File("adversarial.h5") as made:
        stage, success = made["stage"][:], made["success"][:]
    assert set(stage[success == 1]) <= {0, 1}
    assert (stage[success == 0] == -1).all()


def test_the_shares_of_the_stages_add_up_to_the_success(run, model):
    assert run("attack", "--method", "autoattack", "--queries", "50", "--eps", "0.1", "--limit", "80").code == 0
    rows = json.loads(run("evaluate", "adversarial.h5", "--json").out)["rows"]
    success = next(row for row in rows if row["metric"] == "success")
    parts = [row for row in rows if row["metric"] == "broken-by"]
    assert sum(row["k"] for row in parts) == success["k"] > 0
    assert len({row["n"] for row in [*parts, success]}) == 1
    stripped = run("attack", "--method", "pgd", "--eps", "0.1", "--limit", "20", "-o", "plain.h5")
    assert stripped.code == 0
    assert not [row for row in json.loads(run("evaluate", "plain.h5", "--json").out)["rows"] if row["metric"] == "broken-by"]


def test_inside_training_a_cascade_is_an_attack_like_another():
    model, x, label = subject(5, 20)
    one = inner_attack("autoattack:eps=0.2,queries=20", 1)
    found = one.attacked(model, x, label, SampleRNG(0, torch.arange(20)))
    alone = inner_attack("apgd:eps=0.2", 1).attacked(model, x, label, SampleRNG(0, torch.arange(20)))
    fooled, by_one = (model(points).argmax(1) != label for points in (found, alone))
    assert by_one.any()
    assert (fooled >= by_one).all()
    assert (found - x).abs().max() <= 0.2 + 1e-6

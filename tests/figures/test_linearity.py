"""The loss and the logits along the gradient: against closed forms on an affine model, and against SciPy."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from scipy.stats import linregress
from torch import nn

import attacked_set
from advcli.errors import NoGradient
from advcli.evaluation.selected_rows import SelectedRows, select
from advcli.figures.linearity import linearity
from advcli.files.imageset_reader import ImageSet
from judged_modules import affine, judge_of

CLASSES = ("a", "b", "c")


def chosen(opened: ImageSet, rows: str | None = None) -> SelectedRows:
    return select(opened, of=None, by="none", where=None, rows=rows)


@pytest.fixture
def pairs(folder: Path) -> dict[str, np.ndarray]:
    """Nine images under two budgets each; the last one has no label."""
    clean = np.random.default_rng(0).random((9, 1, 3, 3), dtype=np.float32)
    place, labels = np.repeat(np.arange(9), 2), np.repeat(np.arange(9) % 3, 2)
    labels[-2:] = -1
    given = {"images": clean[place], "originals": clean, "original": place, "index": place + 40, "labels": labels,
             "clean_prediction": np.repeat(np.arange(9) % 3, 2), "epsilon": np.tile(np.array([0.1, 0.2], np.float32), 9)}  # fmt: skip
    attacked_set.write("a.h5", given, norm="linf", epsilon=["0.1", "0.2"], classes=list(CLASSES))
    with h5py.File("a.h5") as file:
        return {name: file[name][:] for name in file}


@pytest.mark.parametrize("direction", ["sign", "gradient"])
def test_the_loss_and_its_first_order_are_those_of_the_formula(pairs, direction):
    """S2-A1: the loss along the gradient, and L(x) + t d . gradient beside it, for each image that has a label, once."""
    judge, weight, bias = affine((1, 3, 3), CLASSES)
    with ImageSet("a.h5") as opened:
        found = linearity(chosen(opened), judge, ways=50, reach=0.2, steps=4, direction=direction)
    mine = [row for row in found.rows if row["of"] == "image"]
    assert [row["index"] for row in mine[::5]] == list(range(40, 48))
    for n, x in enumerate(pairs["originals"][:8].reshape(8, -1).astype(float)):
        label, z = n % 3, x @ weight.T + bias
        slope = weight.T @ (softmax(z) - np.eye(3)[label])
        move = np.sign(slope) if direction == "sign" else slope / np.linalg.norm(slope)
        for t, row in zip(np.linspace(0, 0.2, 5), mine[5 * n : 5 * n + 5], strict=True):
            assert row["step"] == pytest.approx(t)
            assert row["loss"] == pytest.approx(-log_softmax((x + t * move) @ weight.T + bias)[label], abs=1e-5)
            assert row["first order loss"] == pytest.approx(-log_softmax(z)[label] + t * slope @ move, abs=1e-5)
    for k, row in enumerate(row for row in found.rows if row["of"] == "mean"):
        losses, first = (np.array([one[name] for one in mine]).reshape(8, 5) for name in ("loss", "first order loss"))
        assert row["images"] == 8
        assert row["increase"] == pytest.approx((losses[:, k] - losses[:, 0]).mean(), abs=1e-9)
        if k:
            assert row["ratio"] == pytest.approx(row["increase"] / (first[:, k] - losses[:, 0]).mean(), rel=1e-9)
            assert row["ratio"] > 1, "a cross-entropy behind an affine map is convex"


def test_logits_of_an_affine_model_are_straight_and_others_are_fitted_as_scipy_fits_them(pairs):
    """S1-K5: R^2 of a straight line through the logits from 0 to each step."""
    judge, _, _ = affine((1, 3, 3), CLASSES)
    bent = judge_of(nn.Sequential(nn.Flatten(), nn.Linear(9, 3), nn.Softplus(3), nn.Linear(3, 2)), (1, 3, 3), ("a", "b"))
    with ImageSet("a.h5") as opened:
        straight = linearity(chosen(opened), judge, ways=3, steps=5).rows
        assert all(row["r2"] > 1 - 1e-6 for row in straight if row["of"] == "image" and row["step"] > 0.03)
        assert all(np.isnan(row["r2"]) for row in straight if row["step"] < 0.03), "two points are always in line"
    attacked_set.write(
        "two.h5",
        {"images": pairs["originals"][:2], "labels": np.array([0, 1]), "prediction": np.array([1, 0])},
        classes=["a", "b"],
    )
    with ImageSet("two.h5") as opened:
        found = linearity(chosen(opened), bent, ways=2, reach=3, steps=6, direction="gradient").rows
        x = torch.full((2, 1, 3, 3), 0.5, requires_grad=True)  # the originals of that set
        nn.functional.cross_entropy(bent.module(x), torch.tensor([0, 1]), reduction="sum").backward()
        for n, label in enumerate((0, 1)):
            move = x.grad[n] / x.grad[n].norm()
            t = np.linspace(0, 3, 7)
            with torch.no_grad():
                z = bent.module(x[n] + torch.from_numpy(t).float().view(-1, 1, 1, 1) * move).double().numpy()
            for last in (2, 4, 6):
                parts = [(linregress(t[: last + 1], z[: last + 1, k]).rvalue ** 2, z[: last + 1, k].var()) for k in (0, 1)]
                wanted = sum(fit * size for fit, size in parts) / sum(size for _, size in parts)
                (row,) = [row for row in found if row.get("label") == "ab"[label] and row["step"] == t[last]]
                assert row["r2"] == pytest.approx(wanted, abs=1e-5)


def test_without_images_and_without_gradients(pairs, run):
    judge, _, _ = affine((1, 3, 3), CLASSES)
    flat = nn.Sequential(nn.Flatten(), nn.Linear(9, 3))
    nn.init.zeros_(flat[1].weight)
    with ImageSet("a.h5") as opened:
        nobody = linearity(chosen(opened, "failures"), judge)
        assert nobody.rows == []
        with pytest.raises(NoGradient, match="has no gradient"):
            linearity(chosen(opened), judge_of(flat, (1, 3, 3), CLASSES))


def test_a_model_of_trees_has_no_such_figure(run, folder):
    assert run("train", "--arch", "tree", "--limit", "200", "-o", "model.safetensors").code == 0
    assert run("attack", "--method", "noise", "--limit", "5").code == 0
    ran = run("stats", "adversarial.h5", "--figure", "linearity", "-o", "out")
    assert ran.code == 3
    assert "has no gradient at these images" in ran.err
    assert not Path("out").exists()


def test_the_figure_is_drawn_for_one_image(run, model):
    assert run("attack", "--method", "fgsm", "--eps", "0.1", "--limit", "5").code == 0
    shutil.copy("adversarial.h5", "b.h5")
    ran = run("stats", "b.h5", "--figure", "linearity", "--ways", "1", "--steps", "2", "-o", "out")
    assert ran.code == 0, ran.err
    assert Path("out/linearity.png").exists()


def test_all_figures_of_a_model_and_a_set_go_together(run, model):
    assert run("attack", "--method", "fgsm", "--eps", "0.1", "--limit", "5").code == 0
    words = [word for name in ("sensitivity", "linearity", "landscape", "activations") for word in ("--figure", name)]
    ran = run("stats", "adversarial.h5", *words, "--reach", "0.05", "--steps", "2", "--format", "svg", "-o", "out")
    assert ran.code == 0, ran.err
    assert len([*Path("out").glob("*.svg")]) == 4

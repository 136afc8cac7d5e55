"""The loss over two directions: against the closed form on an affine model."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.special import log_softmax, softmax

import attacked_set
from advcli.evaluation.selected_rows import SelectedRows, select
from advcli.figures.landscape import landscape
from advcli.files.imageset_reader import ImageSet
from judged_modules import affine

CLASSES = ("a", "b", "x" * 60)


def chosen(opened: ImageSet, rows: str | None = None) -> SelectedRows:
    return select(opened, of=None, by="none", where=None, rows=rows)


@pytest.fixture
def originals(folder: Path) -> np.ndarray:
    """Fifteen grey images and as many attacked ones."""
    clean = np.random.default_rng(0).random((15, 1, 2, 3), dtype=np.float32)
    attacked_set.write("a.h5", {"images": 1 - clean, "originals": clean, "labels": np.arange(15) % 3}, classes=list(CLASSES))
    with h5py.File("a.h5") as file:
        return file["originals"][:].astype(float)


@pytest.mark.parametrize("first", ["gradient", "random"])
def test_the_centre_is_the_plain_loss_and_every_point_that_of_the_formula(originals, first):
    """S1-K3: loss surface over two directions; the centre is the plain loss, the grid is symmetric."""
    judge, weight, bias = affine((1, 2, 3), CLASSES)
    with ImageSet("a.h5") as opened:
        found = landscape(chosen(opened), judge, panels=2, reach=0.2, steps=3, first=first)
        again = landscape(chosen(opened), judge, panels=2, reach=0.2, steps=3, first=first)
    assert found.rows == again.rows, "the random direction is that of the seed"
    for place, head in zip((0, 14), found.rows[:2], strict=True):
        mine = [row for row in found.rows if row["of"] == "point" and row["index"] == place]
        x, label = originals[place].ravel(), place % 3
        assert head["loss"] == pytest.approx(-log_softmax(x @ weight.T + bias)[label], abs=1e-5)
        losses = np.array([row["loss"] for row in mine]).reshape(7, 7)
        assert (head["lowest"], head["highest"]) == (losses.min(), losses.max())
        assert losses[3, 3] == head["loss"]
        a, b = (np.array([row[name] for row in mine]).reshape(7, 7) for name in ("first", "second"))
        np.testing.assert_allclose(a, -a[:, ::-1])
        np.testing.assert_allclose(b, -b[::-1])
        np.testing.assert_allclose([a.max(), b.max()], 0.2)
        wanted = np.sign(weight.T @ (softmax(x @ weight.T + bias) - np.eye(3)[label]))
        signs = np.array(np.meshgrid(*[[-1, 1]] * 6)).reshape(6, -1).T
        fits = [
            (one, other)
            for one in ([wanted] if first == "gradient" else signs)
            for other in signs
            if abs(-log_softmax((x + 0.2 * one) @ weight.T + bias)[label] - losses[3, 6]) < 1e-5
            and abs(-log_softmax((x + 0.2 * other) @ weight.T + bias)[label] - losses[6, 3]) < 1e-5
        ]
        assert fits, "two directions of signs explain the edges of the grid"
        one, other = fits[0]
        points = x + a.reshape(-1, 1) * one + b.reshape(-1, 1) * other
        z = points @ weight.T + bias
        np.testing.assert_allclose(losses.ravel(), -log_softmax(z, axis=1)[:, label], atol=1e-5)
        assert [row["prediction"] for row in mine] == [CLASSES[k] for k in z.argmax(1)]
        assert head["correct"] == pytest.approx((z.argmax(1) == label).mean())


def test_all_panels_have_one_scale_and_no_images_are_no_failure(originals):
    judge, _, _ = affine((1, 2, 3), CLASSES)
    with ImageSet("a.h5") as opened:
        found = landscape(chosen(opened), judge, panels=15, steps=2)
        nobody = landscape(chosen(opened, "failures"), judge)
    maps = [image for axes in found.figure.axes for image in axes.images]
    assert len(maps) == 12
    assert len({image.get_clim() for image in maps}) == 1
    assert "the first 12" in found.figure.get_suptitle()
    assert len([row for row in found.rows if row["of"] == "image"]) == 15
    assert nobody.rows == []


def test_a_model_without_a_gradient_has_random_directions(run, folder):
    assert run("train", "--arch", "tree", "--limit", "200", "-o", "model.safetensors").code == 0
    assert run("attack", "--method", "noise", "--limit", "5").code == 0
    words = ("stats", "adversarial.h5", "--figure", "landscape", "--steps", "2")
    assert run(*words, "-o", "out").code == 3
    ran = run(*words, "--first", "random", "-o", "out")
    assert ran.code == 0, ran.err
    assert Path("out/landscape.png").exists()

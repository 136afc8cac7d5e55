"""Forward error, backward error and their ratio, recomputed from the file's arrays."""

import csv

import h5py
import numpy as np
import pytest
from scipy.special import softmax

import attacked_set
from advcli.evaluation.selected_rows import select
from advcli.figures.sensitivity import sensitivity
from advcli.files.imageset_reader import ImageSet
from judged_modules import affine

CLASSES = ("a", "b", "c")


def chosen(opened: ImageSet, rows: str | None = None):
    return select(opened, of=None, by="none", where=None, rows=rows)


def pairs(path: str, clean: np.ndarray, moved: np.ndarray, epsilon: tuple[str, ...] = ("0.1",), **columns: object) -> None:
    """A set of clean images and what they became."""
    n = len(clean)
    given = {"images": moved, "originals": clean, "labels": np.zeros(n, np.int64), "prediction": np.ones(n, np.int64),
             "clean_prediction": np.zeros(n, np.int64), "epsilon": np.tile(np.array([float(e) for e in epsilon], np.float32), n)[:n]}  # fmt: skip
    attacked_set.write(path, given | columns, norm="linf", epsilon=list(epsilon), classes=list(CLASSES))


@pytest.mark.parametrize(("norm", "power"), [("l2", 2), ("l1", 1), ("linf", np.inf)])
@pytest.mark.parametrize("space", ["prob", "logit"])
def test_every_number_is_numpys(folder, norm, power, space):
    """S0-F2: forward error, backward error and their ratio of every image, and the medians of every budget."""
    judge, weight, bias = affine((1, 3, 3), CLASSES)
    draw = np.random.default_rng(0)
    clean = draw.random((20, 1, 3, 3), dtype=np.float32)
    moved = (clean + draw.uniform(-0.1, 0.1, clean.shape)).clip(0, 1).astype(np.float32)
    moved[:2] = clean[:2]
    pairs("a.h5", clean, moved, ("0.1", "0.2"))
    with ImageSet("a.h5") as opened:
        found = sensitivity(chosen(opened), judge, norm=norm, space=space)
    with h5py.File("a.h5") as file:
        x, y, eps = file["originals"][:][file["original"][:]], file["images"][:], file["epsilon"][:]
    far = np.linalg.norm((y.astype(float) - x).reshape(20, -1), power, axis=1)
    out = [one.reshape(20, -1) @ weight.T + bias for one in (x, y)]
    out = [softmax(one.astype(float), axis=1) for one in out] if space == "prob" else out
    wide = np.linalg.norm(out[1].astype(float) - out[0], power, axis=1)
    mine = [row for row in found.rows if row["of"] == "image"]
    np.testing.assert_allclose([row["backward"] for row in mine], far, rtol=1e-9)
    np.testing.assert_allclose([row["forward"] for row in mine], wide, atol=3e-6)  # the network computes in float32
    ratio = np.array([row["forward"] for row in mine]) / np.where(far > 0, far, np.nan)
    np.testing.assert_allclose([row["ratio"] for row in mine], ratio, rtol=1e-9)
    for row in found.rows[:2]:
        here = np.isclose(eps, float(row["epsilon"]))
        assert (row["of"], row["rows"], row["undefined"]) == ("median", 10, 1)
        assert row["ratio"] == pytest.approx(np.nanmedian(ratio[here]), rel=1e-9)
        assert row["lower quartile"] == pytest.approx(np.nanquantile(ratio[here], 0.25), rel=1e-9)
    assert "2 not moved" in found.figure.get_suptitle()


def test_an_affine_model_is_as_sensitive_as_its_spectral_norm_and_no_more(folder):
    """S0-F2: the ratio is at most the spectral norm of W, and equals it along the first right singular vector."""
    judge, weight, _ = affine((1, 3, 3), CLASSES)
    _, size, right = np.linalg.svd(weight.astype(float))
    draw = np.random.default_rng(1)
    clean = np.full((12, 1, 3, 3), 0.5, np.float32)
    moved = clean + draw.normal(0, 0.1, clean.shape).astype(np.float32)
    moved[0] = clean[0] + 0.25 * right[0].reshape(1, 3, 3).astype(np.float32)
    pairs("a.h5", clean, moved.clip(0, 1))
    with ImageSet("a.h5") as opened:
        ratio = [row["ratio"] for row in sensitivity(chosen(opened), judge, space="logit").rows if row["of"] == "image"]
    assert ratio[0] == pytest.approx(size[0], rel=1e-5)
    assert max(ratio) <= size[0] * (1 + 1e-5)
    assert max(ratio[1:]) < 0.99 * size[0]


def test_rows_that_were_not_moved_have_no_ratio_and_none_is_no_failure(folder):
    judge, _, _ = affine((1, 3, 3), CLASSES)
    clean = np.full((4, 1, 3, 3), 0.5, np.float32)
    pairs("a.h5", clean, clean)
    with ImageSet("a.h5") as opened:
        found = sensitivity(chosen(opened), judge)
        assert [row["undefined"] for row in found.rows if row["of"] == "median"] == [4]
        assert all(np.isnan(row["ratio"]) for row in found.rows)
        assert "no rows" in {text.get_text() for axes in found.figure.axes for text in axes.texts}
        nobody = sensitivity(chosen(opened, rows="failures"), judge)
    assert nobody.rows == []


def test_an_original_of_several_budgets_counts_for_each(folder, run, model):
    """The figure as the command draws it, with more budgets than histograms."""
    assert run("attack", "--method", "fgsm", "--eps", "0.05:0.2:0.05", "--limit", "20").code == 0
    ran = run("stats", "adversarial.h5", "--figure", "sensitivity", "--space", "logit", "-o", "out")
    assert ran.code == 0, ran.err
    with open("out/sensitivity.csv") as file:
        found = [row for row in csv.DictReader(file) if row["of"] == "image"]
    with h5py.File("adversarial.h5") as file:
        x, y = (file["originals"][:][file["original"][:]].astype(float), file["images"][:].astype(float))
    places = [int(row["row"]) for row in found]
    far = np.linalg.norm((y - x).reshape(len(x), -1), axis=1)[places]
    np.testing.assert_allclose([float(row["backward"]) for row in found], far, rtol=1e-9)

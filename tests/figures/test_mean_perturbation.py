"""The mean perturbation of pairs: its correlations against SciPy's, and what is drawn."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import pearsonr

import attacked_set
import class_pairs
from advcli.evaluation.drawing import Drawing, style
from advcli.evaluation.selected_rows import select
from advcli.figures import mean_perturbation as module
from advcli.figures.mean_perturbation import mean_perturbation
from advcli.files.imageset_reader import ImageSet


def made(path: str, *, rows: str | None = None, where: str | None = None, **options: object) -> Drawing:
    with ImageSet(path) as opened:
        chosen = select(opened, of=None, by="none", where=where, rows=rows)
        with style():
            return mean_perturbation(chosen, **options)


@pytest.mark.parametrize("shape", [(1, 4, 5), (3, 3, 3)], ids=["grey", "colour"])
def test_every_correlation_is_scipys(folder, shape):
    """S0-F4: with the mean original of each class less that of the source, of perturbations and of their signs."""
    class_pairs.write("set.h5", classes=4, shape=shape)
    found = made("set.h5")
    for eps, value in class_pairs.BUDGETS.items():
        columns, attacked = class_pairs.chosen("set.h5", eps, value)
        mean = columns["originals"].astype(float).reshape(4, 2, -1).mean(1)
        for s in range(4):
            for t in set(range(4)) - {s}:
                here = attacked & (columns["labels"] == s) & (columns["target"] == t)
                moved = columns["moved"][here].astype(float).reshape(here.sum(), -1)
                lines = [row for row in found.rows if (row["epsilon"], row["source"], row["target"]) == (eps, f"c{s}", f"c{t}")]
                assert [row["n"] for row in lines] == [here.sum()] * 3
                assert lines[0]["against"] == f"c{t}"
                for line in lines:
                    difference = mean[int(line["against"][1:])] - mean[s]
                    wanted = [pearsonr(p, difference)[0] for p in (moved.mean(0), np.sign(moved).mean(0))]
                    np.testing.assert_allclose([line["correlation"], line["sign_correlation"]], wanted, atol=1e-9)
                best = max(lines, key=lambda line: line["correlation"])
                assert [line["best"] for line in lines] == [int(line is best) for line in lines]
    assert "9 of 12 pairs are drawn" in found.figure.get_suptitle()
    assert "budget 0.3 (the largest)" in found.figure.get_suptitle()


def test_an_attack_that_writes_the_target_correlates_with_it_and_noise_with_nothing(folder):
    """S0-F4: the target is the best match of each pair; a perturbation of noise has a correlation near 0."""
    draw = np.random.default_rng(0)
    patterns = draw.random((3, 1, 20, 20))
    labels = np.repeat(np.arange(3), 20)
    target = (labels + draw.integers(1, 3, 60)) % 3
    originals = (patterns[labels] + draw.normal(0, 0.05, (60, 1, 20, 20))).clip(0, 1)
    written = originals + 0.1 * (patterns[target] - patterns[labels]) + draw.normal(0, 0.02, originals.shape)
    noise = originals + draw.normal(0, 0.05, originals.shape)
    for name, images in (("written.h5", written), ("noise.h5", noise)):
        columns = {"images": images.clip(0, 1), "originals": originals.astype(np.float32), "labels": labels, "target": target}
        attacked_set.write(name, columns | {"prediction": target})
    own = [[row for row in made(name).rows if row["against"] == row["target"]] for name in ("written.h5", "noise.h5")]
    assert [row["best"] for row in own[0]] == [1] * 6
    assert min(row["correlation"] for row in own[0]) > 0.8
    assert min(row["sign_correlation"] for row in own[0]) > 0.5
    assert max(abs(row["correlation"]) for row in own[1]) < 0.35


def test_of_too_many_lines_the_target_and_the_best_other_class_stay(folder, monkeypatch):
    class_pairs.write("set.h5", classes=4)
    whole = made("set.h5").rows
    monkeypatch.setattr(module, "MOST_LINES", 10)
    short = made("set.h5", drawn=2).rows
    assert short == [row for k, row in enumerate(whole) if k % 3 < 2]
    assert all(whole[k + 1]["correlation"] >= whole[k + 2]["correlation"] for k in range(0, len(whole), 3))


def test_a_file_of_perturbations_has_means_and_no_correlations(folder):
    class_pairs.write("set.h5")
    class_pairs.write_perturbations(Path("moved.h5"), "set.h5")
    found = made("moved.h5")
    assert [row["correlation"] for row in found.rows] == [None] * 12
    assert [row["n"] for row in found.rows] == [row["n"] for row in made("set.h5").rows if row["against"] == row["target"]]
    assert len(found.figure.axes) == 2  # the images and their scale


@pytest.mark.parametrize("classes", [2, 30])
def test_few_and_many_classes_untargeted_and_no_rows(folder, classes):
    class_pairs.write("set.h5", classes=classes, targeted=False, names=[f"{'name ' * 11}{k}" for k in range(classes)])
    assert all(row["source"] != row["target"] for row in made("set.h5").rows)
    assert made("set.h5", where="epsilon=0.1", drawn=20).figure.get_suptitle().count("budget") == 0
    never = np.zeros(3, np.uint8)
    attacked_set.write("all.h5", {"images": np.full((3, 1, 2, 2), 0.5), "labels": np.arange(3), "success": never})
    assert made("all.h5", rows="successes").rows == []
    attacked_set.write("kept.h5", {"images": np.full((3, 1, 2, 2), 0.5), "labels": np.arange(3), "prediction": np.arange(3)})
    assert made("kept.h5", rows="attacked").rows == []

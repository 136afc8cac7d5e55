"""S2-F1: the best fooling picture of every class, and the best confidence by generation."""

import h5py
import numpy as np
import pytest

import attacked_set
from advcli.errors import CommandError
from advcli.evaluation.selected_rows import select
from advcli.figures.fooling import fooling
from advcli.files.header import NOTHING
from advcli.files.imageset_reader import ImageSet


def made(path: str, classes: int = 3, each: int = 2, generations: int | None = 5, **more: object) -> dict[str, np.ndarray]:
    """Pictures of every class that an evolution made from noise."""
    draw, n = np.random.default_rng(0), classes * each
    target = np.tile(np.arange(classes), each)
    success = (draw.random(n) < 0.7).astype(np.uint8)
    given = {"images": draw.random((n, 1, 4, 4), dtype=np.float32), "labels": np.full(n, -1), "target": target, "success": success,
             "prediction": np.where(success == 1, target, (target + 1) % classes), "clean_prediction": np.zeros(n, np.int64)}  # fmt: skip
    if generations is not None:
        given["confidence"] = np.sort(draw.random((n, generations), dtype=np.float32), 1)
    how = attacked_set.MADE | {
        "data": {"name": NOTHING, "split": "test"},
        "parameters": {"confidence": 0.9},
        "options": attacked_set.OPTIONS | {"init": "noise"},
    }
    names = [f"class {k}" for k in range(classes)]
    attacked_set.write(path, given | more, norm="none", classes=names, made=how)
    return given | more


def drawn(path: str, where: str | None = None):
    with ImageSet(path) as opened:
        return fooling(select(opened, of=None, by="none", where=where, rows=None))


def best_of(given: dict[str, np.ndarray], k: int) -> int:
    """The success of highest last confidence, or the most confident picture if there is none."""
    mine = np.flatnonzero(given["target"] == k)
    return max(mine, key=lambda row: (given["success"][row], given["confidence"][row, -1]))


@pytest.mark.parametrize("classes", [2, 7, 12])
def test_the_best_picture_and_the_best_confidence_of_every_class(folder, classes):
    """S2-F1: one picture a class, and a table of class, generation and best confidence."""
    given = made("f.h5", classes, each=3)
    found = drawn("f.h5")
    assert len(found.rows) == classes * 5
    for one in found.rows:
        k = int(one["class"].split()[1])
        assert one["row"] == best_of(given, k)
        wanted = given["confidence"][given["target"] == k, one["generation"] - 1].astype(float).max()
        assert one["best_confidence"] == pytest.approx(wanted, abs=1e-9)
    grid, plot = found.figure.axes
    wanted = [given["images"][best_of(given, k)][0] for k in range(classes)]
    np.testing.assert_allclose([np.asarray(image.get_array()) for image in grid.images], wanted, atol=1e-7)
    curves = [line for line in plot.lines if len(line.get_xdata()) == 5]
    assert len(curves) == (classes if classes <= 7 else classes + 1), "of many classes the median too"
    assert len(plot.get_legend().get_texts()) == (classes if classes <= 7 else 2)
    assert len(grid.patches) == sum(given["success"][best_of(given, k)] for k in range(classes))
    assert "stops at 90%" in " ".join(text.get_text() for text in found.figure.texts)
    low = np.floor(max(given["confidence"][given["target"] == 0, -1].astype(float)) * 10000 + 1e-6) / 100
    assert f"{low:.2f}%" in grid.texts[0].get_text()


def test_a_hundred_classes_fit_a_page(folder):
    made("f.h5", 100, each=1)
    width, height = drawn("f.h5").figure.get_size_inches()
    assert width <= 7
    assert height < 12


def test_an_attack_that_keeps_no_confidence_shows_its_pictures(folder):
    given = made("g.h5", generations=None, success=np.array([0, 1, 0, 1, 1, 0], np.uint8))
    found = drawn("g.h5")
    assert [(one["class"], one["row"], one["best_confidence"]) for one in found.rows] == [
        ("class 0", 3, None),
        ("class 1", 1, None),
        ("class 2", 2, None),
    ]
    assert len(found.figure.axes[0].images) == len({*given["target"]})
    assert any("keeps no confidences" in text.get_text() for text in found.figure.texts)


def test_what_fool_evolve_wrote(run, model):
    """S2-F1: of a true evolution, with every generation."""
    words = ["--generations", "6", "--population", "10", "--no-early-stop", "-o", "fool.h5"]
    assert run("attack", "--method", "fool-evolve", *words).code == 0
    assert run("stats", "fool.h5", "--figure", "fooling", "-o", "out").code == 0
    found = drawn("fool.h5")
    with h5py.File("fool.h5") as file:
        confidence, target = file["confidence"][:].astype(float), file["target"][:]
    assert len(found.rows) == 60
    for one in found.rows:
        assert one["best_confidence"] == pytest.approx(
            confidence[target == int(one["class"]), one["generation"] - 1].max(), abs=1e-9
        )


def test_only_sets_that_were_made_from_nothing(folder):
    attacked_set.write("a.h5", {"images": np.zeros((3, 1, 2, 2)), "labels": np.arange(3)})
    with pytest.raises(CommandError, match="was not made from nothing"):
        drawn("a.h5")
    made("f.h5")
    assert [one["class"] for one in drawn("f.h5", where="target=class 1").rows] == ["class 1"] * 5
    made("none.h5", success=np.zeros(6, np.uint8))
    with ImageSet("none.h5") as opened:
        assert fooling(select(opened, of=None, by="none", where=None, rows="successes")).rows == []

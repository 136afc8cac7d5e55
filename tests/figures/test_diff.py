"""Two sets row by row: distances by NumPy, changed decisions counted from the columns, and what is said of equal sets."""

import numpy as np
import pytest

import attacked_set
from advcli.errors import CommandError
from advcli.evaluation import selected_rows
from advcli.evaluation.selected_rows import select
from advcli.figures.diff import diff
from advcli.files.imageset_reader import ImageSet

BUDGETS = np.array([0.1, 0.2], np.float32)


def base(channels: int = 1) -> dict[str, np.ndarray]:
    draw, place = np.random.default_rng(0), np.repeat(np.arange(6), 2)
    return {"images": draw.random((12, channels, 4, 4), dtype=np.float32), "labels": place % 3, "index": 50 + place,
            "original": place, "originals": draw.random((6, channels, 4, 4), dtype=np.float32), "epsilon": np.tile(BUDGETS, 6),
            "success": np.tile([0, 1], 6).astype(np.uint8), "prediction": place % 3 + np.tile([0, 0], 6),
            "clean_prediction": place % 3}  # fmt: skip


def write(path: str, given: dict[str, np.ndarray], **header: object) -> None:
    attacked_set.write(path, given, norm="linf", epsilon=["0.1", "0.2"], **header)


def drawn(*paths: str, rows: str | None = None, where: str | None = None, **options: object):
    opened = [ImageSet(path) for path in paths]
    found = diff([select(one, of=None, by="none", where=where, rows=rows) for one in opened], **options)
    for one in opened:
        one.close()
    return found


def said(found) -> str:
    return " ".join(text.get_text() for text in found.figure.texts).replace("\n", " ")


def changed(given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Three images moved, one decision and one success other."""
    other = {key: value.copy() for key, value in given.items()}
    for row, move in ((2, 0.25), (5, 0.5), (7, 0.125)):
        pixel = other["images"][row, 0, 1]
        pixel[2] += np.float32(move) * (1 if pixel[2] < 0.5 else -1)
    other["prediction"][5] = (other["prediction"][5] + 1) % 3
    other["success"][7] = 0
    return other


def test_distances_and_changes_are_those_of_the_arrays(folder, monkeypatch):
    monkeypatch.setattr(selected_rows, "MOST_ROWS", 5)  # of a batch
    a = base()
    b = changed(a)
    write("a.h5", a)
    write("b.h5", b)
    found = drawn("a.h5", "b.h5")
    assert [(one["row_a"], one["row_b"]) for one in found.rows] == [(k, k) for k in range(12)]
    delta = (a["images"].astype(np.float64) - b["images"]).reshape(12, -1)
    np.testing.assert_allclose([one["linf"] for one in found.rows], np.abs(delta).max(1), atol=1e-9)
    np.testing.assert_allclose([one["l2"] for one in found.rows], np.linalg.norm(delta, axis=1), atol=1e-9)
    assert [one["row_a"] for one in found.rows if one["image_changed"]] == [2, 5, 7]
    assert [one["row_a"] for one in found.rows if one["prediction_changed"]] == [5]
    assert [one["row_a"] for one in found.rows if one["success_changed"]] == [7]
    assert "of 12 rows differ: images in 3, predictions in 1, successes in 1" in said(found)
    images = [np.asarray(image.get_array()) for image in found.figure.axes[0].images]
    order = [5, 2, 7]
    np.testing.assert_allclose(
        images, np.concatenate([a["images"][order], b["images"][order], (b["images"] - a["images"])[order]])[:, 0], atol=1e-6
    )
    assert found.figure.axes[0].images[-1].get_clim()[1] == pytest.approx(np.abs(delta).max())


def test_equal_sets_are_called_equal(folder):
    write("a.h5", base(3))
    found = drawn("a.h5", "a.h5")
    assert "equal in all 12 rows: images, classes, clean predictions, predictions, successes" in said(found)
    assert len(found.rows) == 12
    assert not any(one["image_changed"] or one["success_changed"] for one in found.rows)


def test_a_tolerance_makes_near_images_equal(folder):
    a = base()
    write("a.h5", a)
    write("b.h5", a | {"images": a["images"] * np.float32(0.999)})
    assert "of 12 rows differ: images in 12" in said(drawn("a.h5", "b.h5"))
    assert "equal in all 12 rows" in said(drawn("a.h5", "b.h5", tolerance=0.001))


def test_decisions_may_differ_where_images_do_not(folder):
    a = base()
    write("a.h5", a)
    write("b.h5", a | {"prediction": (a["prediction"] + 1) % 3})
    assert "of 12 rows differ: images in 0, predictions in 12" in said(drawn("a.h5", "b.h5"))


def test_rows_meet_by_image_target_and_budget_whatever_their_order(folder):
    a = base(3)
    order = np.random.default_rng(1).permutation(12)[:9]
    write("a.h5", a)
    write(
        "b.h5",
        {key: value if key == "originals" else value[order] for key, value in a.items()} | {"images": 1 - a["images"][order]},
    )
    found = drawn("a.h5", "b.h5", largest=2)
    pairs = {one["row_a"]: one["row_b"] for one in found.rows if "linf" in one}
    assert pairs == {int(row): k for k, row in enumerate(order)}
    assert sum("linf" not in one for one in found.rows) == 3
    assert "3 rows only in the first, 0 only in the second" in said(found)
    wanted = np.abs(1 - 2 * a["images"].astype(np.float64)).reshape(12, -1).max(1)
    assert all(one["linf"] == pytest.approx(wanted[one["row_a"]], abs=1e-6) for one in found.rows if "linf" in one)
    assert len(found.figure.axes[0].images) == 6


def test_a_row_counts_that_is_selected_in_either_set(folder):
    a = base()
    write("a.h5", a)
    write("b.h5", a | {"success": 1 - a["success"]})
    assert len(drawn("a.h5", "b.h5", rows="successes").rows) == 12
    write("c.h5", a | {"success": a["success"] * 0})
    assert [one["row_a"] for one in drawn("a.h5", "c.h5", rows="successes").rows] == [1, 3, 5, 7, 9, 11]
    assert "no rows" in said(drawn("c.h5", "c.h5", rows="successes"))


def test_a_filtered_set_has_no_decisions_to_compare(folder, run):
    write("a.h5", base())
    assert run("defend", "a.h5", "--bits", "1", "-o", "f.h5").code == 0
    found = drawn("a.h5", "f.h5")
    assert "prediction_a" not in found.rows[0]
    assert "label_a" in found.rows[0]
    with ImageSet("a.h5") as a, ImageSet("f.h5") as f:
        delta = (a.rows("images", 0, 12) - f.rows("images", 0, 12)).abs().flatten(1).amax(1)
    np.testing.assert_allclose([one["linf"] for one in found.rows], delta, atol=1e-6)


def test_only_two_sets_of_one_kind_can_be_compared(folder):
    write("a.h5", base())
    write("c.h5", base(3))
    for paths, told in ((["a.h5"], "1 given"), (["a.h5"] * 3, "3 given"), (["a.h5", "c.h5"], "another size")):
        with pytest.raises(CommandError, match=told):
            drawn(*paths)

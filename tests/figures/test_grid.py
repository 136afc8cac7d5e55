"""The grid of mean images: its counts and its pictures against NumPy's, and how it stays small."""

from pathlib import Path

import numpy as np
import pytest

import attacked_set
import class_pairs
from advcli.evaluation import pairs
from advcli.evaluation.drawing import Drawing, style
from advcli.evaluation.selected_rows import select
from advcli.figures.grid import BLANK, grid
from advcli.files.imageset_reader import ImageSet


def made(path: str, *, of: str | None = None, rows: str | None = None, where: str | None = None, **options: object) -> Drawing:
    with ImageSet(path) as opened:
        chosen = select(opened, of=of, by="none", where=where, rows=rows)
        with style():
            return grid(chosen, **options)


def cell(found: Drawing, panel: int, down: int, across: int, shape: tuple[int, int] = (4, 5)) -> np.ndarray:
    """The colours of one cell."""
    canvas = np.asarray(found.figure.axes[panel].images[0].get_array())
    top, left = down * shape[0], across * shape[1]
    return canvas[top : top + shape[0], left : left + shape[1]]


@pytest.mark.parametrize(("turns", "diagonal"), [(1 << 27, "mean"), (1, "sample")], ids=["in one turn", "cell by cell"])
def test_a_cell_is_the_mean_of_its_rows_and_the_diagonal_are_originals(folder, monkeypatch, turns, diagonal):
    """S0-F1: off the diagonal the mean of the images with that label and target, blank and n = 0 where there are none."""
    monkeypatch.setattr(pairs, "MOST_BYTES", turns)
    class_pairs.write("set.h5")
    found = made("set.h5", diagonal=diagonal, rows="successes")
    for panel, (eps, value) in enumerate(class_pairs.BUDGETS.items()):
        columns, attacked = class_pairs.chosen("set.h5", eps, value)
        for s in range(3):
            for t in range(3):
                (line,) = [row for row in found.rows if (row["epsilon"], row["source"], row["target"]) == (eps, f"c{s}", f"c{t}")]
                if s == t:
                    mine = columns["originals"][2 * s : 2 * s + (2 if diagonal == "mean" else 1)]
                    assert line["n"] == 2
                else:
                    here = attacked & (columns["labels"] == s) & (columns["target"] == t) & (columns["success"] == 1)
                    mine = columns["images"][here]
                    assert line["n"] == here.sum()
                if not len(mine):
                    assert line["mean_value"] is None
                    assert (cell(found, panel, s, t) == BLANK).all()
                    continue
                wanted = mine.astype(float).mean(0)
                assert line["mean_value"] == pytest.approx(wanted.mean(), abs=1e-9)
                np.testing.assert_allclose(cell(found, panel, s, t), np.repeat(wanted[0][:, :, None], 3, 2), atol=1e-9)
    assert 0 in [row["n"] for row in found.rows]
    assert any(row["n"] > 0 and row["source"] != row["target"] for row in found.rows)


def test_perturbations_are_drawn_on_one_symmetric_scale(folder):
    class_pairs.write("set.h5")
    found = made("set.h5", of="perturbations")
    largest = 0.0
    for eps, value in class_pairs.BUDGETS.items():
        columns, attacked = class_pairs.chosen("set.h5", eps, value)
        for line in [row for row in found.rows if row["epsilon"] == eps and row["source"] != row["target"]]:
            s, t = (int(line[word][1:]) for word in ("source", "target"))
            mean = columns["moved"][attacked & (columns["labels"] == s) & (columns["target"] == t)].astype(float).mean(0)
            assert line["mean_value"] == pytest.approx(mean.mean(), abs=1e-9)
            largest = max(largest, float(np.abs(mean).max()))
    (bar,) = [axes for axes in found.figure.axes if axes.get_ylabel() == "mean difference"]
    np.testing.assert_allclose(bar.get_ylim(), (-largest, largest))


def test_the_column_of_an_untargeted_row_is_what_the_model_says(folder):
    class_pairs.write("set.h5", targeted=False)
    found = made("set.h5")
    for eps, value in class_pairs.BUDGETS.items():
        columns, attacked = class_pairs.chosen("set.h5", eps, value)
        for line in [row for row in found.rows if row["epsilon"] == eps and row.get("source") != row.get("target")]:
            s, t = (int(line[word][1:]) for word in ("source", "target"))
            assert line["n"] == (attacked & (columns["labels"] == s) & (columns["prediction"] == t)).sum()
        kept = sum(row["n"] for row in found.rows if row["epsilon"] == eps and row["shown"] == "not drawn: kept its class")
        assert kept == (attacked & (columns["labels"] == columns["prediction"])).sum()
    assert "rows that kept their class are not drawn" in found.figure.get_suptitle()
    assert found.figure.axes[0].get_xlabel() == "class that the model then says"


def test_of_many_classes_some_are_drawn_and_all_are_counted(folder):
    """With long names, in colour."""
    names = [f"{'a very long name of a class ' * 2}{k}" for k in range(30)]
    class_pairs.write("set.h5", classes=30, shape=(3, 2, 2), names=names)
    found = made("set.h5", of="perturbations", where="epsilon=0.3")
    assert "the 20 of 30 classes with the most rows are drawn" in found.figure.get_suptitle()
    assert len(found.figure.axes[0].get_yticklabels()) == 20
    assert max(len(text.get_text()) for text in found.figure.axes[0].get_yticklabels()) == 14
    assert len(found.rows) == 900
    assert sum(row["n"] for row in found.rows if row["source"] != row["target"]) == 59 * 29  # all but those of one image


def test_large_images_are_drawn_smaller(folder):
    class_pairs.write("set.h5", classes=2, shape=(1, 130, 65))
    found = made("set.h5", where="epsilon=0.1")
    columns, attacked = class_pairs.chosen("set.h5", "0.1", 0.1)
    whole = columns["images"][attacked & (columns["labels"] == 1)].mean(0)[0]
    shown = cell(found, 0, 1, 0, (44, 22))[:, :, 0]
    assert shown.mean() == pytest.approx(whole.mean(), abs=0.01)


def test_a_file_of_perturbations_has_a_blank_diagonal_and_no_rows_are_told(folder):
    class_pairs.write("set.h5")
    class_pairs.write_perturbations(Path("moved.h5"), "set.h5")
    found = made("moved.h5")
    assert (cell(found, 0, 1, 1) == BLANK).all()
    assert {row["shown"] for row in found.rows} == {"mean of perturbations"}
    attacked_set.write("none.h5", {"images": np.full((3, 1, 2, 2), 0.5), "labels": np.arange(3)})
    assert made("none.h5", rows="failures").rows == []

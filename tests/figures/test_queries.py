"""Attack success against calls: counted from the file by hand, with the exact intervals of SciPy."""

import matplotlib as mpl
import numpy as np
import pytest
from scipy import stats

import attacked_set
from advcli.evaluation.selected_rows import select
from advcli.figures.queries import queries
from advcli.files.imageset_reader import ImageSet


def made(path: str, budgets: int = 2, images: int = 30, seed: int = 0, **more: object) -> dict[str, np.ndarray]:
    """Images under some budgets: the first row of an image is charged; the first two images were never attacked."""
    draw, place = np.random.default_rng(seed), np.repeat(np.arange(images), budgets)
    n, first = len(place), np.arange(images * budgets) % budgets == 0
    given = {"images": np.full((n, 1, 2, 2), 0.5, np.float32), "labels": place % 3, "original": place,
             "originals": np.full((images, 1, 2, 2), 0.5, np.float32), "index": place,
             "success": ((draw.random(n) < 0.6) & (place > 1)).astype(np.uint8),
             "clean_prediction": np.where(place < 2, (place + 1) % 3, place % 3),
             "queries": np.where(first & (place > 1), draw.integers(1, 40, n), 0),
             "gradients": np.where(first & (place > 1), draw.integers(0, 3, n), 0),
             "epsilon": np.tile(np.arange(1, budgets + 1) / 10, images).astype(np.float32)} | more  # fmt: skip
    attacked_set.write(path, given, norm="linf", epsilon=[f"{k}/10" for k in range(1, budgets + 1)])
    return given


def drawn(*paths: str, where: str | None = None, rows: str | None = None):
    opened = [ImageSet(path) for path in paths]
    found = queries([select(one, of=None, by="none", where=where, rows=rows) for one in opened])
    for one in opened:
        one.close()
    found.figure.canvas.draw()
    return found


def clopper_pearson(k: int, n: int) -> tuple[float, float]:
    """The interval of Clopper and Pearson by SciPy."""
    found = stats.binomtest(k, n).proportion_ci(method="exact")
    return found.low, found.high


@pytest.mark.parametrize("rows", [None, "successes"])
def test_every_step_counts_the_attacked_images_that_were_won_with_so_many_calls(folder, rows):
    given = made("a.h5")
    found = drawn("a.h5", rows=rows)
    spent = np.bincount(given["original"], given["queries"] + given["gradients"])[2:]
    for k, eps in enumerate(("1/10", "2/10")):
        won = given["success"][k::2][2:] == 1
        lines = [one for one in found.rows if one["epsilon"] == eps]
        assert [one["calls"] for one in lines] == sorted({*spent[won].astype(int), int(spent.max())})
        for one in lines:
            count = int((won & (spent <= one["calls"])).sum())
            assert (one["n"], one["k"]) == (28, count)
            assert one["success"] == pytest.approx(count / 28, abs=1e-9)
            assert (one["low"], one["high"]) == pytest.approx(clopper_pearson(count, 28), abs=1e-9)
    assert "28 attacked images" in found.figure.get_suptitle()
    assert "of all its budgets" in found.figure.get_suptitle()
    assert found.figure.get_supylabel() == "attack success among attacked images"


def test_sets_of_one_budget_share_a_panel_and_sweeps_have_one_each(folder):
    for k in range(3):
        made(f"{k}.h5", budgets=1, seed=k)
    found = drawn("0.h5", "1.h5", "2.h5")
    (axes,) = found.figure.axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [f"{k}.h5, 1/10" for k in range(3)]
    assert [len({getattr(line, f"get_{what}")() for line in axes.lines}) for what in ("color", "linestyle", "marker")] == [
        3,
        3,
        3,
    ]
    made("many.h5", budgets=13)
    found = drawn("many.h5", "1.h5")
    assert [axes.get_title() for axes in found.figure.axes] == ["many.h5", "1.h5"]
    assert found.figure.axes[0].get_ylim() == found.figure.axes[1].get_ylim()
    assert len(found.figure.axes[0].get_legend().get_texts()) == 8, "some of thirteen budgets"
    assert found.figure.get_figwidth() <= 7


def test_an_image_with_several_targets_is_one_image(folder):
    target = np.tile([0, 1, 2], 10)
    place = np.repeat(np.arange(10), 3)
    success = ((np.arange(30) % 5 == 0) & (target != place % 3)).astype(np.uint8)
    given = {"images": np.full((30, 1, 2, 2), 0.5), "labels": place % 3, "original": place, "index": place, "target": target,
             "originals": np.full((10, 1, 2, 2), 0.5, np.float32), "success": success, "clean_prediction": place % 3,
             "queries": np.where(target == 0, 5 + place, 0)}  # fmt: skip
    attacked_set.write("t.h5", given, norm="l2")
    found = drawn("t.h5")
    won = np.unique(place[success == 1])
    assert (found.rows[-1]["n"], found.rows[-1]["k"]) == (10, len(won))
    assert [one["calls"] for one in found.rows] == sorted({*(5 + won), 14})


def test_far_apart_calls_are_on_a_logarithmic_scale_without_formulas(folder):
    made(
        "wide.h5", queries=np.where(np.arange(60) % 2 == 0, 10 ** (1 + np.arange(60) // 16), 0), gradients=np.zeros(60, np.int64)
    )
    found = drawn("wide.h5")
    axes = found.figure.axes[0]
    assert axes.get_xscale() == "log"
    assert not any("$" in text.get_text() for text in axes.get_xticklabels())
    assert found.figure.get_supxlabel() == "queries spent on an image"


def test_no_attacked_rows_and_none_that_won(folder):
    lost = made("lost.h5", success=np.zeros(60, np.uint8))
    rows = drawn("lost.h5").rows
    assert [(one["k"], one["n"]) for one in rows] == [(0, 28), (0, 28)]
    made("never.h5", clean_prediction=(lost["labels"] + 1) % 3, success=np.zeros(60, np.uint8))
    found = drawn("never.h5")
    assert found.rows == []
    assert "no rows" in found.figure.get_suptitle()
    assert isinstance(found.figure, mpl.figure.Figure)


def test_a_sweep_stands_beside_a_set_without_budgets(folder):
    given = made("sweep.h5")
    own = {name: column[::2] for name, column in given.items() if name not in ("epsilon", "originals")}
    attacked_set.write("_closest.h5", {**own, "originals": given["originals"]}, norm="l2", epsilon=[])
    found = drawn("sweep.h5", "_closest.h5")
    named = [text.get_text() for axes in found.figure.axes if axes.get_legend() for text in axes.get_legend().get_texts()]
    assert named == ["1/10", "2/10", "any distance"]
    alone = drawn("_closest.h5")
    assert alone.rows

"""Figures: what is drawn, the numbers under it, and how a figure of one's own joins in."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from advcli.evaluation import selected_rows
from advcli.evaluation.selected_rows import select
from advcli.figures.sheet import sheet
from advcli.files.imageset_reader import ImageSet
from attacked_set import sweep


def chosen(opened: ImageSet, of: str | None = None):
    return select(opened, of=of, by="none", where=None, rows=None)


@pytest.mark.parametrize("of", [None, "originals", "perturbations"])
def test_a_sheet_shows_every_class_and_what_was_asked_for(folder, of):
    given = sweep()
    with ImageSet("sweep.h5") as opened:
        found = sheet(chosen(opened, of), count=9)
    assert [row["label"] for row in found.rows] == ["a"] * 3 + ["b"] * 3 + ["c"] * 3
    assert {row["outcome"] for row in found.rows} == {"successes"}
    places = [row["row"] for row in found.rows]
    originals = given["originals"][given["original"]]
    wanted = {None: given["images"], "originals": originals, "perturbations": given["images"] - originals}[of][places, 0]
    axes, *bar = found.figure.axes
    assert len(bar) == (of == "perturbations"), "the scale of signed values"
    shown = [np.asarray(image.get_array()) for image in axes.images]
    np.testing.assert_allclose(shown, wanted, atol=1e-7)
    for place, image in enumerate(axes.images):
        left, right, bottom, top = image.get_extent()
        assert place <= left < right <= place + 1
        assert axes.get_ylim()[0] <= bottom < top <= axes.get_ylim()[1], "upright, and inside"
        low, high = (-np.abs(shown).max(), np.abs(shown).max()) if of == "perturbations" else (0, 1)
        assert image.get_clim() == pytest.approx((low, high))
        corners = axes.transData.transform([(left, bottom), (right, top)])
        assert np.ptp(corners[:, 1]) == pytest.approx(np.ptp(corners[:, 0])), "the pictures are square"
    captions = [text.get_text() for text in axes.texts]
    assert captions[0].startswith("a → b") == (of != "originals")
    assert captions[0].endswith(f"({found.rows[0]['epsilon']})")


def test_values_are_counted_over_the_range_that_they_can_have(folder, monkeypatch):
    sweep()
    ranges = []

    class Noted(selected_rows.Grid):
        def __init__(self, groups, low, high):
            ranges.append((low, high))
            super().__init__(groups, low, high)

    monkeypatch.setattr(selected_rows, "Grid", Noted)
    with ImageSet("sweep.h5") as opened:
        assert chosen(opened, "perturbations").measured
        assert chosen(opened, "originals").measured
    assert ranges == [(-1, 1), (0, 1)]


def test_more_pictures_than_there_are_and_none(folder):
    sweep()
    with ImageSet("sweep.h5") as opened:
        assert len(sheet(chosen(opened), count=100).rows) == 54
        assert sheet(chosen(opened), count=0).rows == []


OWN = '''"""Counts rows.

More words.
"""
from typing import Annotated

from matplotlib.figure import Figure

from advcli.extend import Drawing, Param, SelectedRows, figure


@figure()
def counted(rows: SelectedRows, *, times: Annotated[int, Param("How often.", low=1)] = 1) -> Drawing:
    drawn = Figure()
    axes = drawn.subplots()
    for part, pictures in rows.batches("images"):
        axes.plot(pictures["images"].mean((1, 2, 3)))
    return Drawing(drawn, [{"rows": len(rows) * times}])


@figure(sets="all")
def together(sets: list[SelectedRows]) -> Drawing:
    return Drawing(Figure(), [{"set": rows.title, "rows": len(rows)} for rows in sets])


@figure(needs=("queries", "prediction"))
def needy(rows: SelectedRows) -> Drawing: ...


@figure()
def nothing(rows: SelectedRows) -> Drawing: ...
'''


def table(path: str) -> list[dict]:
    with open(path) as file:
        return list(csv.DictReader(file))


def test_a_figure_of_ones_own_is_a_figure_like_any_other(run, folder):
    Path("myfigures.py").write_text(OWN)
    sweep()
    assert "--times INTEGER" in run("stats", "--figure", "myfigures:counted", "--help").out
    name = "myfigures:counted"
    ran = run("stats", "sweep.h5", "--figure", name, "--figure", "sheet", "--times", "2", "--count", "3", "-o", "mine")
    assert ran.code == 0, ran.err
    assert table("mine/myfigures.counted.csv") == [{"rows": "108"}]
    with Image.open("mine/myfigures.counted.png") as picture:
        picture.verify()
    assert len(table("mine/sheet.csv")) == 3
    assert not Path("mine/norms.png").exists()
    assert "--figure myfigures:counted --figure sheet" in run("show", "mine").out
    ran = run("stats", "sweep.h5", "--figure", "myfigures:counted", "--bins", "3")
    assert ran.code == 2
    assert "--times" in ran.err
    ran = run("stats", "sweep.h5", "--figure", "myfigures:nothing")
    assert ran.code == 2
    assert "myfigures:nothing: returned NoneType" in ran.err


def test_a_figure_of_several_sets_is_drawn_once(run, folder):
    Path("moresets.py").write_text(OWN)
    sweep()
    sweep("other.h5")
    ran = run("stats", "sweep.h5", "other.h5", "--figure", "moresets:together", "--figure", "sheet", "-o", "both", "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["folders"][-1] == "both"
    wanted = [{"set": name, "rows": "54"} for name in ("sweep.h5", "other.h5")]
    assert table("both/moresets.together.csv") == wanted
    assert not Path("both/sheet.png").exists()
    ran = run("stats", "other.h5", "--figure", "moresets:together", "-o", "single")
    assert table("single/moresets.together.csv") == wanted[1:]
    assert table("single/statistics.csv")


def test_a_figure_says_what_a_file_lacks(run, model):
    Path("needyfigures.py").write_text(OWN)
    run("attack", "--method", "fgsm", "--limit", "3")
    ran = run("stats", "perturbations.h5", "--figure", "needyfigures:needy")
    assert ran.code == 2
    assert "perturbations.h5 has no queries" in ran.err
    ran = run("stats", "perturbations.h5", "--figure", "needyfigures:counted")
    assert ran.code == 2
    assert "perturbations.h5: has no images" in ran.err


def test_a_matplotlibrc_is_not_obeyed_and_a_notebooks_settings_stay(run, folder):
    sweep()
    assert run("stats", "sweep.h5", "-o", "plain").code == 0
    Path("matplotlibrc").write_text("text.usetex: True\naxes.facecolor: red\nfont.size: 30\n")
    process = subprocess.run([sys.executable, "-m", "advcli", "stats", "sweep.h5", "-o", "new"], capture_output=True, check=False)
    assert process.returncode == 0, process.stderr
    with mpl.rc_context({"text.usetex": True, "axes.facecolor": "red", "font.size": 30}):
        assert run("stats", "sweep.h5", "-o", "odd").code == 0
        assert mpl.rcParams["axes.facecolor"] == "red"
    for name in ("norms.png", "values.png", "sheet.png"):
        assert Path("odd", name).read_bytes() == Path("new", name).read_bytes() == Path("plain", name).read_bytes()


def test_names_of_classes_are_text_whatever_they_say(run, folder):
    names = ["$x^{$", "日本語" * 9, "x" * 80]
    sweep(classes=names)
    assert run("stats", "sweep.h5").code == 0
    assert {row["label"] for row in table("sweep.stats/sheet.csv")} == {*names}
    with ImageSet("sweep.h5") as opened:
        captions = [text.get_text() for text in sheet(chosen(opened)).figure.axes[0].texts]
    lines = {line for caption in captions for line in caption.split("\n")}
    assert {"$x^{$", "日本語日本…", "xxxxxxxxxx…"} <= lines
    assert max(caption.count("\n") for caption in captions) == 2, "two classes and a budget"

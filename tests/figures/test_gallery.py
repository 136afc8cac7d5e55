"""S1-F4, S3-F2, S4-F1: the same images by lines of budgets and files, and what the captions say."""

import csv
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import attacked_set
from advcli.errors import CommandError
from advcli.evaluation.picture_grid import fitted, plain
from advcli.evaluation.selected_rows import select
from advcli.figures.gallery import gallery
from advcli.files import imageset_writer
from advcli.files.imageset_reader import ImageSet
from advcli.networks import model_file
from advcli.numerics.quantities import whole_numbers

CLEAN = {key: attacked_set.HEADER[key] for key in ("classes", "split", "range", "made")} | {"kind": "clean"}


def sweep(path: str = "sweep.h5", *, channels: int = 1, budgets: int = 2, **header: object) -> dict[str, np.ndarray]:
    """Twelve images of three classes under some budgets; the first was wrong before the attack, every other row fails."""
    draw, images = np.random.default_rng(1), 12
    n, eps = images * budgets, [f"{k + 1}/20" for k in range(budgets)]
    place = np.repeat(np.arange(images), budgets)
    labels = (np.arange(images) % 3)[place]
    originals = draw.random((images, channels, 5, 4), dtype=np.float32)
    made = np.clip(originals[place] + draw.uniform(-0.1, 0.1, (n, channels, 5, 4)), 0, 1).astype(np.float32)
    success = (np.arange(n) % 2 * (place > 0)).astype(np.uint8)
    given = {"images": made, "originals": originals, "original": place, "index": 10 + place, "labels": labels,
             "epsilon": np.tile(np.arange(1, budgets + 1) / 20, images).astype(np.float32), "success": success,
             "prediction": np.where(success == 1, (labels + 1) % 3, labels),
             "clean_prediction": np.where(place == 0, 2, labels)}  # fmt: skip
    attacked_set.write(path, given, norm="linf", epsilon=eps, **header)
    return given


def drawn(*paths: str, rows: str | None = None, of: str | None = None, where: str | None = None, **options: object):
    """The gallery of some files, and their pictures in their order."""
    opened = [ImageSet(path) for path in paths]
    found = gallery([select(one, of=of, by="none", where=where, rows=rows) for one in opened], **options)
    for one in opened:
        one.close()
    return found


def pictures(found) -> list[np.ndarray]:
    return [np.asarray(image.get_array()) for image in found.figure.axes[0].images]


def test_lines_are_the_original_and_every_budget_of_the_same_images(folder):
    """S1-F4, S4-F1: every picture of the sheet is that of the row which the table names, and its caption its decision."""
    given = sweep()
    found = drawn("sweep.h5", images=6)
    assert [(one["of"], one["epsilon"]) for one in found.rows[::6]] == [
        ("originals", None),
        ("images", "1/20"),
        ("images", "2/20"),
    ]
    lines = [found.rows[k : k + 6] for k in (0, 6, 12)]
    assert [[one["index"] for one in line] for line in lines] == [[one["index"] for one in lines[0]]] * 3
    assert [one["label"] for one in lines[0]] == sorted(one["label"] for one in lines[0])
    assert 10 not in {one["index"] for one in found.rows}, "it was wrong before the attack"
    captions = [text.get_text() for text in found.figure.axes[0].texts if "→" in text.get_text()]
    for one, picture in zip(found.rows, pictures(found), strict=True):
        row = one["row"]
        source = given["originals"][given["original"][row]] if one["of"] == "originals" else given["images"][row]
        np.testing.assert_allclose(picture, source[0], atol=1e-7)
        assert one["label"] == "abc"[given["labels"][row]]
        said = given["clean_prediction" if one["of"] == "originals" else "prediction"][row]
        assert one["prediction"] == "abc"[said]
        if one["of"] == "images":
            assert captions.pop(0) == f"{one['label']} → {one['prediction']}"
            assert (one["outcome"] == "successes") == bool(given["success"][row])
    assert not captions
    assert len(found.figure.axes[0].patches) == sum(one["outcome"] == "successes" for one in found.rows)


def test_the_captions_are_what_the_model_says_of_the_stored_pictures(run, model):
    """S1-F4: the labels are those of `evaluate` for the same images."""
    assert run("attack", "--method", "fgsm", "--eps", "0.2", "--limit", "20").code == 0
    ran = run("stats", "adversarial.h5", "--figure", "gallery", "--images", "9", "-o", "out")
    assert ran.code == 0, ran.err
    with open("out/gallery.csv") as file:
        table = [one for one in csv.DictReader(file) if one["of"] == "images"]
    assert len(table) == 9
    with h5py.File("adversarial.h5") as file:
        images = torch.from_numpy(file["images"][:][[int(one["row"]) for one in table]])
    found = model_file.read("model.safetensors").module()(images).argmax(1)
    assert [one["prediction"] for one in table] == [str(int(k)) for k in found]


def test_named_images_stand_in_the_order_that_was_asked_for(folder):
    sweep()
    found = drawn("sweep.h5", index="17,12,21")
    assert [one["index"] for one in found.rows] == [17, 12, 21] * 3
    for text, told in (("10", "10: no row"), ("12,x", "'x' is not a whole number"), ("1.5", "is not a whole number")):
        with pytest.raises(CommandError, match=told):
            drawn("sweep.h5", index=text)
    assert drawn("sweep.h5", index="10", rows="all").rows[0]["prediction"] == "c", "and it is shown where all rows are"


def test_several_files_show_the_same_images(run, folder):
    """S3-F2: an attacked set, and the same images after a filter, of which no decision is stored."""
    sweep()
    for sigma in ("0.5", "1"):
        assert run("defend", "sweep.h5", "--method", "gaussian", "--sigma", sigma, "-o", f"s{sigma}.h5").code == 0
    found = drawn("sweep.h5", "s0.5.h5", "s1.h5", images=4)
    assert [one["set"] for one in found.rows[::4]] == ["sweep.h5"] * 3 + ["s0.5.h5"] * 2 + ["s1.h5"] * 2
    assert len({one["index"] for one in found.rows}) == 4
    assert {one["prediction"] for one in found.rows[12:]} == {None}
    with h5py.File("s1.h5") as file:
        np.testing.assert_allclose(pictures(found)[-1], file["images"][found.rows[-1]["row"]][0], atol=1e-7)
    labels = [text.get_text() for text in found.figure.axes[0].texts if text.get_ha() == "right"]
    assert labels[1:4] == ["sweep\nlinf 1/20", "sweep\nlinf 2/20", "s0.5\nlinf 1/20"]


def test_sets_of_other_images_are_refused(folder):
    sweep()
    given = sweep("other.h5")
    attacked_set.write("moved.h5", given | {"index": given["index"], "originals": 1 - given["originals"]}, norm="linf",
                       epsilon=["1/20", "2/20"])  # fmt: skip
    with pytest.raises(CommandError, match=r"other images than sweep\.h5"):
        drawn("sweep.h5", "moved.h5")
    sweep("colour.h5", channels=3)
    with pytest.raises(CommandError, match="other classes or sizes"):
        drawn("sweep.h5", "colour.h5")


def test_perturbations_are_on_one_scale(folder):
    given = sweep(channels=3)
    found = drawn("sweep.h5", of="perturbations", images=3)
    rows = [one["row"] for one in found.rows if one["of"] == "perturbations"]
    p = (given["images"] - given["originals"][given["original"]])[rows]
    wanted = p.transpose(0, 2, 3, 1) / (2 * np.abs(p).max()) + 0.5
    np.testing.assert_allclose(pictures(found)[3:], wanted, atol=1e-6)
    ticks = [text.get_text() for text in found.figure.axes[1].get_xticklabels()]
    assert ticks == [f"−{np.abs(p).max():.3g}", "0", f"+{np.abs(p).max():.3g}"]


def test_targets_are_columns_of_their_own(folder):
    given = sweep()
    target = np.where(np.arange(24) % 2, (given["labels"] + 1) % 3, (given["labels"] + 2) % 3)
    attacked_set.write(
        "t.h5", given | {"target": target, "epsilon": np.full(24, 0.05, np.float32)}, norm="linf", epsilon=["1/20"]
    )
    found = drawn("t.h5", index="13")
    assert [one["target"] for one in found.rows] == ["b", "c"] * 2, "an image of class a"
    texts = [text.get_text() for text in found.figure.axes[0].texts]
    assert {"a (to b)", "a (to c)"} <= set(texts)


@pytest.mark.parametrize("budgets", [1, 13])
def test_a_gallery_fits_a_page(folder, budgets):
    sweep(budgets=budgets, classes=["x" * 60, "b c" * 20, "$"])
    found = drawn("sweep.h5", images=10)
    width, height = found.figure.get_size_inches()
    assert 3.3 <= width <= 7.01
    assert height < 9.6
    assert len(pictures(found)) == 10 * (budgets + 1)
    found.figure.canvas.draw()
    axes = found.figure.axes[0]
    across = np.ptp(axes.transData.transform([(0, 0), (1, 0)])[:, 0])
    captions = [text.get_window_extent().width for text in axes.texts if text.get_ha() == "center"]
    assert max(captions) < 1.03 * across, "none reaches over its neighbour's"


def test_a_selection_without_rows_and_clean_sets(folder):
    given = sweep()
    assert drawn("sweep.h5", where="index=10").rows == []
    assert "no rows" in drawn("sweep.h5", where="index=10").figure.texts[-1].get_text()
    for name, light in (("clean.h5", 1.0), ("dark.h5", 0.5)):
        plain_columns = {
            "images": given["images"][::2] * np.float32(light),
            "labels": given["labels"][::2],
            "index": np.arange(12),
        }
        imageset_writer.write_rows(Path(name), CLEAN, plain_columns)
    found = drawn("clean.h5", "dark.h5", images=5)
    assert [one["set"] for one in found.rows] == ["clean.h5"] * 5 + ["dark.h5"] * 5
    np.testing.assert_allclose(pictures(found)[5:], np.array(pictures(found)[:5]) / 2, atol=1e-6)
    assert {one["prediction"] for one in found.rows} == {None}


def test_words_stand_side_by_side_only_where_they_fit():
    assert fitted(("7", "→ 2"), 0.6) == "7 → 2"
    assert fitted(("automobile", "→ truck"), 0.6) == "automobile\n→ truck"
    assert fitted(("x" * 60, "→ " + "i" * 60), 0.6) == "xxxxxxxx…\n→ iiiiiiiiiiiii…"
    assert plain("two\nlines", 20) == "two lines"


def test_lists_of_whole_numbers():
    assert whole_numbers(" 3,17, 3", "--index") == (3, 17)
    for text in ("", "3,,4", "-1", "1e3", "³"):
        with pytest.raises(CommandError, match="--index"):
            whole_numbers(text, "--index")

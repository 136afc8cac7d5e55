"""S1-F1: an image, its perturbation amplified by a stated factor, and the adversarial image."""

import numpy as np
import pytest

import attacked_set
from advcli.errors import CommandError
from advcli.evaluation.selected_rows import select
from advcli.figures.triptych import triptych
from advcli.files.imageset_reader import ImageSet

EPS = np.array([0.05, 0.1], np.float32)


def made(path: str = "set.h5", channels: int = 3, **more: np.ndarray) -> dict[str, np.ndarray]:
    """Four images under two budgets; the first row that succeeds is the fourth."""
    draw, place = np.random.default_rng(2), np.repeat(np.arange(4), 2)
    originals = draw.uniform(0.2, 0.8, (4, channels, 6, 6)).astype(np.float32)
    moved = draw.uniform(-1, 1, (8, channels, 6, 6)).astype(np.float32) * np.tile(EPS, 4)[:, None, None, None]
    given = {"images": originals[place] + moved, "originals": originals, "original": place, "index": 20 + place,
             "labels": place % 3, "epsilon": np.tile(EPS, 4), "success": np.array([0, 0, 0, 1, 0, 1, 1, 1], np.uint8)} | more  # fmt: skip
    attacked_set.write(path, given, norm="linf", epsilon=["0.05", "0.1"])
    return given


def drawn(path: str = "set.h5", where: str | None = None, **options: object):
    with ImageSet(path) as opened:
        return triptych(select(opened, of=None, by="none", where=where, rows=None), **options)


def shown(found) -> list[np.ndarray]:
    return [np.asarray(image.get_array()) for image in found.figure.axes[0].images]


@pytest.mark.parametrize("channels", [1, 3])
def test_the_noise_fills_the_scale_and_the_factor_is_printed(folder, channels):
    """S1-F1: the middle panel is p / (2 max |p|) + 0.5, and the title has the factor."""
    given = made(channels=channels)
    found = drawn()
    (line,) = found.rows
    assert (line["row"], line["index"], line["label"], line["prediction"]) == (3, 21, "b", "c"), "the first success"
    p = given["images"][3] - given["originals"][1]
    factor = 1 / (2 * float(np.abs(p).max()))
    assert line["factor"] == pytest.approx(factor, abs=1e-9)
    assert f"× {factor:.4g}," in found.figure.texts[0].get_text()
    image = found.figure.axes[0].images[1]
    middle = shown(found)[1] if channels == 3 else np.asarray(image.norm(shown(found)[1]))[..., None]
    np.testing.assert_allclose(middle, p.transpose(1, 2, 0) / (2 * np.abs(p).max()) + 0.5, atol=1e-6)
    for k, whole in ((0, given["originals"][1]), (2, given["images"][3])):
        np.testing.assert_allclose(shown(found)[k].reshape(whole.transpose(1, 2, 0).shape), whole.transpose(1, 2, 0), atol=1e-7)
    flat = p.astype(np.float64).ravel()
    wanted = {"l0": np.count_nonzero(flat), "l1": np.abs(flat).sum(), "l2": np.sqrt((flat**2).sum()), "linf": np.abs(flat).max()}
    assert {norm: line[norm] for norm in wanted} == pytest.approx(wanted, abs=1e-9)
    texts = [text.get_text() for text in found.figure.axes[0].texts]
    assert texts[:3] == ["b", f"linf {wanted['linf']:.2g}, l2 {wanted['l2']:.2g}", "→ c"]


def test_named_images_have_a_line_for_each_budget_and_one_factor(folder):
    given = made()
    found = drawn(index="23,20")
    assert [(one["index"], one["epsilon"]) for one in found.rows] == [(23, "0.05"), (23, "0.1"), (20, "0.05"), (20, "0.1")]
    p = (given["images"] - given["originals"][given["original"]])[[6, 7, 0, 1]]
    assert [one["factor"] for one in found.rows] == pytest.approx([1 / (2 * np.abs(p).max())] * 4)
    assert len(shown(found)) == 12
    assert len(found.figure.axes[0].patches) == 2, "the successes are framed"
    with pytest.raises(CommandError, match=r"--index 5: set\.h5 has no row"):
        drawn(index="5")


def test_a_factor_may_be_given_and_what_it_cuts_off_is_said(folder):
    given = made()
    found = drawn(amplify=100.0)
    p = (given["images"][3] - given["originals"][1]).transpose(1, 2, 0)
    np.testing.assert_allclose(shown(found)[1], (100 * p + 0.5).clip(0, 1), atol=1e-5)
    assert any("±0.005" in text.get_text() for text in found.figure.texts)


def test_no_rows_no_change_and_too_many_rows(folder):
    given = made(
        success=np.zeros(8, np.uint8), images=np.full((8, 3, 6, 6), 0.5), originals=np.full((4, 3, 6, 6), 0.5, np.float32)
    )
    assert drawn().rows[0]["factor"] == 1, "nothing was changed"
    made("wrong.h5", clean_prediction=(given["labels"] + 1) % 3)
    assert drawn("wrong.h5").rows == []
    many = {key: np.repeat(given[key], 3, 0) for key in ("images", "labels", "epsilon", "original", "index")}
    attacked_set.write("many.h5", many | {"originals": given["originals"]}, norm="linf", epsilon=["0.05", "0.1"])
    with pytest.raises(CommandError, match="24 rows, at most 20"):
        drawn("many.h5", index="20,21,22,23")


def test_a_file_of_perturbations_has_no_original(run, model):
    assert run("attack", "--method", "fgsm", "--limit", "5").code == 0
    ran = run("stats", "--figure", "triptych")
    assert ran.code == 2
    assert "perturbations.h5 has no original" in ran.err

"""The structure of perturbations against NumPy's transform and SciPy's statistics; several sets in one picture."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy import stats

import attacked_set
import class_pairs
from advcli.evaluation.drawing import style
from advcli.evaluation.selected_rows import select
from advcli.figures.structure import structure
from advcli.files.imageset_reader import ImageSet


def made(*paths: str, rows: str | None = None, **options: object):
    opened = [ImageSet(path) for path in paths]
    with style():
        return structure([select(one, of=None, by="none", where=None, rows=rows) for one in opened], **options)


def measures(p: np.ndarray, before: np.ndarray, radius: float) -> dict[str, float]:
    """Each measure of one perturbation, by its definition."""
    _, high, wide = p.shape
    v, u = np.meshgrid(*([min(k, n - k) for k in range(n)] for n in (high, wide)), indexing="ij")
    far = np.hypot(u, v)
    power = (np.abs(np.fft.fft2(p)) ** 2).sum(0)
    energy = (p**2).sum(0)
    y, x = np.mgrid[:high, :wide]
    weight = energy / energy.sum()
    centre = (weight * y).sum(), (weight * x).sum()
    spread = np.sqrt((weight * ((y - centre[0]) ** 2 + (x - centre[1]) ** 2)).sum()) / np.hypot(high, wide)
    slope = np.hypot(*np.gradient(before.mean(0)))
    return {
        "low": power[far <= radius].sum() / power.sum(),
        "centroid": (power * far).sum() / power.sum(),
        "area": energy.sum() ** 2 / (energy.size * (energy**2).sum()),
        "spread": spread,
        "edges": stats.pearsonr(np.abs(p).mean(0).ravel(), slope.ravel())[0],
        "spectrum": [power[np.rint(far) == ring].sum() / power.sum() for ring in range(int(np.rint(far).max()) + 1)],
    }


@pytest.mark.parametrize("shape", [(1, 6, 5), (3, 4, 4)], ids=["grey", "colour"])
def test_every_measure_is_that_of_its_definition(folder, shape):
    """S1-K4: spectral centroid, share of low frequencies, spread, and the correlation with the image's gradient, with intervals."""
    class_pairs.write("set.h5", shape=shape)
    found = made("set.h5", radius=1.5)
    for eps, value in class_pairs.BUDGETS.items():
        columns, attacked = class_pairs.chosen("set.h5", eps, value)
        each = [
            measures(p, x, 1.5) for p, x in zip(*(columns[k][attacked].astype(float) for k in ("moved", "before")), strict=True)
        ]
        lines = [row for row in found.rows if row["epsilon"] == eps]
        for name in ("low", "centroid", "area", "spread", "edges"):
            (line,) = [row for row in lines if row["of"] == name]
            values, image = np.array([one[name] for one in each]), columns["index"][attacked]
            assert (line["n"], line["images"]) == (len(values), len(np.unique(image)))
            off = [(values[image == k] - values.mean()).sum() for k in np.unique(image)]
            error = np.sqrt(len(off) / (len(off) - 1) * np.square(off).sum()) / len(values)
            ends = stats.t.interval(0.95, len(off) - 1, values.mean(), error)
            np.testing.assert_allclose([line["mean"], line["std"]], [values.mean(), values.std()], atol=1e-9)
            np.testing.assert_allclose([line["low"], line["high"]], ends, atol=1e-9)
        spectra = np.array([one["spectrum"] for one in each])
        rings = [row for row in lines if row["of"] == "spectrum"]
        np.testing.assert_allclose([row["mean"] for row in rings], spectra.mean(0), atol=1e-9)
        np.testing.assert_allclose([row["std"] for row in rings], spectra.std(0), atol=1e-9)
        assert sum(row["white_noise"] for row in rings) == pytest.approx(1)


def test_a_single_row_an_image_gives_students_interval(folder):
    draw = np.random.default_rng(0)
    moved = draw.normal(0, 0.1, (9, 1, 6, 6))
    attacked_set.write("nine.h5", {"images": (0.5 + moved).clip(0, 1), "labels": np.arange(9) % 3})
    (line,) = [row for row in made("nine.h5").rows if row["of"] == "area"]
    with h5py.File("nine.h5") as file:
        energy = np.square(file["images"][:].astype(float) - 0.5).reshape(9, -1)
    area = energy.sum(1) ** 2 / (36 * np.square(energy).sum(1))
    np.testing.assert_allclose([line["low"], line["high"]], stats.t.interval(0.95, 8, area.mean(), stats.sem(area)), atol=1e-9)


def test_white_noise_has_the_spectrum_of_white_noise_and_a_smooth_wave_a_low_one(folder):
    draw = np.random.default_rng(0)
    noise = draw.normal(0, 0.05, (600, 1, 16, 16))
    wave = 0.1 * np.sin(2 * np.pi * np.arange(16) / 16) * np.ones((600, 1, 16, 1))
    for name, moved in (("noise.h5", noise), ("wave.h5", wave)):
        attacked_set.write(name, {"images": (0.5 + moved).clip(0, 1), "labels": np.arange(600) % 3})
    found = made("noise.h5", "wave.h5").rows
    for line in (row for row in found if row["set"] == "noise.h5" and row["of"] in ("low", "centroid")):
        assert line["mean"] == pytest.approx(line["white_noise"], rel=0.1)
    (low, centroid) = (row["mean"] for row in found if row["set"] == "wave.h5" and row["of"] in ("low", "centroid"))
    assert (low, centroid) == pytest.approx((1, 1), abs=1e-5)
    assert {row["n"] for row in found if row["of"] == "edges"} == {0}, "the original has no edges"


def test_rows_without_a_perturbation_are_left_out(folder):
    images = np.full((6, 1, 4, 4), 0.5)
    images[:4, 0, 1, 2] = 0.75
    attacked_set.write("some.h5", {"images": images, "labels": np.arange(6) % 3})
    found = {row["of"]: row for row in made("some.h5").rows}
    assert (found["area"]["n"], found["area"]["mean"], found["spread"]["mean"]) == (4, 1 / 16, 0)
    attacked_set.write("none.h5", {"images": np.full((3, 1, 4, 4), 0.5), "labels": np.arange(3)})
    assert {row["n"] for row in made("none.h5").rows} == {0}


def test_several_sets_are_one_picture_and_one_without_rows_is_told(folder, run):
    class_pairs.write("set.h5", shape=(1, 4, 4))
    class_pairs.write_perturbations(Path("moved.h5"), "set.h5")
    attacked_set.write("none.h5", {"images": np.full((3, 1, 4, 4), 0.5), "labels": np.arange(3)})
    ran = run("stats", "set.h5", "moved.h5", "--figure", "structure", "-o", "both")
    assert ran.code == 0, ran.err
    assert Path("both/structure.png").stat().st_size > 10_000
    found = made("set.h5", "moved.h5")
    assert "2 sets" in found.figure.get_suptitle()
    same = [[row for row in found.rows if row["set"] == name and row["of"] != "edges"] for name in ("set.h5", "moved.h5")]
    assert [row["mean"] for row in same[0]] == [row["mean"] for row in same[1]]
    assert {row["n"] for row in found.rows if row["of"] == "edges" and row["set"] == "moved.h5"} == {0}
    assert made("none.h5", rows="failures").rows == []

"""`--no-clip`: images that leave [0, 1], where a paper clips nothing, and what every verb makes of them."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import advcli
from advcli.catalog import discovery
from advcli.errors import InputError
from advcli.files import header_schema, imageset_writer, parts
from advcli.files.imageset_reader import ImageSet
from conftest import Halfspace, attacked

UNCLIPPED = [spec.name for spec in discovery.specs("attack") if spec.traits.unclipped]
SMALL = ("--method", "fgsm", "--eps", "0.3", "--limit", "20")


def dark_and_bright(count: int = 6) -> torch.Tensor:
    """Pictures of black and white pixels alone: every step outwards leaves [0, 1]."""
    return torch.rand(count, 3, 2, 2, generator=torch.Generator().manual_seed(3)).round()


@pytest.fixture
def unclipped(run, model):
    """A set of fgsm whose pixels leave [0, 1]."""
    assert run("attack", *SMALL, "--no-clip", "-o", "u.h5").code == 0
    return "u.h5"


def document(ran) -> dict:
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def test_which_methods_clip_nothing_in_their_papers():
    assert UNCLIPPED == ["dgsm", "fgm", "fgsm", "grad"]


@pytest.mark.parametrize("name", UNCLIPPED)
def test_a_method_that_offers_it_leaves_the_range_only_then(name, halfspace):
    x = dark_and_bright()
    label = halfspace(x).argmax(1)
    clipped, free = (attacked(name, halfspace, x, label, "2", early_stop=False, clip=clip)["images"] for clip in (True, False))
    assert (clipped.min(), clipped.max()) == (0, 1)
    assert free.min() < 0 < 1 < free.max()


@pytest.mark.parametrize("norm", ["l2", "raw"])
def test_one_step_is_the_whole_gradient(norm):
    """x + eps g / ||g||_2, or x + eps g, exactly."""
    model, x = Halfspace().requires_grad_(False), dark_and_bright()
    label = model(x).argmax(1)
    point = x.clone().requires_grad_()
    g = torch.autograd.grad(torch.nn.functional.cross_entropy(model(point), label, reduction="sum"), point)[0]
    step = g / g.flatten(1).norm(dim=1).view(-1, 1, 1, 1) if norm == "l2" else g
    made = attacked("fgm", model, x, label, "2", options={"norm": norm}, clip=False)
    right = made["clean_prediction"] == made["labels"]
    torch.testing.assert_close(torch.from_numpy(made["images"])[right], (x + 2 * step)[right], atol=1e-6, rtol=0)


def test_grad_walks_on_beyond_black_and_white():
    """S0-A2: two steps a grad F_t, which is w everywhere; the paper says nothing of a clip, without which pixels turn negative."""
    model, x = Halfspace().requires_grad_(False), dark_and_bright()
    label, options = model(x).argmax(1), {"steps": 2, "rate": 0.5}
    made = attacked("grad", model, x, label, target="next", early_stop=False, clip=False, options=options)
    sign = torch.where(label == 0, 1.0, -1.0).view(-1, 1, 1, 1)
    wanted = x + 2 * 0.5 * sign * model.w.view(3, 2, 2)
    won = made["success"].astype(bool)
    assert won.any()
    torch.testing.assert_close(torch.from_numpy(made["images"])[won], wanted[won], atol=1e-6, rtol=0)


def test_the_attack_says_so_too(run, model):
    ran = run("attack", *SMALL, "--no-clip")
    assert ran.err.count("no image file can hold them") == 1
    none = run("attack", "--method", "fgsm", "--eps", "0", "--limit", "20", "--no-clip", "-o", "none.h5")
    assert "no image file" not in none.err
    with ImageSet("none.h5") as opened:
        assert not opened.unclipped, "no pixel left [0, 1]: these are images"


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_in_a_notebook_the_result_says_so(model):
    pictures, labels = torch.rand(6, 1, 8, 8).round(), torch.arange(6)
    found, usual = (advcli.attack(str(model), (pictures, labels), method="fgsm", clip=clip) for clip in (False, True))
    assert "linf 0.3, not clipped" in repr(found)
    assert "not clipped" not in repr(usual)
    assert found.images.max() > 1.2


def test_a_set_tells_its_range_and_every_reader_takes_it(run, unclipped):
    with ImageSet(unclipped) as opened, ImageSet("u.perturbations.h5") as view:
        pixels, changes = opened.rows("images", 0, len(opened)), view.rows("images", 0, len(view))
        low, high = opened.header["range"]
        assert (low, high) == (pixels.min(), pixels.max())
        assert low < -0.2
        assert high > 1.2
        assert opened.header["made"]["options"]["clip"] is False
        assert view.header["range"] == [low - 1, high]
        assert changes.abs().max() <= 0.3 + 1e-6
    assert "--no-clip" in run("show", unclipped).out
    verified = run("verify", unclipped, "u.perturbations.h5")
    assert verified.code == 0
    assert "no image file can hold them" in " ".join(verified.out.split())
    statistics = document(run("stats", unclipped, "--figure", "values", "--json"))
    values = {row["of"]: row for row in statistics["rows"]}
    assert (values["images"]["min"], values["images"]["max"]) == (low, high)
    assert values["images"]["p5"] < 0, "a quantile is no clipped value"
    histogram = (Path(statistics["folders"][0]) / "values.csv").read_text().splitlines()
    assert sum(int(line.split(",")[-1]) for line in histogram if line.startswith("images,")) == values["images"]["n"]


def test_evaluate_marks_it_and_counts_it_nowhere_as_an_attack_on_images(run, unclipped):
    assert run("attack", "--method", "noise", "--eps", "0.3", "--limit", "20", "-o", "n.h5").code == 0
    assert run("attack", *SMALL, "-o", "c.h5").code == 0
    ran = run("evaluate", unclipped, "n.h5", "c.h5", "--json")
    rows = document(ran)["rows"]
    mine = [row for row in rows if row["set"] == unclipped]
    assert {row["metric"] for row in mine} == {"accuracy", "success"}
    assert {row["threat"]["pixels"] for row in mine} == {"float, not clipped"}
    assert all("no image file can hold them" in " ".join(row["threat"]["notes"]) for row in mine)
    assert {row["set"] for row in rows if row["metric"] == "robust_accuracy"} == {"n.h5 + c.h5"}
    assert f"{unclipped}: pixels outside [0, 1]" in ran.err
    alone = run("evaluate", unclipped, "--fail-under", "robust_accuracy=0")
    assert alone.code == 2
    assert "does not compute it" in alone.err
    beside_noise = run("evaluate", unclipped, "n.h5", "--fail-under", "robust_accuracy=0")
    assert beside_noise.code == 1, "noise is no attack, and the set that is not clipped supports no claim"
    assert "nobody attacked" in beside_noise.err


def test_distances_of_such_images_are_no_bound_on_robust_accuracy(run, model):
    assert run("attack", "--method", "grad", "--rate", "3", "--no-clip", "--limit", "10", "-o", "g.h5").code == 0
    rows = document(run("evaluate", "g.h5", "--json"))["rows"]
    assert {row["epsilon"] for row in rows} == {None}
    assert run("evaluate", "g.h5", "--eps", "0.5").code == 2


@pytest.mark.parametrize("line", [
    "evaluate u.h5 --pixels 8-bit", "evaluate u.h5 --pixels both", "export u.h5 -o pictures", "defend u.h5",
    "attack --data u.h5", "train --data u.h5 -o other.safetensors",
    "attack --method fgsm --no-clip --quantize", "attack --method fgm --norm l1 --no-clip", "attack --method pgd --no-clip",
])  # fmt: skip
def test_what_makes_no_sense_is_refused_in_a_line(run, unclipped, line):
    ran = run(*line.split())
    assert ran.code in (2, 3)
    told = [one for one in ran.err.splitlines() if one.startswith("advcli:") and "see:" not in one]
    assert len(told) == 1
    assert "outside [0, 1]" in told[0] or "--no-clip" in told[0]


def test_files_for_other_tools_hold_it_as_it_is(run, unclipped):
    ran = run("export", unclipped, "-o", "u.npz")
    assert ran.code == 0
    assert "outside [0, 1]" in ran.err
    assert np.load("u.npz")["images"].min() < 0


def test_an_interrupted_run_goes_on_and_ends_in_the_same_bytes(run, unclipped, monkeypatch):
    words = ("attack", *SMALL, "--no-clip", "--batch-size", "5", "--part-size", "1", "--no-perturbations", "-o")
    assert run(*words, "whole.h5").code == 0
    save, saved = parts.Parts.save, []

    def interrupted(self, *given):
        save(self, *given)
        saved.append(given)
        if len(saved) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(parts.Parts, "save", interrupted)
    assert run(*words, "again.h5").code == 130
    again = run(*words, "again.h5")
    assert "resuming after 10 of 20 images" in again.err
    assert Path("whole.h5").read_bytes() == Path("again.h5").read_bytes()


def test_a_header_cannot_widen_its_range_without_saying_so(run, unclipped):
    with ImageSet(unclipped) as opened:
        header = opened.header
    told = json.loads(json.dumps(header))
    for wrong in ([0.1, 1], [0, 0.9], [0, float("nan")], [0, 1e39], ["0", 1], 3, None):
        with pytest.raises(InputError, match="range"):
            header_schema.image_set(told | {"range": wrong}, "u.h5")
    del told["made"]["options"]["clip"]
    with h5py.File(unclipped) as file:
        columns = {name: file[name][:] for name in file if name != "header"}
    imageset_writer.write_rows(Path("forged.h5"), told, columns)
    assert "range" in run("verify", "forged.h5").err

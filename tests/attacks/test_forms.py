"""Attacks of another form than a search in a ball: movements of the picture, pictures out of nothing, one for all."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor, nn

from advcli.attacks.spatial import gridded, moved
from advcli.attacks.substitute import substitute as fit_substitute
from advcli.catalog import discovery
from advcli.crafting import substitute, universal
from advcli.files.imageset_reader import ImageSet
from advcli.numerics.quantities import budgets
from advcli.numerics.rng import SampleRNG
from advcli.runtime.reporter import SILENT
from advcli.search.job import Job
from advcli.search.victim import Tally, Victim
from conftest import Halfspace, attacked, in_memory, near_the_plane


def pictures(count: int = 6, shape: tuple[int, ...] = (1, 12, 12), seed: int = 0) -> Tensor:
    """Bright blobs on black, as digits are."""
    drawn = torch.rand(count, *shape, generator=torch.Generator().manual_seed(seed))
    return drawn * (nn.functional.avg_pool2d(drawn, 3, 1, 1) > 0.5)


class Bent(nn.Module):
    """A small network with a bend."""

    def __init__(self, size: int = 144, classes: int = 4, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            self.net = nn.Sequential(nn.Flatten(), nn.Linear(size, 24), nn.ReLU(), nn.Linear(24, classes))

    def forward(self, x: Tensor, draws: object = None) -> Tensor:
        return self.scale * self.net(2 * x - 0.3)


def shifts(*rows: tuple[float, float, float]) -> Tensor:
    return torch.tensor(rows)


def test_resting_turning_by_a_right_angle_and_whole_pixels_are_exact():
    x = pictures(3, (3, 12, 12))
    assert torch.equal(moved(x, torch.zeros(3, 3)), x)
    for times in (1, 2, 3):
        turned = np.rot90(x.numpy(), times, (2, 3))
        np.testing.assert_allclose(moved(x, shifts((0, 0, 90.0 * times)).expand(3, 3)), turned, atol=1e-5)
    wanted = torch.zeros_like(x)
    wanted[:, :, :-2, 3:] = x[:, :, 2:, :-3]
    assert torch.equal(moved(x, shifts((3, -2, 0)).expand(3, 3)), wanted), "black comes in, and nothing from the other side"


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 12, 20), (1, 1, 7)], ids=str)
def test_a_movement_is_one_bilinear_resampling(shape):
    """SciPy's affine_transform with an interpolated black outside."""
    x, moves = torch.rand(4, *shape), shifts((1.5, -0.25, 17), (-3, 2, -30), (0.1, 0.2, 0), (0, 0, 121))
    found, centre = moved(x, moves).numpy(), (np.array(shape[1:]) - 1) / 2
    for picture, (right, down, degrees), mine in zip(x.numpy(), moves.tolist(), found, strict=True):
        cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
        back = np.array([[cos, sin], [-sin, cos]])  # from rows and columns of the result to those of the picture
        offset = centre - back @ (centre + np.array([down, right]))
        for plane, own in zip(picture, mine, strict=True):
            wanted = ndimage.affine_transform(plane, back, offset, order=1, mode="grid-constant", prefilter=False)
            np.testing.assert_allclose(own, wanted, atol=1e-5)


def test_a_border_makes_the_picture_smaller_first():
    x = torch.rand(2, 1, 28, 28)
    small = nn.functional.interpolate(x.double(), (20, 20), mode="bilinear", align_corners=False)
    wanted = nn.functional.pad(small, (4, 4, 4, 4)).float()
    torch.testing.assert_close(moved(x, torch.zeros(2, 3), border=4), wanted, atol=1e-6, rtol=0)


def test_an_odd_grid_holds_the_identity_and_reaches_its_ends():
    grid = gridded("5,3,31", 3, 30)
    assert len(grid) == 5 * 3 * 31
    assert (grid == 0).all(1).sum() == 1
    assert grid.abs().amax(0).tolist() == [3, 3, 30]
    assert gridded("1,1,1", 3, 30).tolist() == [[0, 0, 0]], "one point is the middle"


def test_full_strength_asks_for_every_point_of_the_grid_and_keeps_the_worst():
    model, x = Bent(), pictures(40)
    label = model(x).argmax(1)
    made = attacked("spatial", model, x, label, options={"grid": "3,3,5"}, early_stop=False)
    assert (made["queries"] == 45).all()
    every = torch.stack([model(moved(x, one.expand(40, 3))) for one in gridded("3,3,5", 1, 15)])
    rival = every.scatter(2, label.expand(45, 40)[..., None], -torch.inf).amax(2)
    gaps = rival - every.gather(2, label.expand(45, 40)[..., None])[..., 0]
    assert 0 < made["success"].sum() < 40
    assert (made["success"] == (gaps.amax(0) > 0).numpy()).all()
    kept = model(torch.from_numpy(made["images"]))
    deepest = kept.scatter(1, label[:, None], -torch.inf).amax(1) - kept.gather(1, label[:, None])[:, 0]
    torch.testing.assert_close(deepest, gaps.amax(0), atol=1e-5, rtol=0)


def test_an_early_stop_finds_the_same_images_for_less():
    model, x = Bent(), pictures(40)
    label = model(x).argmax(1)
    first, full = (attacked("spatial", model, x, label, early_stop=flag) for flag in (True, False))
    assert (first["success"] == full["success"]).all()
    assert (full["queries"] == 775).all()
    won = first["success"].astype(bool)
    assert (first["queries"][~won] == 775).all()
    assert first["queries"][won].mean() < 775 / 4
    assert first["gradients"].sum() == 0


def test_it_asks_for_scores_only_and_no_more_often_than_it_may():
    class Closed(Bent):
        def forward(self, x, draws=None):
            assert not (torch.is_grad_enabled() and x.requires_grad), "asked for a gradient"
            return super().forward(x)

    model, x = Closed().requires_grad_(False), pictures(20)
    label = model(x).argmax(1)
    for early in (True, False):
        made = attacked("spatial", model, x, label, max_queries=17, early_stop=early)
        assert made["queries"].max() == 17
        assert early or (made["queries"] == 17).all()


def test_more_random_movements_begin_with_the_same_ones():
    model, x = Bent(), pictures(60)
    label = model(x).argmax(1)
    once, ten = (
        attacked("spatial", model, x, label, options={"mode": "random", "samples": n}, early_stop=False) for n in (1, 10)
    )
    assert (once["queries"] == 1).all()
    assert (ten["queries"] == 10).all()
    assert (ten["success"] >= once["success"]).all()
    assert ten["success"].sum() > once["success"].sum()
    again = attacked("spatial", model, x, label, options={"mode": "random", "samples": 1}, early_stop=False, batch=7)
    assert (again["images"] == once["images"]).all(), "draws depend on no batch"


def test_movements_that_lose_ink_are_not_even_tried():
    model, x = Bent(), pictures(30)
    x[0] = 0
    label = model(x).argmax(1)
    options = {"max_shift": 6, "grid": "5,5,3"}
    loose = attacked("spatial", model, x, label, options=options, early_stop=False)
    made = attacked("spatial", model, x, label, options=options | {"ink_tolerance": 0.05}, early_stop=False)
    ink, before = made["images"].sum((1, 2, 3)), x.numpy().sum((1, 2, 3))
    assert (abs(ink - before) <= 0.05 * before + 1e-4).all()
    assert (abs(loose["images"].sum((1, 2, 3)) - before) > 0.05 * before).any()
    assert (made["queries"] < 75)[1:].all()
    assert made["queries"][0] == 75, "black stays black, wherever it is moved"


def test_the_preset_of_paper_4_is_what_its_words_say():
    model, x = Bent(784), pictures(4, (1, 28, 28))
    label = model(x).argmax(1)
    spelled = {"max_shift": 10, "max_rot": 10, "grid": "5,5,11", "border": 4, "ink_tolerance": 0.1}
    made, same = (attacked("spatial", model, x, label, options=one) for one in ({"preset": "wang-zhang"}, spelled))
    assert (made["images"] == same["images"]).all()
    other = attacked("spatial", model, x, label, options={"preset": "wang-zhang", "border": 0})
    assert (made["images"] != other["images"]).any(), "what is said counts more than the preset"


def test_the_default_movement_goes_with_the_size_of_the_picture():
    for side, shift, turn in ((8, 1, 15), (28, 3, 30), (32, 3, 30)):
        model, x = Bent(side * side), pictures(3, (1, side, side))
        label = model(x).argmax(1)
        spelled = {"max_shift": shift, "max_rot": turn}
        made, same = (attacked("spatial", model, x, label, options=one) for one in ({}, spelled))
        assert (made["images"] == same["images"]).all()


def test_spatial_sets_go_through_every_verb(run, model):
    for more in (("--grid", "3,3,5"), ("--mode", "random", "--samples", "4"), ("--quantize",)):
        ran = run("attack", "--method", "spatial", "--limit", "20", *more)
        assert ran.code == 0, ran.err
        assert run("verify", "adversarial.h5", "perturbations.h5").code == 0
        assert " ".join(more) in run("show", "adversarial.h5").out
    assert "spatial, scores only, early-stopped" in run("evaluate", "adversarial.h5").out, "no norm is named where there is none"
    assert "nan" not in run("stats").out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("--eps 0.1", "no option --eps"),
        ("--grid 5,5", "three numbers"),
        ("--grid 5,x,5", "three numbers"),
        ("--grid 9999,9999,9999", "10000 points"),
        ("--border 4", "nothing would be left"),
        ("--samples 4", "--mode random"),
        ("--mode random --grid 3,3,3", "--mode grid"),
        ("--max-rot 200", "outside"),
        ("--restarts 2", "no option --restarts"),
    ],
)
def test_spatial_refuses_what_means_nothing(run, model, words, complaint):
    ran = run("attack", "--method", "spatial", *words.split())
    assert ran.code == 2
    assert complaint in ran.err


def test_a_picture_of_every_class_is_made_out_of_nothing():
    model, x = Bent(classes=4, scale=60), torch.rand(12, 1, 12, 12)
    made = attacked("fool-gradient", model, x, torch.zeros(12, dtype=torch.int64))
    assert (made["labels"] == -1).all()
    assert made["target"].tolist() == [*range(4)] * 3, "all classes in one batch"
    assert made["success"].all()
    assert (made["prediction"] == made["target"]).all()
    assert (made["clean_prediction"] == made["target"]).any(), "the class that it has by chance is a target like any other"
    assert (made["originals"] == x.numpy()).all()
    sure = model(torch.from_numpy(made["images"])).softmax(1).amax(1)
    assert (sure >= 0.9999 - 1e-5).all()
    assert (made["gradients"] < 500).all()


def test_what_is_asked_for_decides_when_a_fooling_picture_is_done():
    model, x = Bent(classes=4, scale=60), torch.rand(8, 1, 12, 12)
    half, most = (attacked("fool-gradient", model, x, torch.zeros(8).long(), options={"confidence": c}) for c in (0.5, 0.99999))
    assert half["success"].all()
    assert half["gradients"].sum() < most["gradients"].sum()
    short = attacked("fool-gradient", model, x, torch.zeros(8).long(), options={"steps": 3, "confidence": 0.0})
    assert ((short["gradients"] == 3) | (short["prediction"] == short["target"])).all()
    long = attacked("fool-gradient", model, x, torch.zeros(8).long(), options={"steps": 30}, early_stop=False)
    assert (long["gradients"] == 30).all()
    near = attacked("fool-gradient", model, x, torch.zeros(8).long(), options={"steps": 30, "penalty": 3.0}, early_stop=False)
    size = [np.square(one["images"] - one["originals"]).sum() for one in (near, long)]
    assert size[0] < 0.5 * size[1], "the penalty holds it near its beginning"


def test_one_step_of_fool_gradient_is_worked_out_by_hand():
    class Plane(nn.Module):
        def forward(self, x, draws=None):
            score = x.flatten(1) @ torch.tensor([3.0, 0.0, 0.0, -4.0])
            return torch.stack([score, 0 * score], 1)

    made = attacked(
        "fool-gradient", Plane(), torch.full((1, 1, 2, 2), 0.5), torch.zeros(1).long(), target="0", options={"steps": 1}
    )
    moved_by = 0.02 * np.array([3, 0, 0, -4]) / np.sqrt((9 + 16) / 4)
    np.testing.assert_allclose(made["images"].ravel(), 0.5 + moved_by, atol=1e-6)


@pytest.mark.parametrize(("init", "level"), [("noise", None), ("grey", 0.5), ("black", 0), ("white", 1)])
def test_what_fooling_pictures_start_from(run, model, init, level):
    ran = run("attack", "--method", "fool-gradient", "--init", init, "--count", "2", "--steps", "60")
    assert ran.code == 0, ran.err
    assert "target: all" in ran.err
    with ImageSet("adversarial.h5") as made:
        start = made.pick("originals", range(20))
        assert len(made) == 20
        assert made.column("target").tolist() == [*range(10)] * 2
        if level is None:
            assert abs(float(start.mean()) - 0.5) < 0.05
            assert len({bytes(one.numpy()) for one in start}) == 20
        else:
            assert (start == level).all()
    assert run("verify", "adversarial.h5", "perturbations.h5").code == 0
    shown = run("show", "adversarial.h5").out
    assert f"fool-gradient from {init}" in shown
    assert "--data" not in shown
    before = Path("adversarial.h5").read_bytes()
    line = next(line.split("command ")[1] for line in shown.splitlines() if "command " in line)
    Path("adversarial.h5").unlink()
    assert run(*shlex.split(line)[1:]).code == 0
    assert Path("adversarial.h5").read_bytes() == before


def test_fooling_sets_go_through_every_verb(run, model):
    assert run("attack", "--method", "fool-gradient", "--target", "3", "--count", "4", "--quantize").code == 0
    assert "8-bit pixels" in run("verify", "adversarial.h5").out
    assert run("stats").code == 0
    assert run("stats", "adversarial.h5", "--by", "label,target").code == 0
    assert run("export", "adversarial.h5", "-o", "pictures").code == 0
    assert run("defend", "adversarial.h5").code == 0
    assert run("attack", "--method", "fgsm", "--data", "adversarial.h5", "-o", "again.h5").code == 0
    assert run("verify", "again.h5", "adversarial.filtered.h5").code == 0
    assert run("train", "--data", "adversarial.h5", "-o", "new.safetensors").code == 3
    figures = {row["metric"]: row for row in json.loads(run("evaluate", "adversarial.h5", "--json").out)["rows"]}
    assert figures["accuracy"]["n"] == 0, "what has no label is neither right nor wrong"
    assert (figures["success"]["k"], figures["success"]["n"]) == (4, 4)
    sure = json.loads(run("evaluate", "adversarial.h5", "--json", "--metric", "confidence").out)["rows"]
    assert sure[0]["n"] == 4
    assert sure[0]["value"] > 0.999
    assert not any(row["metric"] == "overconfidence" for row in sure)
    for number in (1, 2):
        assert run("attack", "--method", "fgsm", "--limit", "5", "--seed", number, "-o", f"{number}.h5").code == 0
    table = json.loads(run("evaluate", "adversarial.h5", "1.h5", "2.h5", "--json").out)["rows"]
    assert any(row["metric"] == "robust_accuracy" for row in table), "what has no label does not hinder the worst case"


def test_fooling_pictures_pass_a_detector_or_fail_honestly(run, model):
    assert run("defend", "--method", "squeeze-detector").code == 0
    ran = run("attack", "--method", "fool-gradient", "--model", "defended.safetensors", "--count", "2")
    assert ran.code == 0, ran.err
    assert run("verify", "adversarial.h5").code == 0
    with ImageSet("adversarial.h5") as made:
        won, said, target = (made.column(name) for name in ("success", "prediction", "target"))
        assert (won.astype(bool) <= (said == target)).all()
        assert won.sum() >= 10, "the detector's term is climbed down too"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("--data digits", "no option --data"),
        ("--limit 5", "no option --limit"),
        ("--label pred", "no option --label"),
        ("--eps 0.1", "no option --eps"),
        ("--target other", "no picture yet"),
        ("--step-size eps/10", "no budget here"),
        ("--init blue", "none of noise"),
        ("--count 0", "outside"),
    ],
)
def test_fool_gradient_refuses_what_means_nothing(run, model, words, complaint):
    ran = run("attack", "--method", "fool-gradient", *words.split())
    assert ran.code == 2
    assert complaint in ran.err
    assert "no option --init" in run("attack", "--method", "fgsm", "--init", "grey").err


class Answers(Bent):
    """A model that only answers: whoever asks for a gradient gets an error."""

    def forward(self, x, draws=None):
        assert not torch.is_grad_enabled(), "asked for a gradient"
        return super().forward(x)


def test_a_stand_in_is_taught_by_labels_alone_and_each_is_counted():
    model, x = Answers(), pictures(40)
    with torch.no_grad():
        label = model(x).argmax(1)
    job = Job(model, discovery.spec("attack", "fgsm").bind({}), "linf", budgets("0.2"), None, "true", 0, torch.device("cpu"))
    bound = discovery.spec("attack", "substitute").bind({"arch": "mlp:hidden=32,16", "rounds": 4, "epochs": 8})
    school = substitute.taught(bound, substitute.network_of(bound), job, in_memory(x, label, 4), None, SILENT)
    assert int(school.tally.queries) == school.asked == 40 * 2**3
    assert [type(one).__name__ for one in school.pupil.network].count("Linear") == 3
    fresh = pictures(200, seed=9)
    with torch.no_grad():
        agreed = school.pupil(fresh).argmax(1) == model(fresh).argmax(1)
    assert agreed.float().mean() > 0.7
    made = attacked("substitute", model, x, label, "0.2", options={"arch": "mlp:hidden=32", "epochs": 5})
    assert made["success"].any()
    assert made["queries"].sum() == made["gradients"].sum() == 0, "what the stand-in is asked, the model does not pay"


def test_new_images_lie_one_step_along_the_stand_ins_own_score():
    """x' = clip(x + l sign(dz_y/dx)); wang-zhang steps back three times."""
    w = torch.tensor([[1.0, -2.0, 0.0, 3.0], [-1.0, 1.0, 2.0, 0.0]])

    class Plane(nn.Module):
        def forward(self, x, draws=None):
            return x.flatten(1) @ w.T

    seen: list[Tensor] = []

    def ask(x: Tensor) -> Tensor:
        seen.append(x)
        return torch.arange(len(x)) % 2

    def teach(x: Tensor, label: Tensor, epochs: int) -> Victim:
        assert (len(x), epochs) == (sum(map(len, seen)), 7)
        return Victim(Plane(), Tally(len(x)), torch.arange(len(x)), None)

    start = torch.full((2, 1, 2, 2), 0.5)
    rng = SampleRNG(0, torch.arange(2))
    fit_substitute(ask, start, teach, rng=rng, rounds=2, epochs=7)
    torch.testing.assert_close(seen[1], start + 0.1 * w.sign().view(2, 1, 2, 2))
    seen.clear()
    fit_substitute(ask, start, teach, rng=rng, rounds=6, epochs=7, lambda_schedule="wang-zhang")
    assert list(map(len, seen)) == [2, 2, 4, 8, 16, 32]
    torch.testing.assert_close(seen[1], start - 0.1 * w.sign().view(2, 1, 2, 2))
    assert (seen[4][0] - torch.cat(seen[:4])[0]).abs().max() > 0.09
    torch.testing.assert_close(seen[4][:2], start + 0.1 * w.sign().view(2, 1, 2, 2))


def test_a_stand_in_does_not_begin_where_its_model_did(run, folder):
    """Equal seeds would give a stand-in of the same architecture the same first weights."""
    first = discovery.spec("architecture", "mlp").bind({})
    data = in_memory(pictures(4), torch.zeros(4).long(), 4)
    job = Job(Bent(), first, "linf", budgets("0.1"), None, "true", 0, torch.device("cpu"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        trained = first(data.shape, 4)
    assert not torch.equal(substitute.fresh(first, data, job).network[1].weight, trained[1].weight)


TAUGHT = ("attack", "--method", "substitute", "--rounds", "3", "--epochs", "2", "--limit", "40", "--eps", "0.2")


def test_a_stand_in_is_a_model_and_its_set_says_what_it_knew(run, model):
    ran = run(*TAUGHT)
    assert ran.code == 0, ran.err
    assert "600 answers" in ran.err
    assert run("verify", "adversarial.h5", "perturbations.h5", "adversarial.substitute.safetensors").code == 0
    table = run("evaluate", "--model", model, "--model", "adversarial.substitute.safetensors", "adversarial.h5", "--json").out
    on = {row["model"]: row["threat"] for row in json.loads(table)["rows"] if row["metric"] == "accuracy"}
    assert on[str(model)]["knowledge"] == "transfer", "the model itself was never looked into"
    assert on[str(model)]["access"] == "labels"
    assert on["adversarial.substitute.safetensors"]["knowledge"] == "white-box"
    header = json.loads(run("show", "adversarial.h5", "--json").out)[0]["header"]
    assert header["fitted"] == {"images": 150, "queries": 600, "gradients": 0}
    story = json.loads(run("show", "adversarial.substitute.safetensors", "--json").out)[0]
    assert story["header"]["made"]["parents"][0]["digest"] == header["victim"]["digest"]
    assert story["header"]["made"]["fit"]["split"] == "train"
    assert (
        run("attack", "--method", "fgsm", "--model", "adversarial.substitute.safetensors", "--limit", "5", "-o", "w.h5").code == 0
    )


@pytest.mark.parametrize("name", ["adversarial.substitute.safetensors", "adversarial.h5"])
def test_the_command_that_is_shown_makes_the_stand_in_and_its_set_again(run, model, name):
    assert run(*TAUGHT, "--attack", "pgd:steps=3", "--fit-data", "digits:val", "--fit-limit", "20", "--seed", "3").code == 0
    before = Path(name).read_bytes()
    line = next(line.split("command ")[1] for line in run("show", name).out.splitlines() if "command " in line)
    for path in ("adversarial.h5", "perturbations.h5", "adversarial.substitute.safetensors"):
        Path(path).unlink()
    ran = run(*shlex.split(line)[1:])
    assert ran.code == 0, ran.err
    assert Path(name).read_bytes() == before


def test_another_attack_builds_on_the_stand_in_that_is_there(run, model):
    assert run(*TAUGHT).code == 0
    before = Path("adversarial.substitute.safetensors").read_bytes()
    ran = run(*TAUGHT[:-1], "0.1", "--attack", "pgd:steps=4")
    assert ran.code == 0, ran.err
    assert "adversarial.substitute.safetensors is there already" in ran.err
    assert Path("adversarial.substitute.safetensors").read_bytes() == before
    ran = run(*TAUGHT[:-1], "0.1", "--attack", "pgd:steps=4", "--lambda", "0.2")
    assert "replacing adversarial.substitute.safetensors" in ran.err
    assert run(*TAUGHT, "-o", "mine.h5").code == 0
    assert run(*TAUGHT, "-o", "mine.h5", "--lambda", "0.3").code == 2, "-o names are not replaced"


def test_an_interrupted_lesson_goes_on_after_the_last_whole_round(run, model, monkeypatch):
    assert run(*TAUGHT, "-o", "whole.h5").code == 0
    lessons = []

    def stop(plan: object) -> object:
        lessons.append(plan)
        if len(lessons) == 3:
            raise KeyboardInterrupt
        return trainer(plan)

    trainer = substitute.Trainer
    monkeypatch.setattr(substitute, "Trainer", stop)
    assert run(*TAUGHT).code == 130
    assert run(*TAUGHT).code == 0
    assert len(lessons) == 4, "two rounds were kept"
    assert Path("adversarial.substitute.safetensors").read_bytes() == Path("whole.substitute.safetensors").read_bytes()
    assert not list(Path().glob("*.parts"))


def test_universal_finds_the_direction_that_all_images_share():
    """Images of one side of a half-space: the best v of the budget is known, and so is whom it turns."""
    for norm, steepest in (("linf", lambda w: w.sign()), ("l2", lambda w: w / w.norm())):
        model, x = Halfspace().requires_grad_(False), near_the_plane(60)
        label = model(x).argmax(1)
        x, label = x[label == 1], label[label == 1]
        far = model.distance(x, norm)
        eps = float(far.median()) + 1e-4
        for variant in ("sgd", "deepfool"):
            made = attacked("universal", model, x, label, f"{eps:.6f}", options={"norm": norm, "variant": variant, "epochs": 20})
            assert (made["success"].astype(bool) <= (far <= eps).numpy()).all()
            assert made["success"].sum() >= (1 if variant == "deepfool" else 0.95) * 0.5 * (far <= eps).sum()
        best = attacked("universal", model, x, label, f"{eps:.6f}", options={"norm": norm, "epochs": 20})
        v = torch.from_numpy(best["images"] - best["originals"])
        assert (v - v[:1]).abs().max() < 1e-6, "one for all"
        torch.testing.assert_close(v[0].flatten(), -eps * steepest(model.w), atol=2e-3 * eps, rtol=0)
        assert best["success"].sum() == (far < eps * (1 - 2e-3)).sum()


def test_universal_reaches_a_class_and_refuses_a_rule(run, model):
    ran = run("attack", "--method", "universal", "--target", "3", "--limit", "60", "--eps", "0.4", "--fit-limit", "300")
    assert ran.code == 0, ran.err
    with ImageSet("adversarial.h5") as made:
        assert set(made.column("target")) == {3}
        assert made.column("success").mean() > 0.3
    with ImageSet("adversarial.universal.h5") as fitted:
        assert fitted.column("target").tolist() == [3]
    assert "one class to reach" in run("attack", "--method", "universal", "--target", "next").err
    assert "--target needs sgd" in run("attack", "--method", "universal", "--target", "3", "--variant", "deepfool", "--force").err


FITTED = ("attack", "--method", "universal", "--limit", "50", "--eps", "0,0.1,0.2", "--fit-limit", "200", "--epochs", "3")


def test_a_universal_perturbation_is_a_file_and_goes_through_every_verb(run, model):
    ran = run(*FITTED)
    assert ran.code == 0, ran.err
    assert run("verify", "adversarial.h5", "perturbations.h5", "adversarial.universal.h5").code == 0
    with ImageSet("adversarial.universal.h5") as fitted, ImageSet("adversarial.h5") as made:
        v = fitted.rows("images", 0, 3)
        assert fitted.header["fitted"] == made.header["fitted"]
        assert fitted.header["fitted"]["gradients"] > 3 * 2 * 150
        assert fitted.column("epsilon").tolist() == [0, np.float32(0.1), np.float32(0.2)]
        assert float(v[0].abs().max()) == 0
        for budget in range(3):
            mine = made.pick("images", range(budget, 150, 3)) - made.pick("originals", range(50))
            changed = mine.abs().amax((1, 2, 3)) > 0
            room = (made.pick("originals", range(50)) + v[budget]).clamp(0, 1) - made.pick("originals", range(50))
            torch.testing.assert_close(mine[changed], room[changed], atol=1e-6, rtol=0)
    assert "white-box" in run("evaluate", "adversarial.h5").out
    assert "0.2" in run("stats", "adversarial.universal.h5").out
    assert run("export", "adversarial.universal.h5", "-o", "v.npz").code == 0
    for words in (["evaluate"], ["attack", "--data"], ["train", "--data"]):
        ran = run(*words, "adversarial.universal.h5")
        assert ran.code == 3
        assert "--apply adversarial.universal.h5" in ran.err


def test_universal_perturbations_are_applied_to_other_images_and_models(run, model):
    assert run(*FITTED, "-o", "u.h5").code == 0
    assert run("train", "--seed", "9", "--epochs", "3", "-o", "other.safetensors").code == 0
    ran = run("attack", "--apply", "u.universal.h5", "--model", "other.safetensors", "--data", "digits:val", "--limit", "30")
    assert ran.code == 0, ran.err
    assert run("verify", "adversarial.h5", "perturbations.h5").code == 0
    with ImageSet("adversarial.h5") as made, ImageSet("u.universal.h5") as fitted:
        assert len(made) == 90
        assert made.column("queries").sum() == made.column("gradients").sum() == 0
        assert made.header["access"] == "none"
        turned = made.column("success").astype(bool) & (np.arange(90) % 3 == 2)
        row = int(np.argmax(turned))
        wanted = (made.pick("originals", [row // 3]) + fitted.rows("images", 2, 3)).clamp(0, 1)
        assert turned.any()
        torch.testing.assert_close(made.pick("images", [row]), wanted, atol=1e-6, rtol=0)
    rows = json.loads(run("evaluate", "adversarial.h5", "--model", "other.safetensors", "--model", model, "--json").out)["rows"]
    assert {(row["model"], row["threat"]["knowledge"]) for row in rows if row["metric"] == "success"} == {
        ("other.safetensors", "transfer"),
        (str(model), "white-box"),
    }
    before = Path("adversarial.h5").read_bytes()
    line = next(line.split("command ")[1] for line in run("show", "adversarial.h5").out.splitlines() if "command " in line)
    Path("adversarial.h5").unlink()
    assert "--apply u.universal.h5" in line
    assert run(*shlex.split(line)[1:]).code == 0
    assert Path("adversarial.h5").read_bytes() == before


@pytest.mark.parametrize("name", ["adversarial.universal.h5", "adversarial.h5"])
def test_the_command_that_is_shown_makes_the_perturbation_and_its_set_again(run, model, name):
    assert run(*FITTED).code == 0
    before = Path(name).read_bytes()
    line = next(line.split("command ")[1] for line in run("show", name).out.splitlines() if "command " in line)
    for path in ("adversarial.h5", "adversarial.universal.h5"):
        Path(path).unlink()
    assert run(*shlex.split(line)[1:]).code == 0
    assert Path(name).read_bytes() == before


def test_an_interrupted_fit_goes_on_after_the_last_whole_budget(run, model, monkeypatch):
    assert run(*FITTED, "-o", "whole.h5").code == 0
    fits = []

    def stop(*args: object) -> object:
        fits.append(args)
        if len(fits) == 3:
            raise KeyboardInterrupt
        return fitted(*args)

    fitted = universal.fitted
    monkeypatch.setattr(universal, "fitted", stop)
    assert run(*FITTED).code == 130
    assert run(*FITTED).code == 0
    assert len(fits) == 4, "two budgets were kept"
    assert Path("adversarial.universal.h5").read_bytes() == Path("whole.universal.h5").read_bytes()
    assert Path("adversarial.h5").read_bytes() == Path("whole.h5").read_bytes()
    assert not list(Path().glob("*.parts"))


def test_what_is_fitted_never_sees_the_images_that_are_attacked(run, model):
    for method in ("substitute", "universal"):
        for words in (("--split", "train"), ("--fit-data", "digits:test"), ("--data", "digits:val", "--fit-data", "digits:val")):
            ran = run("attack", "--method", method, *words)
            assert ran.code == 3, words
            assert "may not see" in ran.err
        ran = run("attack", "--method", method, "--dry-run")
        assert ran.code == 0, ran.err
        assert not list(Path().glob("adversarial.*"))


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("--method substitute --attack spatial", "stay in a budget"),
        ("--method substitute --attack noise", "ask a model"),
        ("--method substitute --attack nosuch", "no attack 'nosuch'"),
        ("--method substitute --attack pgd:eps=0.1", "no option --eps"),
        ("--method substitute --attack pgd:steps", "written option=value"),
        ("--method substitute --attack dgsm", "needs a --target"),
        ("--method substitute --arch forest", "no gradient leads"),
        ("--method substitute --arch mlp:hidden=a", "no list of sizes"),
        ("--method substitute --max-queries 5", "no option --max-queries"),
        ("--method substitute --restarts 5", "no option --restarts"),
        ("--method universal --no-early-stop", "no option --no-early-stop"),
        ("--method universal --norm l1", "none of linf, l2"),
        ("--method fgsm --fit-limit 5", "no option --fit-limit"),
        ("--apply model.safetensors", "not an image set"),
        ("--apply missing.h5", "no such file"),
    ],
)
def test_attacks_in_two_stages_refuse_what_means_nothing(run, model, words, complaint):
    ran = run("attack", *words.split())
    assert ran.code in (2, 3)
    assert complaint in ran.err


def test_apply_takes_universal_perturbations_for_these_images_only(run, model):
    assert run(*FITTED, "-o", "u.h5").code == 0
    for words, complaint in (
        ("--eps 0.1", "no option --eps"),
        ("--target 3", "no option --target"),
        ("--steps 3", "no option --steps"),
        ("--restarts 3", "no option --restarts"),
        ("--method fgsm", "leave --method fgsm out"),
    ):
        ran = run("attack", "--apply", "u.universal.h5", *words.split())
        assert (ran.code, complaint in ran.err) == (2, True), ran.err
    assert "holds adversarial images" in run("attack", "--apply", "u.h5").err
    np.savez("big.npz", images=np.zeros((4, 1, 9, 9), np.float32), labels=np.arange(4))
    ran = run("attack", "--apply", "u.universal.h5", "-o", "u.universal.h5")
    assert ran.code == 2, "an input is never replaced"


def test_a_users_own_universal_method_is_held_to_its_budget(run, model):
    Path("veils.py").write_text(
        '''"""A bright veil."""
import torch
from advcli.extend import attack

@attack(family="universal", kind="universal", norms=("linf",), access="none", targeted=False)
def veil(crowd, eps, *, rng):
    return torch.full((1, *crowd.shape), 5.0)

@attack(family="universal", kind="universal", norms=("linf",), access="gradient", targeted=False)
def many(crowd, eps, *, rng):
    return torch.zeros(2, *crowd.shape)
'''
    )
    ran = run("attack", "--method", "veils:veil", "--eps", "0.25", "--limit", "10")
    assert ran.code == 0, ran.err
    assert run("verify", "adversarial.h5", "adversarial.universal.h5").code == 0
    with ImageSet("adversarial.universal.h5") as fitted:
        assert float(fitted.rows("images", 0, 1).max()) == 0.25
    ran = run("attack", "--method", "veils:many", "-o", "m.h5")
    assert ran.code == 2
    assert "veils:many returned" in ran.err

"""The basic iterative method: how many steps it takes, and of what size."""

from pathlib import Path

import torch

from advcli.attacks.bim import bim
from advcli.attacks.fgsm import fgsm
from advcli.files.imageset_reader import ImageSet
from advcli.networks.model_file import read
from advcli.numerics.rng import SampleRNG
from advcli.search.goal import Goal
from advcli.search.victim import Tally, Victim
from conftest import Halfspace, near_the_plane


class Asked(Halfspace):
    """A half-space that keeps the images that it was asked about."""

    def __init__(self) -> None:
        super().__init__()
        self.images: list[torch.Tensor] = []

    def forward(self, x, draws=None):
        self.images.append(x.detach().clone())
        return super().forward(x)


def test_every_row_takes_the_number_of_steps_of_its_own_budget():
    """Kurakin's rule for 2, 8 and 32 grey levels in one batch: 3, 10 and 36 steps of one level, as far as the ball lets them."""
    model, x = Asked(), near_the_plane(3)
    goal, rows = Goal(model(x).argmax(1)), torch.arange(3)
    model.images.clear()
    levels = torch.tensor([2, 8, 32])
    bim(Victim(model, Tally(3), rows, None), x, goal, levels / 255, rng=SampleRNG(0, rows), early_stop=False)
    assert len(model.images) == 37
    moved = torch.stack([(image - x).abs().flatten(1).amax(1) * 255 for image in model.images])
    wanted = torch.minimum(torch.arange(37)[:, None], levels)
    torch.testing.assert_close(moved, wanted.float(), atol=1e-3, rtol=0)


def test_the_preset_of_the_paper_is_said_and_refuses_another_number_of_steps(run, model):
    """S2-A7: --preset paper takes Kurakin's steps, 10 for 8 grey levels; the header and `show` name it."""
    assert run("attack", "--method", "bim", "--preset", "paper", "--eps", "8/255", "--limit", "20", "--no-early-stop").code == 0
    with ImageSet("adversarial.h5") as made:
        assert made.header["made"]["parameters"] == {
            "preset": "paper", "steps": None, "step_size": "1/255", "objective": "xent"
        }  # fmt: skip
        right = made.column("clean_prediction") == made.column("labels")
        assert set(made.column("gradients")[right]) == {10}
    assert "--preset paper" in run("show", "adversarial.h5").out
    refused = run("attack", "--method", "bim", "--preset", "paper", "--steps", "5", "--force")
    assert refused.code == 2
    assert "--preset paper: sets --steps itself" in refused.err


def test_illc_goes_to_the_least_likely_class_of_the_clean_image(run, model):
    """S2-A7: y_LL = argmin p(y|x) of the clean image is the target; the steps are those of bim towards it."""
    assert run("attack", "--method", "illc", "--preset", "paper", "--eps", "0.5", "--limit", "30", "-o", "illc.h5").code == 0
    words = ("--method", "bim", "--target", "least-likely", "--eps", "0.5", "--limit", "30", "-o", "bim.h5")
    assert run("attack", *words).code == 0
    with ImageSet("illc.h5") as made, ImageSet("bim.h5") as other:
        assert made.header["made"]["options"]["target"] == "least-likely"
        with torch.no_grad():
            logits = read(Path("model.safetensors")).module()(made.pick("originals", made.column("original")))
        right = made.column("clean_prediction") == made.column("labels")
        assert (made.column("target") == logits.argmin(1).numpy())[right].all()
        assert made.column("success").mean() >= 0.7
        assert torch.equal(made.rows("images", 0, 30), other.rows("images", 0, 30))


def test_a_pixel_without_a_gradient_may_draw_its_sign():
    """Kept as it is by default; with --sign-zero random it moves by eps, up or down, the same in every batch."""
    x, rows = torch.full((4, 1, 4, 4), 0.5), torch.arange(4)

    def half(x, draws=None):
        return torch.stack([x[:, 0, :2].sum((1, 2)), -x[:, 0, :2].sum((1, 2))], 1)

    def direction(sign_zero, chosen):
        goal = Goal(torch.zeros(len(chosen), dtype=torch.int64))
        victim = Victim(half, Tally(4), chosen, None)
        return fgsm(victim, x[chosen], goal, rng=SampleRNG(0, chosen), sign_zero=sign_zero)

    kept, drawn = direction("keep", rows), direction("random", rows)
    assert (kept[:, :, 2:] == 0).all()
    assert torch.equal(kept[:, :, :2], drawn[:, :, :2])
    assert set(drawn[:, :, 2:].flatten().tolist()) == {-1.0, 1.0}
    assert torch.equal(direction("random", rows[2:]), drawn[2:])

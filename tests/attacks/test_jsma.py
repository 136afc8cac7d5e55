"""JSMA and the raw gradient: the best pair against the whole table, and worked cases on linear models."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from advcli.attacks.jsma import best_pair, candidates, jsma, saliency
from advcli.numerics.rng import SampleRNG
from advcli.search.goal import Goal
from advcli.search.victim import Tally, Victim
from conftest import attacked, near_the_plane
from small_networks import Scaled, Small, pictures


class Linear(nn.Module):
    """Scores that are linear in the pixels."""

    def __init__(self, size: int, classes: int, seed: int = 0) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(classes, size, generator=torch.Generator().manual_seed(seed)))

    def forward(self, x: Tensor, draws: object = None) -> Tensor:
        return (x.flatten(1) - 0.5) @ self.w.T


def table(up: Tensor, down: Tensor, free: Tensor) -> float:
    """The best score of all pairs, by the whole table."""
    best = -np.inf
    for p in range(len(up)):
        for q in range(p + 1, len(up)):
            gain, loss = float(up[p] + up[q]), float(down[p] + down[q])
            if free[p] and free[q] and gain > 0 and loss > 0:
                best = max(best, gain * loss)
    return best


@pytest.mark.parametrize("levels", [None, 3, 7], ids=["all different", "many ties", "some ties"])
def test_the_best_pair_is_that_of_the_whole_table(levels):
    draw = torch.Generator().manual_seed(1)
    for case in range(40):
        up, down = torch.randn(2, 4, 25, generator=draw).double()
        up = up - (case % 5)  # sometimes nothing raises the target
        if levels:
            up, down = (up * levels / 4).round(), (down * levels / 4).round()
        free = torch.rand(4, 25, generator=draw) > 0.3
        found = best_pair(up, down, free)
        for row in range(4):
            wanted = table(up[row], down[row], free[row])
            if wanted == -np.inf:
                assert (found[row] == -1).all()
                continue
            p, q = found[row].tolist()
            assert p != q
            assert free[row, p]
            assert free[row, q]
            assert float((up[row, p] + up[row, q]) * (down[row, p] + down[row, q])) == wanted


def test_few_pixels_are_candidates():
    draw = torch.Generator().manual_seed(2)
    up, down = torch.randn(2, 10, 784, generator=draw)
    assert candidates(up, down, torch.ones(10, 784, dtype=torch.bool)).sum(1).max() < 40


def test_with_probabilities_the_impact_is_twice_the_slope():
    """S0-A3: the probabilities add up to one."""
    model, x = Small((1, 5, 5), 4), pictures((1, 5, 5))
    victim, goal = Victim(model, Tally(5), torch.arange(5), None), Goal(torch.zeros(5, dtype=torch.int64), targeted=True)
    target, others, _ = saliency(victim, x, goal, "prob")
    slopes = torch.autograd.functional.jacobian(lambda y: model(y).softmax(1).sum(0), x).flatten(2)
    sure = model(x).softmax(1)[:, :1]
    torch.testing.assert_close(sure * target, slopes[0], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(sure * others, slopes[1:].sum(0), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(sure * (target - others), 2 * slopes[0], atol=1e-6, rtol=1e-5)


def test_single_pixels_are_those_of_largest_impact():
    """S0-A3 on three classes: the pixels of largest 2 W[t] - sum(W), and no more than the fraction."""
    model, x = Linear(12, 3), near_the_plane(8)
    label = model(x).argmax(1)
    made = attacked("jsma", model, x, label, target="next", early_stop=False,
                    options={"variant": "sum", "top_fraction": 0.3, "theta": 0.2, "jacobian": "logit"})  # fmt: skip
    for row in np.flatnonzero(made["success"]):
        moved = np.flatnonzero((made["images"][row] != x[row].numpy()).ravel())
        weight = model.w.detach()
        impact = 2 * weight[(label[row] + 1) % 3] - weight.sum(0)
        wanted = set(impact.argsort(descending=True)[:4].tolist())
        assert set(moved.tolist()) <= wanted
        assert len(moved) <= 4
    assert made["success"].any()


@pytest.mark.parametrize("theta", [1.0, 0.3, -1.0, -0.3])
def test_it_moves_pixels_only_the_way_that_theta_says(theta):
    model, x = Small((3, 6, 6), 4), pictures((3, 6, 6), 30)
    label = model(x).argmax(1)
    made = attacked("jsma", model, x, label, target="random", options={"theta": theta, "gamma": 0.5})
    change = torch.from_numpy(made["images"]) - x
    assert made["success"].mean() > 0.5
    assert (change * theta >= 0).all()
    assert ((change != 0).flatten(1).sum(1) <= 54).all()


def test_a_target_whose_probability_is_lost_in_float32_has_slopes():
    model, x = Linear(16, 3), pictures((1, 4, 4), 10)
    scaled = Scaled(model, 300.0)
    label = model(x).argmax(1)
    assert (scaled(x).softmax(1).gather(1, (label + 1)[:, None] % 3) == 0).any()
    made = attacked("jsma", scaled, x, label, target="next", options={"gamma": 1.0})
    assert made["success"].mean() >= 0.8


def test_a_pixel_that_is_nearly_white_is_left_to_itself():
    model, x = Linear(6, 2), torch.full((1, 1, 2, 3), 0.4)
    label = model(x).argmax(1)
    slope = (model.w[1 - label[0]] - model.w[label[0]]).detach()
    first, second, third = slope.argsort(descending=True)[:3].tolist()
    x.view(-1)[first] = 0.999
    victim, goal = Victim(model, Tally(1), torch.arange(1), None), Goal(1 - label, targeted=True, source=label)
    found = jsma(victim, x.clone(), goal, rng=SampleRNG(0, torch.arange(1)), early_stop=False, gamma=0.34)
    assert set(np.flatnonzero((found != x).numpy()).tolist()) == {second, third}


def test_where_no_pair_does_both_the_largest_impact_is_taken():
    """The target's score does not move at all; that of the other class falls."""
    model, x = Linear(6, 2), torch.full((1, 1, 2, 3), 0.4)
    model.w.data = torch.tensor([[-1.0, -9.0, -2.0, -8.0, -1.0, -1.0], [0.0] * 6])
    label = model(x).argmax(1)
    assert label == 0
    assert (best_pair(torch.zeros(1, 6), -model.w.data[:1], torch.ones(1, 6, dtype=torch.bool)) == -1).all()
    made = attacked("jsma", model, x, label, target="1", options={"gamma": 0.34, "jacobian": "logit"})
    assert made["success"].all()
    assert np.flatnonzero(made["images"][0] != x[0].numpy()).tolist() == [1, 3]


def test_nothing_is_left_where_every_pixel_is_at_its_end():
    model, x = Small((1, 4, 4), 3), torch.ones(2, 1, 4, 4)
    label = model(x).argmax(1)
    made = attacked("jsma", model, x, label, target="next", options={"theta": 1.0, "gamma": 1.0})
    assert not made["success"].any()
    assert (made["images"] == 1).all()


def test_at_most_two_backward_passes_a_step():
    model, x = Small((1, 6, 6), 5), pictures((1, 6, 6), 10)
    for jacobian, passes in (("logit", 2), ("prob", 1)):
        settings = {"gamma": 0.2, "jacobian": jacobian}
        made = attacked("jsma", model, x, model(x).argmax(1), target="next", early_stop=False, options=settings)
        assert (made["gradients"] == passes * 3).all(), "three pairs of 36 features"
        assert (made["queries"] == 1).all()


@pytest.mark.parametrize(("gamma", "pairs"), [(0.145, 56), (0.1, 39)])
def test_pairs_use_an_even_number_of_pixels_up_to_their_share(gamma, pairs):
    """S3-A2, S4-A2: of 784 pixels gamma 0.145 allows 56 pairs and 0.1 allows 39, each pixel raised to white."""
    model, x = Small((1, 28, 28), 3), 0.5 * pictures((1, 28, 28), 4)
    label = model(x).argmax(1)
    made = attacked("jsma", model, x, label, target="next", options={"gamma": gamma, "theta": 1.0})
    won = made["success"].astype(bool)
    assert won.any()
    moved = made["images"] != x.numpy()
    count = moved.reshape(len(x), -1).sum(1)
    assert (count % 2 == 0).all()
    assert (count <= 2 * pairs).all()
    assert (made["images"][moved] == 1).all()
    assert (made["gradients"] <= pairs).all()


def test_the_raw_gradient_is_followed_as_it_is():
    """S0-A2: the first perturbation is proportional to the gradient, and takes many values."""
    model, x = Small((1, 16, 16), 4), 0.5 + 0.1 * (pictures((1, 16, 16), 10) - 0.5)
    label = model(x).argmax(1)
    target = (label + 1) % 4
    made = attacked("grad", model, x, label, target="next", early_stop=False, options={"steps": 1, "rate": 50.0})
    won = np.flatnonzero(made["success"])
    assert len(won) >= 1
    point = x.clone().requires_grad_()
    slope = torch.autograd.grad(model(point).gather(1, target[:, None]).sum(), point)[0]
    for row in won:
        change = torch.from_numpy(made["images"][row]) - x[row]
        inside = (torch.from_numpy(made["images"][row]) > 0) & (torch.from_numpy(made["images"][row]) < 1)
        cosine = torch.cosine_similarity(change[inside], slope[row][inside], dim=0)
        assert cosine > 1 - 1e-5
        assert len(change.abs().unique()) > 100


def test_all_steps_make_surer_examples_than_the_first_success():
    model, x = Small((1, 8, 8), 4), pictures((1, 8, 8), 40)
    label = model(x).argmax(1)
    first, full = (
        attacked("grad", model, x, label, target="next", early_stop=flag, options={"steps": 60, "rate": 0.5})
        for flag in (True, False)
    )
    assert (full["success"] >= first["success"]).all()
    won = first["success"].astype(bool)
    assert won.mean() > 0.5
    assert (full["gradients"][won] > first["gradients"][won]).all()
    target = torch.from_numpy(first["target"])
    pairs = [model(torch.from_numpy(one["images"])).softmax(1).gather(1, target[:, None])[won, 0] for one in (first, full)]
    assert (pairs[1] > pairs[0]).all()

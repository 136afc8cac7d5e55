"""SimBA, local search, one pixel, SPSA and NES: their formulas, their queries, and what they need of a model."""

import h5py
import numpy as np
import pytest
import torch
from scipy.fft import dctn
from torch import nn

from advcli.attacks import local_search, one_pixel, simba
from advcli.errors import CommandError
from advcli.numerics.balls import Ball
from advcli.numerics.rng import SampleRNG
from advcli.search.differences import Differences, around, gaussian, rademacher
from advcli.search.goal import Goal
from advcli.search.scores import Deepest
from advcli.search.victim import Tally, Victim
from conftest import Halfspace, attacked, near_the_plane
from small_networks import Small, pictures

METHODS = {
    "simba": {"steps": 60},
    "local-search": {"rounds": 3},
    "one-pixel": {"population": 30, "steps": 2},
    "spsa": {"steps": 3, "samples": 5},
    "nes": {"steps": 3, "samples": 5},
}
SPENT = {"simba": 60, "one-pixel": 30 * 3, "spsa": 3 * 11, "nes": 3 * 11}


class Sure(nn.Module):
    """A model that nothing fools, which raises where it is asked for a gradient, and keeps what it is shown."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x, draws=None):
        if torch.is_grad_enabled() and x.requires_grad:
            raise RuntimeError("this model has no gradient")
        self.seen.append(x.clone())
        return torch.stack([9 + 0.1 * x.flatten(1).mean(1), -x.flatten(1).std(1)], 1)


def labels(x):
    return torch.zeros(len(x), dtype=torch.int64)


@pytest.mark.parametrize("method", METHODS)
def test_asks_exactly_as_often_as_it_says_and_never_for_a_gradient(method):
    """S4-A4, S4-A6: works on a model whose gradient raises; every query is an image in [0, 1], and is counted."""
    model, x = Sure(), 0.2 + 0.6 * pictures((1, 6, 6), 4)
    made = attacked(method, model, x, labels(x), options=METHODS[method])
    assert made["gradients"].sum() == 0
    assert not made["success"].any()
    if method in SPENT:
        assert (made["queries"] == SPENT[method]).all()
    queries = torch.cat(model.seen)
    assert len(queries) >= made["queries"].sum()
    assert queries.min() >= 0
    assert queries.max() <= 1


@pytest.mark.parametrize("most", [1, 2, 3, 25])
@pytest.mark.parametrize("method", METHODS)
def test_keeps_to_the_queries_that_are_left(method, most):
    model, x = Sure(), pictures((1, 6, 6), 4)
    made = attacked(method, model, x, labels(x), options=METHODS[method], max_queries=most)
    assert (made["queries"] <= most).all()
    assert (made["queries"] >= most - 2).all()


@pytest.mark.parametrize("method", METHODS)
def test_an_image_does_not_depend_on_its_neighbours(method):
    x = near_the_plane(8)
    label = Halfspace()(x).argmax(1)
    together, apart = (
        attacked(method, Halfspace(), x, label, "0.2", options=METHODS[method], max_queries=80, batch=size) for size in (8, 1)
    )
    assert (together["success"] == apart["success"]).all()
    assert (together["queries"] == apart["queries"]).all()
    assert np.allclose(together["images"], apart["images"], atol=1e-5)


def test_one_pixel_finds_the_pixel_that_decides():
    """A model that looks at a single pixel; two values of another channel change nothing."""

    class Spot(nn.Module):
        def forward(self, x, draws=None):
            return torch.stack([torch.full_like(x[:, 0, 2, 3], 0.8), x[:, 0, 2, 3]], 1)

    x = torch.full((6, 2, 5, 7), 0.25)
    made = attacked("one-pixel", Spot(), x, labels(x), options={"population": 60, "steps": 30})
    assert made["success"].all()
    moved = torch.from_numpy(made["images"]) != x
    assert moved[:, 0, 2, 3].all()
    assert moved.any(1).flatten(1).sum(1).tolist() == [1] * 6


def test_one_pixel_evolves_by_the_formula_of_the_paper():
    members = torch.tensor([[[[0.1, 0.2, 0.9]], [[0.5, 0.6, 0.7]], [[0.3, 0.0, 0.1]]]])
    chosen = torch.tensor([[[0, 1, 2], [2, 0, 1], [1, 2, 0]]])
    made = one_pixel.children(members, chosen, 0.5, torch.full_like(members, 0.77))
    wanted = [[0.2, 0.5, 0.77], [0.1, 0.77, 0.2], [0.6, 0.5, 0.3]]  # 0.9 + 0.3 and 0.0 - 0.2 leave the range
    torch.testing.assert_close(made[0, :, 0], torch.tensor(wanted))


def test_the_three_members_differ_and_are_uniform():
    drawn = one_pixel.triples(SampleRNG(0, torch.arange(400)), 5).flatten(0, 1)
    assert all(len(set(row)) == 3 for row in drawn.tolist())
    share = torch.bincount(drawn @ torch.tensor([25, 5, 1]), minlength=125) / len(drawn)
    assert int((share > 0).sum()) == 60
    assert share[share > 0].min() > 0.5 / 60
    assert share.max() < 2 / 60


def test_a_pixel_wraps_as_cyclic_says_and_a_black_one_needs_centred_images():
    """S4-A4: sign works in [-1/2, 1/2]; on [0, 1] nothing happens to black."""
    x = torch.tensor([0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0])
    centred, plain = local_search.Pixels(1.0, 1.5, 0.5), local_search.Pixels(1.0, 1.5, 0.0)
    assert centred.cyclic(x).tolist() == pytest.approx([0.75, 0.9, 0.125, 0.5, 0.875, 0.1, 0.25])
    assert plain.cyclic(x).tolist() == pytest.approx([0.0, 0.15, 0.375, 0.75, 0.125, 0.35, 0.5])
    assert plain.probe(x).tolist() == [0, 1, 1, 1, 1, 1, 1]
    assert local_search.Pixels(0.25, 1.5, 0.5).probe(x).tolist() == [0.25, 0.25, 0.25, 0.5, 0.75, 0.75, 0.75]
    assert centred.probe(x).tolist() == [0.5] * 7, "beyond the range, and back in on the other side"
    black = torch.zeros(3, 1, 6, 6)
    assert attacked("local-search", Sure(), black, labels(black), options={"center": False})["queries"].max() <= 151
    assert attacked("local-search", Sure(), black, labels(black), options={"rounds": 3})["queries"].min() > 20


@pytest.mark.parametrize(("d", "t"), [(1, 1), (1, 3), (2, 2), (5, 5)])
def test_candidates_lie_around_the_chosen_pixels_and_inside(d, t):
    """S4-A4: at most t (2 d + 1)^2 candidates, each at most d rows and columns from one of the t."""
    for place in range(0, 63, 5):
        chosen = torch.zeros(1, 7, 9, dtype=torch.bool)
        chosen.view(-1)[place : place + t] = True
        found = local_search.neighbourhood(chosen, d)[0]
        wanted = {
            (row, column)
            for a, b in chosen[0].nonzero().tolist()
            for row in range(max(0, a - d), min(6, a + d) + 1)
            for column in range(max(0, b - d), min(8, b + d) + 1)
        }
        assert {tuple(one) for one in found.nonzero().tolist()} == wanted
        assert len(wanted) <= t * (2 * d + 1) ** 2


def test_a_round_changes_the_pixels_of_the_largest_drop_and_no_other():
    """S4-A4: pixels outside the chosen set are unchanged; on a linear model the chosen ones are those of the largest weights."""
    x, weight = torch.full((1, 2, 3, 4), 0.3), torch.arange(12.0).view(3, 4)

    class Weighted(nn.Module):
        def forward(self, x, draws=None):
            return torch.stack([100 + 0 * x.sum((1, 2, 3)), (x * weight).sum((1, 2, 3))], 1)

    model = Weighted()
    victim = Victim(model, Tally(1), torch.arange(1), None)
    how, goal, there = local_search.Pixels(1.0, 1.5, 0.5), Goal(labels(x)), torch.ones(1, 12, dtype=torch.bool)
    value = torch.tensor([float(weight.sum() * 0.6 - 100)])
    scored, first = local_search.probed(victim, goal, x, there, value, how, ends=True)
    assert first.tolist() == [-1]
    assert victim.tally.queries.tolist() == [12]
    torch.testing.assert_close(scored[0] - value, 2 * 0.2 * weight.flatten(), atol=1e-4, rtol=0)
    chosen = local_search.lowest(scored, there, SampleRNG(0, torch.arange(1)), 3)
    assert chosen[0].nonzero()[:, 0].tolist() == [9, 10, 11]
    made = local_search.changed(x, chosen, how.cyclic(x))
    assert ((made != x).all(1).flatten() == chosen[0]).all()


def test_local_search_ends_when_the_class_is_none_of_the_k_largest():
    model, x = Small((1, 8, 8), 6), pictures((1, 8, 8), 12)
    label = model(x).argmax(1)
    made = attacked("local-search", model, x, label, options={"k": 3, "rounds": 40})
    logits = model(torch.from_numpy(made["images"]))
    above = (logits > logits.gather(1, label[:, None])).sum(1)[made["success"].astype(bool)]
    assert len(above) >= 6
    assert (above >= 3).float().mean() > 0.5
    with pytest.raises(CommandError, match="--k 3"):
        attacked("local-search", model, x, label, target="next", options={"k": 3})


@pytest.mark.parametrize("shape", [(1, 5, 5), (3, 4, 6)], ids=str)
def test_the_waves_are_those_of_scipy_and_orthonormal(shape):
    ways = simba.Basis.of("dct", shape, None, torch.device("cpu"))
    waves = ways[torch.arange(len(ways))]
    flat = waves.flatten(1)
    torch.testing.assert_close(flat @ flat.T, torch.eye(len(flat)), atol=1e-6, rtol=0)
    hot = dctn(waves.numpy(), axes=(2, 3), norm="ortho").reshape(len(flat), -1)
    assert np.allclose(hot, np.eye(len(flat)), atol=1e-6)
    low = simba.Basis.of("dct", shape, 2, torch.device("cpu"))
    assert len(low) == shape[0] * 4
    order = low.ordered(SampleRNG(0, torch.arange(3)), "low")
    assert (order.sort(1).values == torch.arange(len(low))).all()
    assert (order[:, : shape[0]] % 4 == 0).all(), "the constant of every channel comes first"


def test_simba_keeps_what_lowers_the_probability_and_stays_in_the_ball():
    x = near_the_plane(5)
    label = Halfspace()(x).argmax(1)
    made = attacked("simba", Halfspace(), x, label, "0.5", early_stop=False, options={"steps": 400, "step_size": "eps/10"})
    moved = (torch.from_numpy(made["images"]) - x).flatten(1)
    way = Halfspace().w.detach() * (1 - 2 * label[:, None])
    cosine = nn.functional.cosine_similarity(moved, way, dim=1)
    assert (cosine > 0.98).all(), "on a plane the best point of an l2 ball lies along the weights"
    assert (moved.norm(dim=1) - 0.5).abs().max() < 0.01
    with pytest.raises(CommandError, match="--basis dct"):
        attacked("simba", Halfspace(), x, label, options={"freq_dims": 2})


@pytest.mark.parametrize("draw", [rademacher, gaussian])
def test_differences_of_pairs_estimate_the_gradient_of_a_linear_model(draw):
    """S4-A6: two-sided differences in drawn directions, of mean the gradient."""
    x, goal = near_the_plane(2), Goal(torch.zeros(2, dtype=torch.int64))
    victim = Victim(Halfspace(), Tally(2), torch.arange(2), None)
    ball = Ball(x, torch.full((2,), 0.4), "linf")
    estimate = Differences(draw, 0.01, 3000, "margin")
    slope, done = estimate.slope(
        victim, goal, ball, x, SampleRNG(0, torch.arange(2)), Deepest(x, early_stop=False), torch.arange(2)
    )
    wanted = 2 * Halfspace().w.detach()
    assert (slope.flatten(1) - wanted).abs().max() < 0.25
    assert (nn.functional.cosine_similarity(slope.flatten(1), wanted[None], dim=1) > 0.995).all()
    assert victim.tally.queries.tolist() == [6000, 6000]
    assert not done.any()


def test_the_signs_of_spsa_are_fair_and_every_point_lies_in_the_ball():
    signs = rademacher(SampleRNG(3, torch.arange(50)), (4, 1, 7, 9))
    assert set(signs.unique().tolist()) == {-1.0, 1.0}
    assert abs(float(signs.mean())) < 0.03
    assert len(signs.flatten(0, 1).flatten(1).unique(dim=0)) == 200
    x = pictures((1, 7, 9), 50).round()
    ball = Ball(x, torch.full((50,), 0.05), "linf")
    ends = around(ball, x, 0.2 * signs)
    assert ends.shape == (50, 8, 1, 7, 9)
    assert (ends - x[:, None]).abs().max() <= 0.05 + 1e-7
    assert ends.min() >= 0
    assert ends.max() <= 1
    torch.testing.assert_close(ends[:, 0], (x + 0.05 * signs[:, 0]).clamp(0, 1))
    torch.testing.assert_close(ends[:, 1], (x - 0.05 * signs[:, 0]).clamp(0, 1))


def test_spsa_comes_near_to_pgd_and_both_follow_a_spatial_transform(model, run, folder):
    """S4-A6: SPSA leaves at most 15 points more than PGD; it and boundary attack the images of a random spatial transform."""

    def attack(name, *options, data="digits"):
        ran = run("attack", "--data", data, "--limit", 20, "-o", f"{name}.h5", "--quiet", *options)
        assert ran.code == 0, ran.err
        with h5py.File(f"{name}.h5") as file:
            return {one: file[one][:] for one in ("success", "queries", "gradients", "labels", "clean_prediction", "originals")}

    def left(rows):
        return ((rows["clean_prediction"] == rows["labels"]) & (rows["success"] == 0)).mean()

    budget = ("--eps", "0.1", "--steps")
    pgd, spsa = attack("pgd", "--method", "pgd", *budget, 40), attack("spsa", "--method", "spsa", *budget, 30, "--samples", 16)
    assert left(spsa) <= left(pgd) + 0.15
    moved = attack("moved", "--method", "spatial", "--mode", "random", "--samples", 1, "--no-early-stop")
    after = attack("after", "--method", "spsa", *budget, 5, "--samples", 8, data="moved.h5")
    nearest = attack("nearest", "--method", "boundary", "--steps", 20, data="moved.h5")
    with h5py.File("moved.h5") as file:
        assert np.array_equal(after["originals"], file["images"][:])
        assert np.array_equal(nearest["originals"], file["images"][:])
    assert left(after) <= left(moved) < 1
    tried = after["clean_prediction"] == after["labels"]
    for rows in (spsa, moved, after, nearest):
        assert not rows["gradients"].any()
    assert (after["queries"][tried] > 0).all()
    assert (nearest["queries"][tried] > 0).all()

"""Square: its windows, its schedule, its moves, and what it asks."""

import numpy as np
import pytest
import torch

from advcli.attacks import square
from advcli.numerics.balls import Ball, distance
from advcli.numerics.rng import SampleRNG
from conftest import Halfspace, attacked, near_the_plane
from small_networks import Bright, Small, pictures

SHAPES = [(1, 28, 28), (3, 32, 32), (3, 12, 20), (1, 1, 7), (2, 9, 2)]


KINDS = {"linf": square.Squares, "l2": square.Bumps}


def sizes_of(shape, norm):
    return square.Sizes.of(shape, 0.8, 1 if norm == "linf" else 3)


def some(shape, norm, count=64, stage=2):
    """A ball around each picture, a start, and squares of one stage."""
    ball = Ball(pictures(shape, count), torch.full((count,), 0.3 if norm == "linf" else 2.0), norm)
    rng = SampleRNG(0, torch.arange(count))
    moves = KINDS[norm].drawn(rng, sizes_of(shape, norm), torch.full((count, square.AHEAD), stage))
    return ball, KINDS[norm].start(rng.fork("start"), ball), moves


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_windows_lie_inside_have_one_size_and_reach_every_pixel(shape, norm):
    _, _, squares = some(shape, norm)
    windows = torch.cat([squares.windows.at(k) for k in range(square.AHEAD)])
    assert set(windows.unique().tolist()) <= {0.0, 1.0}
    height, width = sizes_of(shape, norm).sides[2]
    assert (windows.sum((1, 2, 3)) == height * width).all(), "none is cut off at the edge"
    assert (windows.sum(0) > 0).all(), "the last row and the last column have their share"


@pytest.mark.parametrize(("h", "w", "p", "smallest", "wanted"), [
    (28, 28, 0.8, 1, (25, 25)),
    (28, 28, 0.1, 1, (9, 9)),
    (28, 28, 0.8, 3, (25, 25)),
    (28, 28, 0.2, 3, (13, 13)),
    (28, 28, 0.0001, 3, (3, 3)),
    (12, 20, 0.8, 1, (12, 16)),
    (20, 12, 0.8, 1, (16, 12)),
    (1, 7, 0.8, 1, (1, 6)),
    (4, 4, 0.001, 1, (1, 1)),
    (28, 28, 0.13, 1, (10, 10)),
    (28, 28, 0.13, 3, (11, 11)),
])  # fmt: skip
def test_squares_have_their_share_of_the_picture(h, w, p, smallest, wanted):
    assert square.sides(h, w, p * h * w, smallest) == wanted


def test_a_bump_is_the_papers():
    """3 x 3 by hand: a row 1/4 5/4 1/4, and below minus the hill of two rows; each half at length one."""
    upper = torch.tensor([[0.25, 1.25, 0.25]])
    lower = torch.tensor([[0.25, 0.25, 0.25], [0.25, 1.25, 0.25]])
    wanted = torch.cat([upper / upper.norm(), -lower / lower.norm()]) / 2**0.5
    torch.testing.assert_close(square.bump(3, 3), wanted)
    assert square.bump(1, 1).tolist() == [[-1.0]]


@pytest.mark.parametrize("stage", [0, 4, 9])
def test_each_stage_puts_bumps_of_its_own_size_into_its_windows(stage):
    _, here, squares = some((1, 28, 28), "l2", stage=stage)
    height, width = sizes_of((1, 28, 28), "l2").sides[stage]
    for turn in range(square.AHEAD):
        fresh, inside = squares.fresh(turn, here), squares.windows.at(turn)
        flat = fresh[inside.bool()].view(-1, height, width)
        lying, standing = (
            torch.isclose(flat, one).all((1, 2)) for one in (square.bump(height, width), square.bump(width, height).T)
        )
        assert (lying | standing).all()
        assert not fresh[~inside.bool()].any()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_square_of_linf_changes_its_window_to_a_corner_of_the_ball(shape):
    ball, here, squares = some(shape, "linf", stage=9)
    for turn in range(square.AHEAD):
        new, inside = squares.move(ball, here, turn), squares.windows.at(turn).bool().expand_as(here)
        assert (new != here).flatten(1).any(1).all(), "no query is spent on what was asked before"
        assert torch.equal(new[~inside], here[~inside])
        corner = [(ball.center + sign * 0.3).clamp(0, 1)[inside] for sign in (1, -1)]
        assert ((new[inside] == corner[0]) | (new[inside] == corner[1])).all()
        here = new


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_bump_of_l2_moves_the_point_and_stays_in_the_ball(shape):
    ball, here, squares = some(shape, "l2")
    grey = Ball(torch.full_like(ball.center, 0.5), torch.full((64,), 0.1), "l2")
    inside = 0.5 + (here - 0.5) * 0.01
    for turn in range(square.AHEAD):
        here = squares.move(ball, here, turn)
        assert ball.holds(here).all()
        assert here.min() >= 0
        assert here.max() <= 1
        inside = squares.move(grey, inside, turn)
        far = distance(inside, grey.center, "l2")
        spent = (far - 0.1).abs() < 1e-6
        if min(shape[1:]) < 5:
            spent |= far == 0  # a bump can be the exact opposite of all that there is
        assert spent.all(), "where nothing is cut off, the whole budget is spent"


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_draws_are_a_matter_of_the_image_alone(norm):
    count, shape = 40, (3, 8, 8)
    ids, sizes = torch.arange(count), sizes_of(shape, norm)
    stage, some_of_them = torch.arange(count)[:, None].expand(-1, square.AHEAD) % 10, torch.arange(count) % 3 == 1
    whole = KINDS[norm].drawn(SampleRNG(5, ids), sizes, stage)
    alone = KINDS[norm].drawn(SampleRNG(5, ids[some_of_them]), sizes, stage[some_of_them])
    for turn in range(square.AHEAD):
        assert torch.equal(whole[some_of_them].windows.at(turn), alone.windows.at(turn))
    assert torch.equal(whole[some_of_them].signs, alone.signs)
    assert len(whole.windows.at(0)[::10].flatten(1).unique(dim=0)) > 1, "neighbours have squares of their own"


class Recorder(Small):
    """Keeps what it is shown."""

    def __init__(self, *given):
        super().__init__(*given)
        self.seen = []

    def forward(self, x, draws=None):
        self.seen.append(x.clone())
        return super().forward(x)


def changed(model, x, **given):
    """How many pixels each query of the attack on one image has changed since the best point before."""
    model.seen.clear()
    made = attacked("square", model, x, model.net(x).argmax(1), "0.0001", **given)
    queries = model.seen[-1 - made["queries"][0] : -1]
    return made, [int((a != b).sum()) for a, b in zip(queries, queries[1:], strict=False)]


def authors_halvings(query: int, queries: int) -> int:
    """The schedule as the paper's table has it: p is halved after these of 10,000 queries."""
    at = int(query / queries * 10_000)
    return next((k for k, last in enumerate((10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)) if at <= last), 9)


@pytest.mark.parametrize("asked", [1, 33, 129])
def test_squares_are_halved_as_often_as_in_the_paper(asked):
    queries = [160, 333, 1000, 5700, 10_000]
    found = square.stages(asked, torch.tensor(queries), rescale=True)
    wanted = [[authors_halvings(k, count) for k in range(asked - 1, asked - 1 + square.AHEAD)] for count in queries]
    assert found.tolist() == wanted
    assert square.stages(asked, torch.tensor(queries[:1]), rescale=False).tolist() == wanted[-1:]


def test_the_schedule_fits_the_queries_there_are():
    """Squares reach a single pixel before 300 queries are over, or do not where the schedule is that of 10,000."""
    model, x = Recorder((1, 12, 12), 3).eval(), pictures((1, 12, 12), 1)
    made, last = changed(model, x, max_queries=300)
    assert made["queries"].tolist() == [300]
    assert max(last[-30:]) <= 2
    fixed, rest = changed(model, x, max_queries=300, options={"rescale": False})
    assert fixed["queries"].tolist() == [300]
    assert max(rest[-30:]) >= 9
    fewer, _ = changed(model, x, options={"steps": 40})
    assert fewer["queries"].tolist() == [40]


def test_an_image_asks_no_more_once_it_is_fooled():
    x = near_the_plane(20)
    label = Halfspace()(x).argmax(1)
    made = attacked("square", Halfspace(), x, label, "0.2")
    assert made["success"].all()
    assert made["queries"].min() == 1
    assert made["queries"].max() < 100
    full = attacked("square", Halfspace(), x, label, "0.2", early_stop=False, options={"steps": 200})
    assert (full["queries"] == 200).all()
    far = [(Halfspace()(torch.from_numpy(one["images"])).diff(dim=1)[:, 0] * (1 - 2 * label)).mean() for one in (made, full)]
    assert far[1] > far[0]


def test_where_an_image_may_ask_less_than_another_each_has_its_own_schedule():
    """A second budget finds the queries of an image spent by the first, not those of its neighbours."""
    model, x = Small((1, 6, 6), 4), pictures((1, 6, 6), 30)
    label = model(x).argmax(1)
    together = attacked("square", model, x, label, "0.05,0.2", max_queries=60)
    apart = attacked("square", model, x, label, "0.05,0.2", max_queries=60, batch=1)
    assert (together["success"] == apart["success"]).mean() > 0.98
    assert np.abs(together["queries"] - apart["queries"]).mean() < 1


def test_a_detector_is_to_be_passed_too():
    x = near_the_plane()
    label = Halfspace()(x).argmax(1)
    model = Bright(Halfspace(), 0.53, 0.01).eval().requires_grad_(False)
    made = attacked("square", model, x, label, "0.1", rejects=True, max_queries=2000)
    assert made["success"].all()
    assert torch.from_numpy(made["images"]).flatten(1).mean(1).max() < 0.53

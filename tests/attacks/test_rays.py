"""RayS: the nearest point on a plane, the order of its flips, and its queries."""

import itertools

import pytest
import torch

from advcli.attacks import rays
from advcli.numerics.rng import SampleRNG
from conftest import attacked, near_the_plane
from small_networks import Small, pictures


def far(made) -> torch.Tensor:
    return (torch.from_numpy(made["images"]) - torch.from_numpy(made["originals"])).abs().flatten(1).amax(1)


def test_on_a_plane_it_finds_the_nearest_point(halfspace):
    """Each pixel's sign lowers the radius by itself, so that no flip hides another."""
    x = near_the_plane(8)
    made = attacked("rays", halfspace, x, halfspace(x).argmax(1), options={"queries": 1000})
    exact = halfspace.distance(x, "linf")
    assert made["success"].all()
    assert (far(made) >= exact - 1e-6).all()
    assert (far(made) <= exact + 3 * rays.FINE).all()


def test_more_queries_never_lead_further_away():
    x, model = pictures((1, 6, 6), 12), Small((1, 6, 6), 4).eval()
    found = [far(attacked("rays", model, x, model(x).argmax(1), options={"queries": count})) for count in (30, 100, 400, 1600)]
    reached = found[0] > 0
    assert reached.any()
    for before, after in itertools.pairwise(found):
        assert (after[reached] <= before[reached] + 1e-6).all()
    assert found[-1][reached].mean() < 0.9 * found[0][reached].mean()


@pytest.mark.parametrize("count", [2, 17, 200])
def test_it_asks_no_more_often_than_it_may(count, halfspace):
    x = near_the_plane(6)
    made = attacked("rays", halfspace, x, halfspace(x).argmax(1), options={"queries": count})
    assert made["queries"].max() <= count + 2  # besides, the clean image and the result are looked at
    assert made["queries"].min() >= 2


@pytest.mark.parametrize("size", [1, 2, 7, 48])
def test_a_cycle_flips_the_whole_then_halves_down_to_single_pixels(size):
    cycle = list(itertools.takewhile(lambda one: one[0] == 0, rays.blocks(size)))
    assert cycle[0] == (0, 0, size)
    assert all((0, place, place + 1) in cycle for place in range(size))
    starts = [number for number, (_, start, _) in enumerate(cycle) if start == 0]
    levels = [cycle[a:b] for a, b in itertools.pairwise([*starts, len(cycle)])]
    for number, level in enumerate(levels):
        assert [stop for _, _, stop in level[:-1]] == [start for _, start, _ in level[1:]], "none is left out, none twice"
        assert level[-1][2] == size
        assert len(level) == min(size, 2**number)
        assert max(stop - start for _, start, stop in level) <= min(stop - start for _, start, stop in level) + 1
    assert next(itertools.dropwhile(lambda one: one[0] == 0, rays.blocks(size))) == (1, 0, size)


@pytest.mark.parametrize("cycle", [0, 1, 2, 3])
def test_every_pixel_has_one_place_in_each_order(cycle):
    x = pictures((3, 4, 5), 6)
    place = rays.places(x, SampleRNG(0, torch.arange(6)), cycle)
    assert (place.flatten(1).sort(1).values == torch.arange(60)).all()
    if cycle == 1:
        assert place[0, 0, :, 0].tolist() == [0, 1, 2, 3]
    if cycle > 1:
        assert len({tuple(one.flatten().tolist()) for one in place}) == 6

"""Randomness is a function of (seed, purpose, sample): known answers, and the same bits in any batch."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from advcli.numerics import rng
from advcli.numerics.rng import SampleRNG, Table, logarithm, philox, quantile


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ((0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0), "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_philox_gives_the_known_answers_of_random123(counter, key, answer):
    words = philox([torch.tensor([word]) for word in counter], key)
    assert " ".join(f"{int(word):08x}" for word in words) == answer


@pytest.mark.parametrize("kind", ["uniform", "normal", "coarse", "exponential"])
@pytest.mark.parametrize("size", [1, 7, 64])
def test_draws_are_equal_to_the_bit_in_batches_of_any_size(kind, size):
    ids = torch.arange(150)
    whole = getattr(SampleRNG(5, ids, ("start",)), kind)(3, 5, 7)
    parts = [getattr(SampleRNG(5, ids[i : i + size], ("start",)), kind)(3, 5, 7) for i in range(0, 150, size)]
    assert torch.equal(whole, torch.cat(parts))
    order = torch.randperm(150, generator=torch.Generator().manual_seed(0))
    assert torch.equal(whole[order], getattr(SampleRNG(5, ids[order], ("start",)), kind)(3, 5, 7))


def test_other_seeds_purposes_turns_and_samples_give_other_draws():
    ids = torch.tensor([3, 4])
    base = SampleRNG(0, ids, ("a",))
    others = [SampleRNG(1, ids, ("a",)), SampleRNG(0, ids, ("b",)), base.fork("x"), base.at(torch.tensor([1, 1]))]
    for other in [*others, SampleRNG(0, ids + 2**32, ("a",)), base.copies(2)[torch.tensor([1, 3])]]:
        assert not torch.equal(base.uniform(8), other.uniform(8))
    assert not torch.equal(base.uniform(8)[0], base.uniform(8)[1])


def test_the_distributions_are_what_they_are_called():
    rng = SampleRNG(0, torch.arange(400))
    laws = {"uniform": "uniform", "normal": "norm", "coarse": "norm", "exponential": "expon"}
    for kind, law in laws.items():
        drawn = getattr(rng, kind)(250)
        assert stats.kstest(drawn.flatten().numpy(), law).pvalue > 1e-3
    counts = np.bincount(SampleRNG(0, torch.arange(9000)).below(torch.full((9000,), 9)).numpy(), minlength=9)
    assert stats.chisquare(counts).pvalue > 1e-3


def test_logarithm_and_quantile_agree_with_the_libraries():
    p = torch.cat(
        [torch.linspace(1e-9, 1 - 1e-9, 10001, dtype=torch.float64), torch.logspace(-300, -1, 600, dtype=torch.float64)]
    )
    torch.testing.assert_close(logarithm(p), p.log(), atol=1e-14, rtol=1e-14)
    np.testing.assert_allclose(quantile(p).numpy(), stats.norm.ppf(p.numpy()), atol=1e-13, rtol=1e-13)


def test_quantiles_do_not_depend_on_how_many_are_taken_at_once():
    p = SampleRNG(0, torch.arange(3)).uniform(30_000).double() * (1 - 2e-9) + 1e-9
    whole = quantile(p)
    assert whole.shape == p.shape
    assert torch.equal(whole[1, 2000:2009], quantile(p[1, 2000:2009]))
    assert quantile(p[:0]).shape == (0, 30_000)


def test_some_copies_draw_what_they_draw_among_all():
    base = SampleRNG(0, torch.tensor([4, 9]), ("x",), turn=torch.tensor([3, 5]))
    whole = base.copies(10).uniform(6).view(2, 10, 6)
    assert torch.equal(base.copies(10, slice(4, 7)).uniform(6).view(2, 3, 6), whole[:, 4:7])


def test_chances_come_as_often_as_they_should():
    rng = SampleRNG(5, torch.arange(200), ("x",))
    for rate in (0.0, 0.1, 0.25, 0.5, 0.9, 1.0):
        drawn = rng.chance(rate, 7, 143)
        assert drawn.shape == (200, 7, 143)
        assert abs(drawn.float().mean().item() - rate) < 5 * (rate * (1 - rate) / drawn.numel()) ** 0.5 + 1e-4
    assert torch.equal(rng[torch.arange(200) % 3 == 0].chance(0.3, 9), rng.chance(0.3, 9)[::3])


def test_numpy_and_torch_draw_the_same():
    words = [torch.randint(0, 2**32, (50, 3), generator=torch.Generator().manual_seed(k)) for k in range(4)]
    torchs = philox(words, (7, 2**32 - 9))
    numpys = philox([word.numpy().view("uint64") for word in words], (7, 2**32 - 9))
    for one, other in zip(torchs, numpys, strict=True):
        assert one.tolist() == other.tolist()


def test_a_table_of_a_whole_set_gives_every_batch_its_own_draws():
    ids = torch.arange(100) * 3 + 5
    table = Table(ids, {})
    for places in (torch.tensor([7, 3, 99]), torch.tensor([0]), torch.arange(100)):
        whole = SampleRNG(5, ids[places], ("x",)).fork("dropout", 1)
        assert torch.equal(replace(whole, table=table.at(places)).chance(0.3, 4, 5), whole.chance(0.3, 4, 5))
    assert len(table.drawn) == 1


@pytest.mark.parametrize("case", ["no batch", "a turn", "a table too large"])
def test_what_no_table_can_hold_is_drawn_by_itself(case, monkeypatch):
    """A batch that nobody placed, the copies of a random defense, and more draws than memory should hold."""
    ids, places = torch.arange(10) + 5, torch.tensor([7, 3])
    table = Table(ids, {})
    draws = SampleRNG(5, ids[places], ("x",))
    if case == "a turn":
        draws = draws.at(torch.tensor([4, 4]))
    if case == "a table too large":
        monkeypatch.setattr(rng, "MOST_DRAWN", len(ids) * 20 - 1)
    given = table if case == "no batch" else table.at(places)
    assert torch.equal(replace(draws, table=given).chance(0.3, 4, 5), draws.chance(0.3, 4, 5))
    assert not table.drawn

"""The victim: what each copy of a sample draws, and that nobody else's copies change it."""

import torch
from torch import nn

from advcli.numerics.balls import Ball
from advcli.numerics.rng import SampleRNG
from advcli.search.goal import Goal
from advcli.search.observer import Observer
from advcli.search.victim import Tally, Victim, place_among_equals
from conftest import near_the_plane


class Noisy(nn.Module):
    """Answers with what it drew."""

    def forward(self, x, draws):
        return draws.uniform(4)


def asked(ids):
    tally = Tally(len(ids))
    return Victim(Noisy(), tally, torch.arange(len(ids)), SampleRNG(3, torch.tensor(ids), ("defense",)))


def test_every_copy_and_every_call_draws_anew():
    victim, x = asked([5, 9]), torch.zeros(2, 1, 2, 2)
    seen = torch.cat([victim.copies(3)(x.repeat_interleave(3, 0)), victim(x), victim.copies(2)(x.repeat_interleave(2, 0))])
    assert len(seen) == 6 + 2 + 4
    assert len(torch.unique(seen, dim=0)) == len(seen)


def test_a_copy_that_is_left_out_or_a_neighbour_changes_nothing_of_the_others():
    x = torch.zeros(3, 1, 2, 2)
    together, alone = asked([5, 9, 2]), asked([9])
    kept = torch.tensor([True, False, True, True, False, True, False, False, True])
    both = together.copies(3)[kept](x.repeat_interleave(3, 0)[kept])
    torch.testing.assert_close(both[2:4], alone.copies(2)(x[:2]), rtol=0, atol=0)
    torch.testing.assert_close(together(x)[1:2], alone(x[:1]), rtol=0, atol=0)


def test_without_copies_the_turns_are_those_of_the_calls():
    victim, x = asked([5, 9]), torch.zeros(2, 1, 2, 2)
    for turn in range(3):
        wanted = victim.draws.at(torch.full((2,), turn)).uniform(4)
        torch.testing.assert_close(victim(x), wanted, rtol=0, atol=0)


def test_places_among_equals():
    assert place_among_equals(torch.tensor([4, 4, 1, 4, 1])).tolist() == [0, 1, 0, 2, 1]
    assert place_among_equals(torch.zeros(0, dtype=torch.int64)).tolist() == []


def test_only_answers_that_come_with_a_gradient_are_steps_of_a_search(halfspace):
    x = near_the_plane(4)
    goal, ball = Goal(halfspace(x).argmax(1)), Ball(x, torch.full((4,), 0.1), "linf")
    seen = Observer(goal, ball, torch.arange(4))
    victim = Victim(halfspace, Tally(4), torch.arange(4), None, observer=seen)
    for share in (0.0, 0.02, 0.04):
        victim(x + share)
    assert not seen._margins
    victim.gradient(x, goal.loss("margin"))
    assert len(seen._margins) == 1

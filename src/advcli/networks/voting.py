"""Many random copies of one image in bounded memory, a few at a time, recomputed in the backward pass; and their vote.

A copy's draws depend on its number alone, so the outputs do not depend on how many are computed at once. The gradient is that
of the mean of the logits; the scores show how far the majority is from changing. Shares of votes, or the mean probability,
would be flat where the copies agree.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from advcli.networks.filtered import straight_through
from advcli.numerics.rng import SampleRNG

MOST = 2048  # images that go through a model at once
LEAD = 1e-3  # of the winner before the next, relative, where most votes are no majority
Answer = Callable[[Tensor, SampleRNG], Tensor]


def stochastic_logits(answer: Answer, x: Tensor, draws: SampleRNG, count: int) -> Tensor:
    """(N, count, K) logits of `count` copies of each image, each with draws of its own."""
    some = chunks(x, count)
    take = partial(_chunk_logits, answer, x, draws, count)
    if len(some) > 1 and torch.is_grad_enabled() and x.requires_grad:
        take = partial(checkpoint, take, use_reentrant=False, preserve_rng_state=False)
    return torch.cat([take(piece) for piece in some], 1)


def majority_logits(logits: Tensor) -> Tensor:
    """(N, count, K) logits -> (N, K) by the vote: positive for the class that most of the copies decide on.

    The logit of a class is its margin in the copy that would complete its majority, so that scores show how far the majority is
    from changing; the class with most votes, or the lowest of several, always has the largest logit.
    """
    top = logits.topk(2, 2).values
    lead = logits - torch.where(logits == top[:, :, :1], top[:, :, 1:], top[:, :, :1])
    last = lead.topk(logits.shape[1] // 2 + 1, 1).values[:, -1]
    winner = nn.functional.one_hot(logits.argmax(2), logits.shape[2]).sum(1).argmax(1, keepdim=True)
    rival = last.scatter(1, winner, -torch.inf).amax(1, keepdim=True)
    ahead = torch.maximum(last.gather(1, winner), rival + LEAD * (1 + rival.abs()))
    return straight_through(last.scatter(1, winner, ahead), logits.mean(1))


def vote_counts(answer: Answer, x: Tensor, draws: SampleRNG, count: int) -> Tensor:
    """(N, K) how often each class was decided on; the logits are not kept."""
    found = torch.zeros((), dtype=torch.int64, device=x.device)
    for piece in chunks(x, count):
        decided = _chunk_logits(answer, x, draws, count, piece)
        found = found + nn.functional.one_hot(decided.argmax(2), decided.shape[2]).sum(1)
    return found


def chunks(x: Tensor, count: int) -> list[slice]:
    """Slices of the copies that are computed together."""
    step = max(1, MOST // max(1, len(x)))
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]


def _chunk_logits(answer: Answer, x: Tensor, draws: SampleRNG, count: int, piece: slice) -> Tensor:
    number = piece.stop - piece.start
    logits = answer(x.repeat_interleave(number, 0), draws.copies(count, piece))
    return logits.view(len(x), number, logits.shape[1])

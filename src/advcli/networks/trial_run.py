"""A network tried on two images before it is relied on: what it answers, and whether another one answers alike.

A network is anybody's code. It is tried on a copy, for it may count its calls or keep what it has seen, and under a random
state that is put back.
"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from advcli.errors import InputError
from advcli.networks.classifier import Classifier
from advcli.networks.logits import gradient_of
from advcli.numerics.rng import Purpose, SampleRNG
from advcli.runtime import devices

COUNT = 2  # images: one would hide who mixes them up
AGREE = 1e-4  # logits may differ by this share of the largest one
ALIKE = 0.1  # and gradients by this share of their length, for a rectifier near zero tips over by a rounding
Answers = tuple[Tensor, Tensor]  # logits, and a gradient to the images


def answers_or_none(classifier: Classifier, device: torch.device) -> Answers | None:
    """The answers of a copy of the classifier in evaluation mode; None if it fails, which it will report itself.

    InputError where its answers are no logits, or are drawn.
    """
    try:
        return checked_answers(copy.deepcopy(classifier), device)
    except InputError:
        raise
    except Exception:  # also where it holds what cannot be copied
        return None


def checked_answers(other: Classifier, device: torch.device) -> Answers:
    """The checked answers of a classifier to the trial images; raises what the network raises. May change the classifier."""
    other.to(device).eval()
    first, second = (SampleRNG(0, torch.arange(COUNT) + k, (Purpose.TRIAL,)).uniform(*other.shape).to(device) for k in (0, COUNT))
    forked = [device] if device.type == "cuda" else []
    with devices.threads(other.shape), torch.random.fork_rng(devices=forked):
        before = _state(device)
        found = answers(other, first, None, weighted_logits)
        again, _ = answers(other, first, None, None)
        finite = bool(torch.isfinite(found[0]).all())
        if not torch.equal(before, _state(device)) or (finite and not _near(found[0], again)):
            raise InputError(
                "the network draws random numbers when it is evaluated, so that its answers could not be made again;\n"
                "give functional dropout training=self.training; what is meant to draw is a defense"
            )
        beside, _ = answers(other, torch.cat([first[:1], second[1:]]), None, None)
        if finite and not _near(found[0][:1], beside[:1]):
            raise InputError(
                "the network answers otherwise when another image stands beside one, so that decisions would hang on the batch;\n"
                "let nothing be taken over the batch when it is evaluated (batch norm: track_running_stats=True)"
            )
    return found


def answers(model: nn.Module, x: Tensor, draws: SampleRNG | None, climb: Callable[[Tensor], Tensor] | None) -> Answers:
    """The logits of a model, and the gradient of what is to climb; zero where nobody asks for one."""
    with torch.set_grad_enabled(climb is not None):
        point = x.detach().requires_grad_(climb is not None)
        logits = model(point, draws)
        slope = torch.zeros(()) if climb is None else gradient_of(climb(logits).sum(), point)
    return logits.detach(), slope


def weighted_logits(logits: Tensor) -> Tensor:
    """A sum of the logits that none of them drops out of, also where they are log-probabilities."""
    return logits / (1 + torch.arange(logits.shape[1], device=logits.device))


def agree(ours: Answers, others: Answers) -> bool:
    """True if two models answer alike and, where both have gradients, have alike ones."""
    (logits, slope), (theirs, other) = ours, others
    return _near(logits, theirs) and bool((slope - other).norm() <= ALIKE * slope.norm())


def _near(logits: Tensor, others: Tensor) -> bool:
    return bool(((logits - others).abs().amax(1) <= AGREE * logits.abs().amax(1)).all())


def _state(device: torch.device) -> Tensor:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()

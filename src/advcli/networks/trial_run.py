"""A trial of a network on two images, before it is used: its outputs, and whether another network has the same outputs.

A network is foreign code. The trial uses a copy, since the network may count its calls or store its inputs, and restores the
state of the random number generators.
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

COUNT = 2  # images: a single one would not show a network that mixes them
AGREE = 1e-4  # logits may differ by this share of the largest one
ALIKE = 0.1  # and gradients by this share of their length, for a rectifier near zero tips over by a rounding
Answers = tuple[Tensor, Tensor]  # logits, and a gradient to the images


def answers_or_none(classifier: Classifier, device: torch.device) -> Answers | None:
    """The outputs of a copy of the classifier in evaluation mode; None if it fails (the failure is reported when it is used).

    InputError if its outputs are not logits, or are random.
    """
    try:
        return checked_answers(copy.deepcopy(classifier), device)
    except InputError:
        raise
    except Exception:  # also where it holds what cannot be copied
        return None


def checked_answers(classifier: Classifier, device: torch.device) -> Answers:
    """The checked outputs of a classifier for the trial images; raises what the network raises. May change the classifier."""
    classifier.to(device).eval()
    draws = SampleRNG(0, torch.arange(2 * COUNT), (Purpose.TRIAL,))
    first, second = draws.uniform(*classifier.shape).to(device).chunk(2)
    forked = [device] if device.type == "cuda" else []
    with devices.threads(classifier.shape), torch.random.fork_rng(devices=forked):
        before = _state(device)
        found = answers(classifier, first, None, weighted_logits)
        again, _ = answers(classifier, first, None, None)
        finite = bool(torch.isfinite(found[0]).all())
        if not torch.equal(before, _state(device)) or (finite and not _near(found[0], again)):
            raise InputError(
                "the network draws random numbers in evaluation mode, so its outputs are not reproducible;\n"
                "give functional dropout training=self.training; intended randomness belongs in a defense"
            )
        beside, _ = answers(classifier, torch.cat([first[:1], second[1:]]), None, None)
        if finite and not _near(found[0][:1], beside[:1]):
            raise InputError(
                "the network's output for an image depends on the other images of its batch;\n"
                "do not compute statistics over the batch in evaluation mode (batch norm: track_running_stats=True)"
            )
    return found


def behaviour(classifier: Classifier) -> list[str]:
    """A sum of the logits for each trial image, to three digits: it tells apart what other weights alone would not.

    It is computed on the CPU, for it must not depend on the device; on a GPU only if the network works nowhere else.
    """
    for device in ["cpu", *["cuda"] * torch.cuda.is_available()]:
        x = SampleRNG(0, torch.arange(COUNT), (Purpose.TRIAL,)).uniform(*classifier.shape).to(device)
        forked = [torch.device(device)] if device == "cuda" else []
        try:
            with devices.threads(classifier.shape), torch.random.fork_rng(devices=forked):
                logits, _ = answers(classifier.to(device), x, None, None)
        except InputError:
            raise
        except Exception:  # noqa: S112  # a network is anybody's code: what it raises is reported when it is used
            continue
        return [f"{float(one):.3g}" for one in weighted_logits(logits.double()).sum(1)]
    return []


def answers(model: nn.Module, x: Tensor, draws: SampleRNG | None, climb: Callable[[Tensor], Tensor] | None) -> Answers:
    """The logits of a model, and the gradient of a function of them; zero if none is wanted."""
    with torch.set_grad_enabled(climb is not None):
        point = x.detach().requires_grad_(climb is not None)
        logits = model(point, draws)
        slope = torch.zeros(()) if climb is None else gradient_of(climb(logits).sum(), point)
    return logits.detach(), slope


def weighted_logits(logits: Tensor) -> Tensor:
    """A sum of the logits in which every logit has weight, also if they are log-probabilities."""
    return logits / (1 + torch.arange(logits.shape[1], device=logits.device))


def agree(as_written: Answers, changed: Answers) -> bool:
    """True if a changed model has the logits and, if both have gradients, the gradients that it had as written."""
    (logits, slope), (others, other) = as_written, changed
    return _near(logits, others) and bool((slope - other).norm() <= ALIKE * slope.norm())


def _near(logits: Tensor, others: Tensor) -> bool:
    return bool(((logits - others).abs().amax(1) <= AGREE * logits.abs().amax(1)).all())


def _state(device: torch.device) -> Tensor:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()

"""What is tried before the first epoch, so that no training ends with a model that nothing can use."""

import copy

import torch
from torch import Tensor

from advcli.errors import AdvcliError, CommandError, InputError
from advcli.networks import trial
from advcli.networks.classifier import classifier_of
from advcli.numerics.rng import SampleRNG
from advcli.training.plan import Plan


def rehearse(plan: Plan) -> None:
    """Refuse a network whose answers are no logits or are drawn in evaluation, or that cannot be trained."""
    trial.tried(classifier_of(plan.model), torch.device("cpu"))
    logits, _ = _in_training(plan, 2)
    if logits is not None and not logits.requires_grad and any(one.requires_grad for one in plan.model.parameters()):
        raise InputError("nothing leads from the network's answers back to a weight: it computes without gradients")
    size, count = plan.options.batch_size, len(plan.data)
    if size == 1 or count % size == 1:
        _, error = _in_training(plan, 1)
        if isinstance(error, ValueError):
            number = f"{count} images leave one for the last batch"
            raise CommandError(f"--batch-size {size}: {number}, which the network cannot be trained on ({error})")


def _in_training(plan: Plan, count: int) -> tuple[Tensor | None, Exception | None]:
    """What a copy of the model answers to some pictures in training, or what it raises."""
    ids = torch.arange(count)
    try:
        other = copy.deepcopy(plan.model).train()
        with torch.random.fork_rng(devices=[]):
            return other(torch.zeros(count, *plan.data.shape), SampleRNG(0, ids)), None
    except AdvcliError:
        raise
    except Exception as error:  # if it is more than the count, the training will raise it, too
        return None, error

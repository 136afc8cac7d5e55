"""Checks before the first epoch, so that no training ends with an unusable model."""

import copy
from pathlib import Path

import torch
from torch import Tensor

from advcli.errors import AdvcliError, CommandError, InputError, described
from advcli.files import header_schema
from advcli.files.header import Header
from advcli.networks import model_file, trial_run
from advcli.networks.classifier import classifier_of
from advcli.networks.scikit_learn import Fitted
from advcli.numerics.rng import Purpose, SampleRNG
from advcli.training.plan import Plan


def check_before_training(plan: Plan, path: Path, metadata: Header) -> None:
    """Refuse a model whose file the reader would refuse, or a network that cannot be evaluated or trained."""
    header_schema.refuse_names(list(plan.data.classes), plan.data.name)
    check_file(plan, path, metadata)
    check_evaluation(plan, metadata["arch"]["name"])
    check_training(plan)


def check_file(plan: Plan, path: Path, metadata: Header) -> None:
    """Read the file as it would be written now, with the current weights."""
    network = classifier_of(plan.model).network
    try:
        if isinstance(network, Fitted):
            header_schema.model(metadata, str(path))
        else:
            with torch.random.fork_rng(devices=[]):
                model_file.checked(path, model_file.packed(metadata, network.state_dict())).module()
    except InputError as error:
        reason = str(error).removeprefix(f"{path}: ").partition("; the file")[0]
        raise InputError(f"{path}: the training would end in a file that cannot be opened: {reason}") from None


def check_evaluation(plan: Plan, name: str) -> None:
    """Evaluate the network on two images: whether it returns logits, without random draws."""
    try:
        other = copy.deepcopy(classifier_of(plan.model))
    except Exception:
        return  # it holds what cannot be copied
    try:
        trial_run.checked_answers(other, plan.device)
    except AdvcliError:
        raise
    except Exception as error:  # a network is anybody's code
        shape, said = "x".join(map(str, plan.data.shape)), described(error)
        raise CommandError(f"{name}: fails on images of {shape} ({said})") from error


def check_training(plan: Plan) -> None:
    """Run it in training mode: whether its weights get a gradient, and whether it takes the last batch of an epoch."""
    logits, _ = _in_training(plan, 2)
    if logits is not None and not logits.requires_grad and any(one.requires_grad for one in plan.model.parameters()):
        raise InputError("the weights get no gradient from the network's output: it computes without gradients")
    size, count = plan.options.batch_size, len(plan.data)
    if size == 1 or count % size == 1:
        _, error = _in_training(plan, 1)
        if isinstance(error, ValueError):
            number = f"{count} images leave one for the last batch"
            raise CommandError(f"--batch-size {size}: {number}, and the network cannot be trained on that ({error})")


def _in_training(plan: Plan, count: int) -> tuple[Tensor | None, Exception | None]:
    """The outputs of a copy of the model for some images in training mode, or the exception that it raises."""
    ids = torch.arange(count)
    try:
        other = copy.deepcopy(plan.model).train()
        with torch.random.fork_rng(devices=[]):
            return other(torch.zeros(count, *plan.data.shape), SampleRNG(0, ids, (Purpose.TRIAL,))), None
    except AdvcliError:
        raise
    except Exception as error:  # if it is more than the count, the training will raise it, too
        return None, error

"""The single votes of a random model: the classes that its passes decide on, before they are counted.

They are those of the outermost defense that votes (dropout-vote, smoothing, average); of a random model without one, the
decisions under several draws.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from advcli.catalog import discovery
from advcli.errors import CommandError
from advcli.evaluation.judge import Judge
from advcli.numerics.arrays import Array

REJECTED = "rejected"


def classes_of(model: Judge, counts: Array) -> list[str]:
    """The names of the columns of counted votes."""
    names = list(model.file.classes)
    return names + [REJECTED] * (counts.shape[-1] - len(names))


def counter(model: Judge) -> tuple[int, Callable[[Tensor, Array], Array]]:
    """The number of votes for each image, and the function that counts them: images, ids -> (N, K)."""
    if not model.file.is_random():
        raise CommandError(
            f"{model.file.path}: decides without a draw, so that an image has one vote\n"
            "votes are those of a random model: make one with advcli defend --method dropout-vote"
        )
    voting = voting_part(model)
    if voting is None:
        return model.rounds, lambda x, ids: _counted([model.logits(x, ids, turn)[:, None] for turn in range(model.rounds)])
    count = int(getattr(voting, "copies", 1))

    def votes(x: Tensor, ids: Array) -> Array:
        found = []
        for start in range(0, len(ids), model.batch):
            some = slice(start, start + model.batch)
            with _heard(voting, len(ids[some])) as answers:
                model.logits(x[some], ids[some])
            found.append(_counted([torch.cat(answers, 1)[:, :count]]))
        return np.concatenate(found)

    return count, votes


def voting_part(model: Judge) -> nn.Module | None:
    """The outermost defense that decides by votes; None if there is none, or if other models decide after it."""
    part: nn.Module | None = model.module
    for one in reversed(model.file.defenses):
        traits = discovery.from_file("defense", one["name"]).traits
        if traits.members:
            return None
        if traits.votes:
            return part
        part = getattr(part, "model", None)
    return None


@contextmanager
def _heard(voting: nn.Module, images: int) -> Iterator[list[Tensor]]:
    """(images, copies, K) answers of the model inside a voting defense, as it asks for them, some copies at a time."""
    found: list[Tensor] = []

    def hook(_: nn.Module, given: object, answer: Tensor) -> None:
        found.append(answer.detach().cpu().view(images, -1, answer.shape[1]))

    handle = voting.get_submodule("model").register_forward_hook(hook)
    try:
        yield found
    finally:
        handle.remove()


def _counted(logits: list[Tensor]) -> Array:
    """(N, K) how often each class has the largest of (N, copies, K) logits; the lowest of equal ones."""
    all_of_them = torch.cat(logits, 1)
    return nn.functional.one_hot(all_of_them.argmax(2), all_of_them.shape[2]).sum(1).numpy()

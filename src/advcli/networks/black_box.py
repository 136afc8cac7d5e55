"""A function of the user's own, or an address, as a network: asked about pictures, it gives scores or labels, and no gradient.

It gets a float32 array (N, C, H, W) of pixels in [0, 1], at most so many pictures a call, and returns scores (N, K) or labels
(N,). A label becomes one score of 1 among zeros. A failure, an answer of another form and numbers that are not finite end the
run; they are never taken for an answer.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from advcli.catalog import discovery, web_address
from advcli.errors import AdvcliError, InputError, described
from advcli.files.header import Header
from advcli.files.journal import Journal, key_of
from advcli.files.parts import Parts
from advcli.networks.endpoint import Endpoint
from advcli.numerics.arrays import Array
from advcli.numerics.rng import Purpose, SampleRNG

Answers = Literal["scores", "labels"]
AT_ONCE = 64  # pictures of one call
TRIED = 3  # pictures of noise
SAME = 1e-4  # of the largest score


class BlackBox(nn.Module):
    """The function, with the number of pictures that it was asked about and of its calls."""

    def __init__(self, name: str, function: Callable[[Array], Any], classes: int, answers: Answers, at_once: int) -> None:
        super().__init__()
        self.name, self.function, self.classes, self.answers, self.at_once = name, function, classes, answers, at_once
        self.asked = self.calls = 0
        self.journal: Journal | None = None

    def __deepcopy__(self, memo: dict[int, object]) -> "BlackBox":
        return self  # one function, one count

    def forward(self, x: Tensor) -> Tensor:
        pictures = x.detach().to("cpu", torch.float32).numpy()
        found = self._ask(pictures) if self.journal is None else self._look_up(pictures, self.journal)
        return torch.from_numpy(found).to(x.device)

    def _look_up(self, pictures: Array, journal: Journal) -> Array:
        """The answers of the journal; the function is asked about the others, each once."""
        keys = [key_of(one) for one in pictures]
        new = {key: place for place, key in reversed([*enumerate(keys)]) if journal.find(key) is None}
        order = sorted(new, key=lambda key: new[key])
        for start in range(0, len(order), self.at_once):
            some = order[start : start + self.at_once]
            journal.add(some, self._ask(pictures[[new[key] for key in some]]))
        found = np.empty((len(pictures), self.classes), np.float32)
        for row, key in enumerate(keys):
            found[row] = journal.find(key)
        return found

    def _ask(self, pictures: Array) -> Array:
        """(N, K) scores by the function, by as many calls as it takes."""
        found = np.empty((len(pictures), self.classes), np.float32)
        for start in range(0, len(pictures), self.at_once):
            some = pictures[start : start + self.at_once]
            self.calls, self.asked = self.calls + 1, self.asked + len(some)
            found[start : start + len(some)] = scores_of(
                call(self.name, self.function, some), self.name, len(some), self.classes, self.answers
            )
        return found


def call(name: str, function: Callable[[Array], Any], pictures: Array) -> Array:
    """What the function returns, as an array; what it prints goes to stderr."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            found = function(pictures.copy())
        return np.asarray(found.detach().cpu() if isinstance(found, Tensor) else found)
    except (Exception, SystemExit) as error:
        said = described(error, 200)
        raise failure(name, f"failed on {len(pictures)} pictures ({said})") from error


def failure(name: str, what: str) -> AdvcliError:
    """The end of a run whose function gave no answer."""
    return AdvcliError(
        f"{name}: {what}; nothing was decided from it\n"
        "run the same command again when it works; an attack goes on where it stopped"
    )


def answers_of(found: Array, name: str, count: int) -> Answers:
    """Whether these are scores or labels."""
    if found.shape == (count,) and found.dtype.kind in "iu":
        if bool((found < 0).any()):
            raise failure(name, f"returned label {found.min()}; labels are whole numbers from 0 on")
        return "labels"
    if found.ndim == 2 and len(found) == count and found.shape[1] > 1 and found.dtype.kind in "iuf":
        return "scores"
    wanted = f"scores ({count}, classes) or labels ({count},), whole numbers"
    raise failure(name, f"returned {_described(found)} for {count} pictures; expected {wanted}")


def scores_of(found: Array, name: str, count: int, classes: int, answers: Answers) -> Array:
    """(N, K) the scores, or a 1 at each label; refused where they have another form than before."""
    expected = f"({count}, {classes})" if answers == "scores" else f"({count},), whole numbers from 0 to {classes - 1}"
    shape = (count, classes) if answers == "scores" else (count,)
    kinds = "iuf" if answers == "scores" else "iu"
    if found.shape != shape or found.dtype.kind not in kinds:
        raise failure(name, f"returned {_described(found)}; expected {answers} {expected}")
    if answers == "labels":
        if bool(((found < 0) | (found >= classes)).any()):
            raise failure(name, f"returned label {found[(found < 0) | (found >= classes)][0]}; expected {answers} {expected}")
        one_hot: Array = (found[:, None] == np.arange(classes)).astype(np.float32)
        return one_hot
    scores: Array = found.astype(np.float32)
    if not bool(np.isfinite(scores).all()):
        raise failure(name, "returned numbers that are not finite")
    return scores


def _described(found: Array) -> str:
    return f"{found.dtype} of shape {'x'.join(map(str, found.shape))}" if found.ndim else f"one number ({found.dtype})"


def of_metadata(arch: Header, classes: int) -> BlackBox:
    """The function that checked metadata names; refused unless the user has named it too."""
    name = str(arch["name"])
    return BlackBox(name, function_of(name, arch.get("rate")), classes, arch["answers"], int(arch["at_once"]))


def function_of(name: str, rate: float | None = None) -> Callable[[Array], Any]:
    """The function of a name that the user has named, or what asks an address that the user has named."""
    if web_address.is_address(name):
        discovery.refuse_unnamed("function", name)
        return Endpoint(name, rate)
    return discovery.own_function(name)


def tried(name: str, shape: tuple[int, ...], at_once: int, rate: float | None = None) -> tuple[Answers, int | None]:
    """What a function gives for a few pictures of noise: scores of so many classes, or labels.

    Refused if it answers otherwise when the same pictures come again in another order.
    """
    function = function_of(name, rate)
    draws = SampleRNG(0, torch.arange(TRIED), (Purpose.TRIAL,))
    pictures = draws.uniform(*shape).numpy()[:at_once]
    found, again = call(name, function, pictures), call(name, function, pictures[::-1])
    answers = answers_of(found, name, len(pictures))
    count = found.shape[1] if answers == "scores" else None
    scores_of(found, name, len(pictures), count or int(found.max()) + 1, answers)
    if found.shape != again.shape or not np.allclose(found, again[::-1], rtol=SAME, atol=SAME * float(abs(found).max())):
        raise InputError(
            f"{name}: gives other {answers} when the same pictures are asked again in another order;\n"
            "advcli needs a function whose answer depends on the picture alone"
        )
    return answers, count


def boxes_of(model: nn.Module) -> list[BlackBox]:
    """The functions inside a model, each once."""
    return [one for one in model.modules() if isinstance(one, BlackBox)]


@contextlib.contextmanager
def journaled(model: nn.Module, parts: Parts) -> Iterator[Callable[[], None]]:
    """Keep the answers beside the parts of a run while it lasts; the function that it yields forgets them."""
    boxes = boxes_of(model)
    journals = [parts.journal(number, one.classes) for number, one in enumerate(boxes)]
    for box, journal in zip(boxes, journals, strict=True):
        box.journal = journal

    def forget() -> None:
        for journal in journals:
            journal.clear()

    try:
        yield forget
    finally:
        for box, journal in zip(boxes, journals, strict=True):
            box.journal = None
            journal.close()

"""The attack inside training: adversarial images made against the current network, for training on them.

`pgd:eps=0.3,steps=10,step_size=0.05` names any budgeted or one-step attack, built-in or a user's own; in addition to its own
options it takes eps, target, label and early_stop, which have the same meaning as for `attack`. A random start with one
step (R+FGSM, "fast" training, arXiv:2001.03994) is `pgd:steps=1,step_size=1.25*eps`; a step towards a random class
(DGSM) is `fgsm:target=random`; `label=pred` leaves the network's own prediction instead of the true class, so that
the label does not leak into the image (arXiv:1611.01236).

The network is attacked in evaluation mode: dropout is off, and batch norm uses its running statistics and does not update
them. Every image is attacked at full strength, misclassified ones included: an early stop would leave an image at the boundary.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from advcli.catalog import discovery
from advcli.catalog.options import EarlyStop, Label, OneEps, Target
from advcli.catalog.params import Option, option
from advcli.catalog.registry import Bound, Spec, refuse_unknown
from advcli.errors import CommandError
from advcli.networks.classifier import frozen
from advcli.numerics.balls import Ball
from advcli.numerics.quantities import BUDGETS, Budget, budget, refuse_beyond
from advcli.numerics.rng import SampleRNG
from advcli.search.best import take
from advcli.search.call import into_ball, target_classes
from advcli.search.goal import Goal
from advcli.search.procedure import procedure_of
from advcli.search.victim import Tally, Victim

RULES = ("random", "next", "least-likely")
WORDS = (option("eps", OneEps, None), option("target", Target, None), option("label", Label, "true"),
         option("early_stop", EarlyStop, False))  # fmt: skip


@dataclass(frozen=True, slots=True)
class InnerAttack:
    """An attack with its budget, and its options in addition to the attack's own."""

    method: Bound
    eps: Budget
    target: str | None
    label: str
    early_stop: bool

    @property
    def norm(self) -> str:
        return str(self.method.parameters.get("norm", self.method.spec.traits.norms[0]))

    @property
    def spelled(self) -> str:
        """The text that describes it, with every default included."""
        own = {"eps": self.eps.text, "target": self.target, "label": self.label, "early_stop": self.early_stop}
        kept = {one.name: own[one.name] for one in extra_options(self.method.spec)} | self.method.parameters
        pairs = [f"{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in kept.items()]
        return f"{self.method.spec.name}:{','.join(one for one in pairs if not one.endswith('=None'))}"

    def attacked(self, model: nn.Module, x: Tensor, label: Tensor, rng: SampleRNG, *, share: float = 1.0) -> Tensor:
        """Adversarial images of x at a share of the budget; the model is not changed, and no gradient flows back to it."""
        refuse_beyond(self.norm, (self.eps,), x[0].numel())
        eps = self.eps.value * share
        with eval_mode_victim(model, x, rng) as victim:
            goal, busy = self._goal(victim, x, label, rng.fork("target"))
            found = x.clone()
            if eps and bool(busy.any()):
                victim, x, goal, rng = take(busy, victim, x, goal, rng.fork("attack"))
                found[busy] = self._best(victim, x, goal, rng, eps)
            return found

    def _goal(self, victim: Victim, x: Tensor, label: Tensor, rng: SampleRNG) -> tuple[Goal, Tensor]:
        """The goal, and a mask (N,) of the images to attack."""
        logits = victim(x) if self.label == "pred" or self.target else None
        if logits is None:
            return Goal(label), torch.ones_like(label, dtype=torch.bool)
        if self.target is None:
            return Goal(logits.argmax(1)), torch.ones_like(label, dtype=torch.bool)
        if self.target not in RULES and int(self.target) >= logits.shape[1]:
            raise CommandError(f"target={self.target}: the classes are numbered 0 to {logits.shape[1] - 1}")
        target = target_classes(self.target, label, logits, rng)
        return Goal(target, targeted=True, source=label), target != label

    def _best(self, victim: Victim, x: Tensor, goal: Goal, rng: SampleRNG, eps: float) -> Tensor:
        ball = Ball(x, torch.full((len(x),), eps, device=x.device), self.norm)
        point = procedure_of(self.method).point
        return into_ball(ball, point(self.method, victim, ball, goal, rng, early_stop=self.early_stop))


@contextmanager
def eval_mode_victim(model: nn.Module, x: Tensor, rng: SampleRNG) -> Iterator[Victim]:
    """The network as an attack inside training sees it; modes and gradients of the weights are restored afterwards."""
    half = torch.is_autocast_enabled(x.device.type)
    with frozen(model):
        yield Victim(model, Tally(len(x)), torch.arange(len(x)), rng.fork("defense"), half=half)


def extra_options(spec: Spec) -> tuple[Option, ...]:
    """The options that an inner attack has in addition to the attack's own."""
    return tuple(one for one in WORDS if spec.has(one.param.needs) and (one.name != "early_stop" or one.name in spec.given))


@cache
def inner_attack(text: str, channels: int) -> InnerAttack:
    """The attack of a text such as pgd:eps=0.3,steps=10; the default budget depends on grey or colour images."""
    spec, typed = discovery.parse_method("attack", text)
    if spec.traits.budgeted and spec.traits.structure:
        raise CommandError(f"{text}: {spec.name} is made for models of one kind, which no loop trains")
    if not spec.traits.nestable:
        raise CommandError(f"{text}: {spec.name} has no budget; training needs a budgeted or one-step attack")
    refuse_unknown(f"--against {spec.name}", typed, (*extra_options(spec), *spec.options))
    given = {one.name: one.read(typed.pop(one.name)) if one.name in typed else one.default for one in WORDS}
    method = spec.bind(typed)
    norm = str(method.parameters.get("norm", spec.traits.norms[0]))
    eps = budget(given["eps"] or BUDGETS[norm][channels == 3])
    target = given["target"] or ("random" if spec.traits.targeted == "only" else None)
    if target and target not in RULES and not (target.isascii() and target.isdecimal()):
        raise CommandError(f"{text}: target must be {', '.join(RULES)} or the number of a class")
    if target and given["label"] == "pred":
        raise CommandError(f"{text}: label names the class to leave and target the class to reach; give only one of them")
    return InnerAttack(method, eps, target, given["label"], given["early_stop"])

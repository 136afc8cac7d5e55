"""The settings of one attack run, the same for every batch, with every default resolved."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from advcli.catalog.registry import Bound
from advcli.errors import AdvcliError
from advcli.networks.rejection import decision
from advcli.numerics.balls import Ball
from advcli.numerics.quantities import Budget
from advcli.numerics.quantize import quantize
from advcli.numerics.rng import Purpose, SampleRNG
from advcli.search.call import into_ball
from advcli.search.procedure import Procedure, procedure_of

FURTHER = (1.3, 2.0)  # shares by which a point goes outwards, too, where the verdict draws
FURTHER_DRAWS = 4  # of a random model, in which a point has to hold as well before an image counts as done
UNBOUNDED = Budget("", float("inf"))  # of methods that take no budget


@dataclass(frozen=True, slots=True)
class Job:
    """One attack run; `model` gives the verdicts, and is also searched unless there is a faster copy, `search`."""

    model: nn.Module
    method: Bound
    norm: str
    budgets: tuple[Budget, ...]
    target: str | None
    label: str
    seed: int
    device: torch.device
    restarts: int = 1
    early_stop: bool = True
    clip: bool = True  # to [0, 1]
    eot: int = 1
    random_model: bool = False
    rejects: bool = False
    max_queries: int | None = None
    quantize: bool = False
    rounding: str = "nearest"
    half: bool = False
    store_bytes: bool = False
    search: nn.Module | None = None
    scale: float = 1.0  # of the logits, where their softmax is 0 and 1 and the cross-entropy would not see them
    shared: Tensor | None = None  # (budgets, C, H, W) one perturbation for all images
    stages: tuple[Bound, ...] = ()  # of a cascade
    substitute: nn.Module | None = None  # searched in the model's place, which is then asked for the verdict alone
    undefended: nn.Module | None = None  # the model under its defenses: what fools it is proposed, too

    @property
    def searched(self) -> nn.Module:
        """The module that the search queries."""
        return self.model if self.search is None else self.search

    @property
    def procedure(self) -> Procedure:
        """The procedure of the method: making attempts and comparing them."""
        return procedure_of(self.method)

    def outwards(self, shares: tuple[float, ...] | None) -> tuple[float, ...]:
        """The shares by which a point is pushed on that the verdict refused; what one verdict draws may ask for more."""
        shares = self.procedure.outwards if shares is None else shares
        return shares + FURTHER if shares and self.random_model else shares

    @property
    def from_images(self) -> bool:
        """True if it starts from the user's images; otherwise all targets come as one batch."""
        return bool(self.method.spec.traits.has("images"))

    @property
    def moves_wrong(self) -> bool:
        """True if an image that the model has wrong is attacked too: it has to leave the model's own decision."""
        return self.label == "pred" and self.target is None and self.from_images

    @property
    def retries(self) -> bool:
        """True if an image whose success the verdict refused is attacked again; for a substitute there is no verdict."""
        return self.early_stop and self.substitute is None and self.procedure.retries

    @property
    def stops(self) -> bool:
        """True if an image that is broken is not attacked again, also not by a further restart."""
        improves = self.procedure.improves and "early_stop" not in self.method.spec.given
        return self.early_stop and not improves

    @property
    def observed(self) -> bool:
        """True if the search is watched: it asks this model more than once, and gets the verdict's answers up to rounding."""
        own = self.substitute is None and self.shared is None
        return own and not self.search_differs and not self.procedure.few_calls

    @property
    def search_differs(self) -> bool:
        """True if the outputs during the search may differ from the verdict's."""
        return self.quantize or self.half or self.random_model

    def verdict(self, x: Tensor, ids: Tensor, further: int = 0) -> Tensor:
        """Logits of the plain model on values as they are stored; a random model has further draws by their number."""
        draws = SampleRNG(self.seed, ids, (Purpose.VERDICT,))
        with torch.no_grad():
            logits: Tensor = self.model(x, draws.fork("further", further) if further else draws)
        if not bool(torch.isfinite(logits).all()):
            raise AdvcliError("the model's logits are not finite; it cannot be attacked")
        return logits

    def verdicts(self, x: Tensor, ids: Tensor) -> list[Tensor]:
        """The logits by which attempts are compared: the verdict, and of a random model several further draws."""
        return [self.verdict(x, ids, k) for k in range(1 + FURTHER_DRAWS * self.random_model)]

    def decide(self, logits: Tensor) -> Tensor:
        """The model's classes; -1 for a rejection."""
        return decision(logits, self.rejects)

    def settle(self, ball: Ball, point: Tensor) -> Tensor:
        """A proposal as it will be stored: finite, in the ball, and on the 8-bit grid with --quantize."""
        point = into_ball(ball, point)
        return quantize(ball, point, self.rounding)[0] if self.quantize else point

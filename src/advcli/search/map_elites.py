"""MAP-Elites over the classes of a model: a child replaces the champion of every class of which the model is surer.

A generation is one evaluation of the population: its parents are champions of classes drawn at random, and a champion is only
replaced by a better one, so that the confidence of no class ever falls. An image is done when the champion of its class has
the confidence that is asked for; other classes go on. Mouret, Clune, arXiv:1504.04909.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Any

import torch
from torch import Tensor

from advcli.networks.rejection import split
from advcli.numerics.rng import SampleRNG
from advcli.search.encodings import Encoding
from advcli.search.goal import Goal
from advcli.search.procedure import Recorded
from advcli.search.victim import Victim

TINY = 1e-300  # of a confidence that is asked for: it has a logarithm


@dataclass(frozen=True, slots=True)
class Plan:
    """How long it goes on, and how much mutates."""

    population: int
    generations: int
    mutation: float
    halve_every: int
    confidence: float
    early_stop: bool

    def rate(self, generation: int) -> float:
        """The rate of mutation: it halves every so many generations."""
        return self.mutation * 0.5 ** (generation // self.halve_every)


class Champions:
    """The surest individual of every class, from which children come, and the one with the largest margin.

    The surest picture of a class may be classified as another, where several classes share the confidence: then the one with
    the largest margin is the one to offer.
    """

    def __init__(self, logits: Tensor, rejects: bool) -> None:
        self.classes, self.rejects = logits.shape[1] - rejects, rejects
        self.worth = logits.new_full((2 * self.classes,), -torch.inf, dtype=torch.float64)
        self.logits = logits.new_zeros(2 * self.classes, logits.shape[1])
        self.individuals: list[Any] = [None] * (2 * self.classes)

    def offer(self, individuals: Sequence[Any], logits: Tensor) -> None:
        """Let every individual compete for every class."""
        worth = torch.cat([confidences(logits, self.rejects), margins(logits, self.rejects)], 1)
        best, place = worth.max(0)
        better = best > self.worth
        self.worth[better], self.logits[better] = best[better], logits[place[better]]
        for niche in better.nonzero()[:, 0].tolist():
            self.individuals[niche] = individuals[int(place[niche])]

    @property
    def confidence(self) -> Tensor:
        """(K,) the logarithm of the confidence in every class."""
        return self.worth[: self.classes]

    @property
    def reached(self) -> Tensor:
        """(K,) whether the model decides for the class of the surest individual."""
        label = torch.arange(self.classes, device=self.logits.device)
        return Goal(label, targeted=True, rejects=self.rejects).reached(self.logits[: self.classes])

    def best(self, label: int) -> Any:
        """The individual to offer for a class."""
        return self.individuals[label if bool(self.reached[label]) else self.classes + label]


class Evolution:
    """One population, and the images that it makes: one for each of the classes in `label`."""

    def __init__(self, victim: Victim, label: Tensor, rejects: bool, encoding: Encoding, plan: Plan) -> None:
        self.victim, self.label, self.rejects, self.encoding, self.plan = victim, label, rejects, encoding, plan
        self.found: list[Any] = [None] * len(label)
        self.curves = torch.zeros(len(label), plan.generations)
        self.open = torch.ones(len(label), dtype=torch.bool)

    def run(self, rng: SampleRNG) -> Recorded:
        """The best picture of every class that is asked for, its confidence by generation, and its genome."""
        champions = None
        for generation in range(self.plan.generations):
            owners = self._owners()
            if not len(owners):
                break
            children = self._children(champions, rng, generation, len(owners))
            logits = self.victim[owners](self.encoding.pictures(children).to(self.label.device))
            champions = champions or Champions(logits, self.rejects)
            champions.offer(children, logits)
            self._record(champions, generation)
        genomes = [self.encoding.genome(one) for one in self.found]
        return Recorded(self.encoding.pictures(self.found).to(self.label.device), self.curves, genomes)

    def _children(self, champions: Champions | None, rng: SampleRNG, generation: int, count: int) -> Sequence[Any]:
        if champions is None:
            return self.encoding.first(rng.fork("first"), count)
        own = rng.fork("generation", generation)
        drawn = own.fork("parent").copies(count)
        classes = drawn.below(torch.full_like(drawn.ids, champions.classes)).tolist()
        return self.encoding.mutated([champions.individuals[one] for one in classes], own, self.plan.rate(generation))

    def _owners(self) -> Tensor:
        """The image that pays for each child: the open ones in turn, as far as --max-queries lets them."""
        turns = self.open.nonzero()[:, 0]
        if not len(turns):
            return turns
        each = -(-self.plan.population // len(turns))
        owners = turns.repeat(each)[: self.plan.population]
        turn = torch.arange(each).repeat_interleave(len(turns))[: self.plan.population]
        return owners[turn < self.victim.left()[owners].to(turn.device)]

    def _record(self, champions: Champions, generation: int) -> None:
        """Take the champions for the open images; close those that are done."""
        confidence, reached = champions.confidence[self.label], champions.reached[self.label]
        done = reached & (confidence >= log(max(self.plan.confidence, TINY)))
        self.curves[self.open, generation:] = confidence.exp().float().cpu()[self.open, None]
        for row in self.open.nonzero()[:, 0].tolist():
            self.found[row] = champions.best(int(self.label[row]))
        if self.plan.early_stop:
            self.open &= ~done.cpu()


def confidences(logits: Tensor, rejects: bool) -> Tensor:
    """(N, K) the logarithm of every class's probability, minus a detector's excess."""
    scores, beyond = split(logits, rejects)
    found = scores.double().log_softmax(1)
    return found if beyond is None else found - beyond.double().clamp_min(0)[:, None]


def margins(logits: Tensor, rejects: bool) -> Tensor:
    """(N, K) the lead of every class over the next one, at most what a detector leaves."""
    scores, beyond = split(logits, rejects)
    top = scores.topk(2, 1).values
    found = scores - torch.where(scores == top[:, :1], top[:, 1:], top[:, :1])
    return (found if beyond is None else torch.minimum(found, -beyond[:, None])).double()

"""Fooling images by evolution: pictures that no one recognises, found by the confidence in a class alone.

MAP-Elites keeps the picture of highest confidence for every class; a child of one class's picture may become the best of
another. `direct`: pixels start as noise, and each changes by polynomial mutation with a rate that halves every --halve-every
generations. `cppn`: a network of sines, sigmoids, Gaussians and lines draws the picture from the position of each pixel; its
weights and its topology mutate, and `advcli export --size` draws it at any size. An image is done at --confidence.
"""

from dataclasses import replace
from typing import Annotated, Literal

import torch
from torch import Tensor

from advcli.catalog.params import Param
from advcli.catalog.registry import attack
from advcli.errors import CommandError
from advcli.numerics.rng import SampleRNG
from advcli.search.encodings import Encoding, Networks, Pixels
from advcli.search.goal import Goal
from advcli.search.map_elites import Evolution, Plan
from advcli.search.procedure import Recorded
from advcli.search.victim import Victim


@attack(family="fooling", kind="evolve", norms=("none",), access="scores", targeted="only", paper="arXiv:1412.1897")
def fool_evolve(
    victim: Victim,
    x: Tensor,
    goal: Goal,
    *,
    rng: SampleRNG,
    early_stop: bool,
    encoding: Annotated[Literal["direct", "cppn"], Param("What evolves: pixels, or a network that draws them.")] = "direct",
    population: Annotated[int, Param("Pictures in a generation, of all classes together.", low=1)] = 200,
    generations: Annotated[int, Param("Most generations; one evaluates the population once.", low=1)] = 200,
    mutation: Annotated[float, Param("Rate at which each pixel or weight mutates at first.", low=0, high=1)] = 0.1,
    halve_every: Annotated[int, Param("Generations after which the rate halves, each time.", low=1)] = 1000,
    strength: Annotated[float, Param("Strength of polynomial mutation: steps are shorter the larger it is.", low=0)] = 15.0,
    confidence: Annotated[float, Param("Stop at this probability of the target class.", low=0, high=1)] = 0.9999,
) -> Recorded:
    plan = Plan(population, generations, mutation, halve_every, confidence, early_stop)
    images, curves, genomes = x.clone(), torch.zeros(len(x), generations), [b""] * len(x)
    number = (rng.ids - goal.label).cpu()  # of the population: with --target all, one for every image of a class
    for own in torch.unique(number):
        rows = number == own
        evolution = Evolution(victim[rows], goal.label[rows], goal.rejects, _encoding(encoding, x[rows][0].cpu(), strength), plan)
        made = evolution.run(replace(rng, ids=own[None], turn=None))
        images[rows], curves[rows] = made.points.to(x), made.curves
        for row, genome in zip(rows.nonzero()[:, 0].tolist(), made.genomes, strict=True):
            genomes[row] = genome
    return Recorded(images, curves, genomes)


def _encoding(name: str, start: Tensor, strength: float) -> Encoding:
    shape = (start.shape[0], start.shape[1], start.shape[2])
    plain = bool((start == start.flatten()[0]).all())
    if name == "direct":
        return Pixels(shape, strength, start if plain else None)
    if plain:
        raise CommandError("--init: --encoding cppn starts from random networks, not from a colour; leave --init out")
    return Networks(shape, strength)

"""Compositional pattern-producing networks: a picture by hand, any size, any batch, and what is no genome."""

import math

import pytest
import torch

from advcli.numerics import cppn
from advcli.numerics.cppn import Node
from advcli.numerics.rng import SampleRNG
from advcli.search.encodings import Networks

BY_HAND = (
    Node("gaussian", (0, 3), (2.0, 0.5)),
    Node("sine", (4, 2), (-1.5, 3.0)),
    Node("sigmoid", (5, 1), (2.0, -1.0)),
    Node("abs", (4,), (1.0,)),
)


def evolved(shape, generations=12):
    """Networks of a population after some mutations of everybody."""
    networks, rng = Networks(shape, 15.0), SampleRNG(0, torch.tensor([3]))
    found = networks.first(rng, 20)
    for generation in range(generations):
        found = networks.mutated(found, rng.fork(generation), 0.5)
    return list(found)


def test_a_picture_is_worked_out_by_hand():
    """S2-A4: nodes sine, sigmoid, Gaussian, linear and abs of x, y, the distance to the centre and a bias."""
    picture = cppn.drawn([BY_HAND], (2, 4, 6))[0]
    for row in range(4):
        for column in range(6):
            x, y = (2 * column + 1) / 6 - 1, (2 * row + 1) / 4 - 1
            first = 2 * math.exp(-((2 * x + 0.5) ** 2)) - 1
            second = math.sin(-1.5 * first + 3 * math.hypot(x, y))
            third = 2 / (1 + math.exp(-(2 * second - y))) - 1
            for channel, value in enumerate((third, abs(first))):
                assert float(picture[channel, row, column]) == pytest.approx(min(1, max(0, (value + 1) / 2)), abs=1e-6)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 5, 9)])
def test_a_network_draws_the_same_picture_in_any_batch_and_at_any_size(shape):
    """S2-A4: rendering is deterministic, and the written genome gives the identical picture."""
    genomes, (channels, height, width) = evolved(shape), shape
    together = cppn.drawn(genomes, shape)
    alone = torch.cat([cppn.drawn([cppn.read(cppn.written(one), channels)], shape) for one in genomes])
    assert torch.equal(together, alone)
    assert together.flatten(1).std(1).gt(0.01).sum() > 10, "pictures, and not plain colours"
    large = cppn.drawn(genomes, (channels, 3 * height, 3 * width))
    torch.testing.assert_close(large[:, :, 1::3, 1::3], together, atol=1e-5, rtol=0)


def test_mutations_keep_networks_in_order_and_change_nearly_every_child():
    networks, rng = Networks((3, 4, 4), 15.0), SampleRNG(1, torch.tensor([0]))
    found = networks.first(rng, 30)
    for generation in range(60):
        children = networks.mutated(found, rng.fork(generation), 0.1)
        assert networks.mutated(found[:4], rng.fork(generation), 0.1) == children[:4], "a child does not depend on its neighbours"
        assert sum(child == parent for child, parent in zip(children, found, strict=True)) <= 8, "a weight may be at its limit"
        for child in children:
            assert cppn.read(cppn.written(child), 3) == child
            led_to = {source for node in child for source in node.sources}
            assert led_to >= set(range(cppn.INPUTS, cppn.INPUTS + len(child) - 3)), "every hidden node leads somewhere"
        found = children
    assert max(map(len, found)) > 5, "topology grows"
    assert {node.function for genome in found for node in genome} == set(cppn.FUNCTIONS)


@pytest.mark.parametrize(
    "text",
    [
        b"", b"{}", b"[]", b"[1]", b'[["sine"]]', b'[["tan",[]]]', b'[["sine",[[4,1.0]]]]', b'[["sine",[[-1,1.0]]]]',
        b'[["sine",[[0,1e999]]]]', b'[["sine",[[0,NaN]]]]', b'[["sine",[[true,1.0]]]]', b'[["sine",[[0]]]]', b'[[["sine"],[]]]',
        b'[["sine",[[0,"1"]]]]', b"[" * 100000, b'[' + b'["sine",[]],' * 64 + b'["sine",[]]]', b"\xff",
    ],
)  # fmt: skip
def test_what_is_no_genome_is_refused(text):
    with pytest.raises((ValueError, RecursionError)):
        cppn.read(text, 1)

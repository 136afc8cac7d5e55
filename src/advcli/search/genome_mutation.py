"""Mutation of a compositional pattern-producing network: its weights, its functions, its connections and its nodes.

Nodes are ordered, and connections lead from earlier to later ones, so that no mutation closes a circle. A connection is split
by a new node in its middle, as in NEAT (Stanley, Miikkulainen, Evolutionary Computation 10, 2002); nodes that lead to no
channel are removed.
"""

from collections.abc import Iterator

from advcli.numerics.cppn import FUNCTIONS, INPUTS, MOST_NODES, MOST_SOURCES, Genome, Node

RANGE = 1.0  # weights lie between minus this and this: larger ones draw finer patterns
DIGITS = 4  # of a weight: shorter JSON, and the same number when it is read
SPLIT, CONNECT, CUT, CHANGE = 0.1, 0.1, 0.05, 0.1  # the probabilities of the changes of topology
NAMES = tuple(FUNCTIONS)
FIRST = 0.5  # the probability that an input leads to an output node at first
FIRST_DRAWS = 1 + 2 * INPUTS  # for an output node
STRUCTURE_DRAWS = 16  # at most, for the changes of topology


class Draws:
    """The random numbers of one child: uniform ones, and steps of weights."""

    def __init__(self, chances: list[float], steps: list[float]) -> None:
        self._chances, self._steps = iter(chances), iter(steps)

    def hit(self, rate: float) -> bool:
        """True with this probability."""
        return next(self._chances) < rate

    def below(self, count: int) -> int:
        """A number below `count`."""
        return int(next(self._chances) * count)

    def weight(self, before: float) -> float:
        """A weight after polynomial mutation."""
        return _weight(before + next(self._steps) * 2 * RANGE)


def _weight(value: float) -> float:
    return round(min(RANGE, max(-RANGE, value)), DIGITS)


def draws_needed(genome: Genome) -> int:
    """The most numbers that a mutation of this network takes."""
    return sum(len(node.sources) for node in genome) + STRUCTURE_DRAWS


def random_genome(draws: Iterator[float], channels: int) -> Genome:
    """A network without hidden nodes: every channel is a function of all inputs."""
    found = []
    for _ in range(channels):
        function = NAMES[int(next(draws) * len(NAMES))]
        sources = tuple(one for one in range(INPUTS) if next(draws) < FIRST)
        weights = tuple(_weight((2 * next(draws) - 1) * RANGE) for _ in sources)
        found.append(Node(function, sources, weights))
    return tuple(found)


def mutated(genome: Genome, draws: Draws, channels: int, rate: float) -> Genome:
    """A child; where nothing else happens to change, one weight or function does."""
    found = _weights(genome, draws, rate)
    if draws.hit(SPLIT) and len(found) < MOST_NODES:
        found = _split(found, draws)
    if draws.hit(CONNECT):
        found = _connect(found, draws)
    if draws.hit(CUT):
        found = _cut(found, draws)
    if draws.hit(CHANGE):
        found = _change(found, draws)
    if found == genome:
        found = _one_weight(found, draws)
    return _useful(found, channels)


def _replaced(genome: Genome, place: int, node: Node) -> Genome:
    return (*genome[:place], node, *genome[place + 1 :])


def _connections(genome: Genome) -> list[tuple[int, int]]:
    """(node, which of its sources) of every connection."""
    return [(place, k) for place, node in enumerate(genome) for k in range(len(node.sources))]


def _weights(genome: Genome, draws: Draws, rate: float) -> Genome:
    return tuple(
        node._replace(weights=tuple(draws.weight(one) if draws.hit(rate) else one for one in node.weights)) for node in genome
    )


def _one_weight(genome: Genome, draws: Draws) -> Genome:
    """The network with one weight changed; one without connections gets one."""
    there = _connections(genome)
    if not there:
        return _connect(genome, draws)
    place, k = there[draws.below(len(there))]
    node = genome[place]
    weights = (*node.weights[:k], draws.weight(node.weights[k]), *node.weights[k + 1 :])
    return _replaced(genome, place, node._replace(weights=weights))


def _split(genome: Genome, draws: Draws) -> Genome:
    """A new node in the middle of a connection, with weight 1 before it and the old weight behind it."""
    there = _connections(genome)
    if not there:
        return genome
    place, k = there[draws.below(len(there))]
    node, new = genome[place], place + INPUTS
    added = Node(NAMES[draws.below(len(NAMES))], (node.sources[k],), (1.0,))

    def moved(one: Node) -> Node:
        return one._replace(sources=tuple(source + (source >= new) for source in one.sources))

    target = moved(node)
    target = target._replace(sources=(*target.sources[:k], new, *target.sources[k + 1 :]))
    return (*genome[:place], added, target, *map(moved, genome[place + 1 :]))


def _connect(genome: Genome, draws: Draws) -> Genome:
    """One more connection between two nodes that have none."""
    place = draws.below(len(genome))
    node, source = genome[place], draws.below(place + INPUTS)
    if source in node.sources or len(node.sources) == MOST_SOURCES:
        return genome
    return _replaced(genome, place, node._replace(sources=(*node.sources, source), weights=(*node.weights, draws.weight(0.0))))


def _cut(genome: Genome, draws: Draws) -> Genome:
    there = _connections(genome)
    if not there:
        return genome
    place, k = there[draws.below(len(there))]
    node = genome[place]
    left = Node(node.function, node.sources[:k] + node.sources[k + 1 :], node.weights[:k] + node.weights[k + 1 :])
    return _replaced(genome, place, left)


def _change(genome: Genome, draws: Draws) -> Genome:
    place = draws.below(len(genome))
    return _replaced(genome, place, genome[place]._replace(function=NAMES[draws.below(len(NAMES))]))


def _useful(genome: Genome, channels: int) -> Genome:
    """Without the nodes that lead to no channel."""
    used = set(range(len(genome) - channels, len(genome)))
    for place in reversed(range(len(genome))):
        if place in used:
            used |= {source - INPUTS for source in genome[place].sources if source >= INPUTS}
    places = {old: new for new, old in enumerate(sorted(used))}

    def moved(source: int) -> int:
        return source if source < INPUTS else places[source - INPUTS] + INPUTS

    return tuple(genome[old]._replace(sources=tuple(map(moved, genome[old].sources))) for old in places)

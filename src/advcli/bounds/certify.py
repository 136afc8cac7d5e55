"""A lower bound of the margin of every image: the logit of its class minus each other, for every image of the ball.

What is cheap comes first: intervals; a short attack, which leaves out what no bound will prove; CROWN with these intervals of
hidden layers; then with those of CROWN itself. The highest bound so far is kept, so that each method is at least as good as the
one before.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from advcli.bounds.counterexamples import search
from advcli.bounds.crown import Backward
from advcli.bounds.graph import Graph
from advcli.bounds.interval import Intervals, intervals
from advcli.bounds.reading import read
from advcli.bounds.refine import at_least, chunks, refined
from advcli.bounds.region import Region, ball
from advcli.bounds.rows import Rows
from advcli.bounds.slopes import optimized

METHODS = ("interval", "crown", "optimized")
STEPS = 20  # of optimized slopes, by default
MEMORY = 2**28  # bytes that the intervals of one chunk of images may take


def misread(graph: Graph, model: nn.Module, images: Tensor) -> bool:
    """True if the model's float32 answers to some images lie outside the bounds at these very images."""
    exact = images.double()
    box, logits = intervals(graph, exact, exact), model(images).double()
    return not bool(((logits >= box.low[-1]) & (logits <= box.high[-1])).all())


def certify(
    network: Graph | nn.Module,
    images: Tensor,
    labels: Tensor,
    eps: float,
    norm: str,
    method: str = "crown",
    iterations: int = STEPS,
    *,
    quick: bool = True,
) -> Tensor:
    """(N,) a lower bound of min over other classes of z_label - z_other within the ball; above 0 the decision is proved.

    The network is a classifier, read here (InputError names the layer that cannot be), or the graph that was read of it. An
    image that is proved by a cheaper method keeps its bound; with `quick`, so does one that no dearer method would prove.
    """
    graph = network if isinstance(network, Graph) else read(network)
    step = max(1, MEMORY // (8 * 6 * graph.size))
    found = [
        Cascade(graph, ball(images[k : k + step], eps, norm), labels[k : k + step]).margins(method, iterations, quick=quick)
        for k in range(0, len(images), step)
    ]
    return torch.cat(found) if found else torch.zeros(0, dtype=torch.float64)


class Cascade:
    """Some images, and for each other class the best lower bound of the lead over it: of z_label - z_other."""

    def __init__(self, graph: Graph, region: Region, labels: Tensor) -> None:
        self.graph, self.region, self.labels = graph, region, labels
        self.leads = torch.full((len(labels), graph.classes), -torch.inf, dtype=torch.float64, device=labels.device)
        self.leads.scatter_(1, labels[:, None], torch.inf)

    def margins(self, method: str, iterations: int, *, quick: bool) -> Tensor:
        """The smallest lead, by one method after the other, up to the given one."""
        box, left = intervals(self.graph, *self.region.box()), torch.arange(len(self.labels), device=self.labels.device)
        rows, owner, other = self._open(left)
        last = len(self.graph.nodes) - 1
        self._raise(left[owner], other, Backward(self.graph, box, self.region).lowest_of_tail(rows, last))
        if method != "interval":
            left = self._hopeful(left, method) if quick else left
            self._crown(left, box[left])
            if len(left := self._unproved(left)):
                self._crown(left, refined(self.graph, self.region[left]), iterations if method == "optimized" else 0)
        return self.leads.amin(1)

    def _hopeful(self, images: Tensor, method: str) -> Tensor:
        """The images that a short attack does not break, and that CROWN proves from the values that this attack saw."""
        images = self._unproved(images)
        if not len(images):
            return images
        found = search(self.graph, self.region[images], self.labels[images])
        stands = ~found.broken
        images, seen = images[stands], found.seen[stands]
        if method == "optimized":  # whose other lines may prove what CROWN does not
            return images
        hope, region = torch.ones_like(self.labels, dtype=torch.bool), self.region[images]
        for owner, _, bound in self._bounds(images, Backward(self.graph, at_least(self.graph, region, seen), region), 0):
            hope[owner[bound <= 0]] = False
        return images[hope[images]]

    def _unproved(self, images: Tensor) -> Tensor:
        return images[self.leads[images].amin(1) <= 0]

    def _crown(self, images: Tensor, box: Intervals, iterations: int = 0) -> None:
        """CROWN for some images; then, for the leads that it does not prove, so many steps of optimized slopes."""
        back = Backward(self.graph, box, self.region[images])
        for steps in (0, iterations) if iterations else (0,):
            for owner, other, bound in self._bounds(images, back, steps):
                self._raise(owner, other, bound)

    def _bounds(self, images: Tensor, back: Backward, steps: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """The images, the other classes and the bounds of their leads, for all that are open."""
        rows, place, other = self._open(images)
        last = len(self.graph.nodes) - 1
        for part in chunks(len(place), self.graph.largest):
            some = Rows(place[part], rows.weight[part])
            bound = optimized(back, some, last, steps) if steps else back.lowest(some, last, exact=True)
            yield images[place[part]], other[part], bound

    def _open(self, images: Tensor) -> tuple[Rows, Tensor, Tensor]:
        """A row z_label - z_other for every lead that is not proved; each with its place among the images."""
        owner, other = (self.leads[images] <= 0).nonzero(as_tuple=True)
        weight = torch.zeros(len(owner), self.graph.classes, dtype=torch.float64, device=owner.device)
        weight.scatter_(1, self.labels[images][owner][:, None], 1.0).scatter_(1, other[:, None], -1.0)
        return Rows(owner, weight), owner, other

    def _raise(self, owner: Tensor, other: Tensor, bounds: Tensor) -> None:
        self.leads[owner, other] = torch.maximum(self.leads[owner, other], bounds.nan_to_num(-torch.inf, posinf=-torch.inf))

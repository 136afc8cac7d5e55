"""The margin's lower bound of every image: of its class before each other, for every image of the ball.

What is cheap comes first: intervals, and only for the images that they do not prove what is dearer. A bound of one way is
never given up for that of another, so that each method is at least as good as the one before.
"""

import torch
from torch import Tensor, nn

from advcli.bounds.crown import Backward
from advcli.bounds.graph import Graph
from advcli.bounds.interval import intervals
from advcli.bounds.reading import read
from advcli.bounds.refine import chunks, refined
from advcli.bounds.region import Region, ball
from advcli.bounds.rows import Rows
from advcli.bounds.slopes import optimized

METHODS = ("interval", "crown", "optimized")
STEPS = 20  # of optimized slopes, where nobody says how many
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
) -> Tensor:
    """(N,) a lower bound of min over other classes of z_label - z_other within the ball; above 0 the decision is proved.

    The network is a classifier, read here (InputError names the layer that cannot be), or the graph that was read of it. An
    image that is proved by a cheaper method keeps the bound of that.
    """
    graph = network if isinstance(network, Graph) else read(network)
    step = max(1, MEMORY // (8 * 6 * graph.size))
    found = [
        Cascade(graph, ball(images[k : k + step], eps, norm), labels[k : k + step]).margins(method, iterations)
        for k in range(0, len(images), step)
    ]
    return torch.cat(found) if found else torch.zeros(0, dtype=torch.float64)


class Cascade:
    """Some images, and for each of the other classes what is known of the lead over it."""

    def __init__(self, graph: Graph, region: Region, labels: Tensor) -> None:
        self.graph, self.region, self.labels = graph, region, labels
        self.leads = torch.full((len(labels), graph.classes), -torch.inf, dtype=torch.float64, device=labels.device)
        self.leads.scatter_(1, labels[:, None], torch.inf)

    def margins(self, method: str, iterations: int) -> Tensor:
        """The smallest lead, by one method after the other as far as this one."""
        box = intervals(self.graph, *self.region.box())
        rows, owner, other = self._open(torch.ones_like(self.labels, dtype=torch.bool))
        self._raise(owner, other, Backward(self.graph, box, self.region).lowest_of_tail(rows, len(self.graph.nodes) - 1))
        if method != "interval":
            right = self.graph.forward(self.region.center).argmax(1) == self.labels
            images = (right & ~self.proved).nonzero()[:, 0]
            if len(images):
                self._crown(images, iterations if method == "optimized" else 0)
        return self.leads.amin(1)

    @property
    def proved(self) -> Tensor:
        return self.leads.amin(1) > 0

    def _crown(self, images: Tensor, iterations: int) -> None:
        """CROWN for some images, and for what it leaves open so many steps of its slopes."""
        region = self.region[images]
        back = Backward(self.graph, refined(self.graph, region), region)
        mask, place = torch.zeros_like(self.labels, dtype=torch.bool), torch.zeros_like(self.labels)
        mask[images], place[images] = True, torch.arange(len(images), device=images.device)
        last = len(self.graph.nodes) - 1
        for steps in (0, iterations) if iterations else (0,):
            rows, owner, other = self._open(mask)
            for part in chunks(len(owner), self.graph.largest):
                some = Rows(place[owner[part]], rows.weight[part])
                found = optimized(back, some, last, steps) if steps else back.lowest(some, last, exact=True)
                self._raise(owner[part], other[part], found)

    def _open(self, mask: Tensor) -> tuple[Rows, Tensor, Tensor]:
        """A row z_label - z_other for every lead that is not proved, of some images."""
        owner, other = ((self.leads <= 0) & mask[:, None]).nonzero(as_tuple=True)
        weight = torch.zeros(len(owner), self.graph.classes, dtype=torch.float64, device=owner.device)
        weight.scatter_(1, self.labels[owner][:, None], 1.0).scatter_(1, other[:, None], -1.0)
        return Rows(owner, weight), owner, other

    def _raise(self, owner: Tensor, other: Tensor, bounds: Tensor) -> None:
        self.leads[owner, other] = torch.maximum(self.leads[owner, other], bounds.nan_to_num(-torch.inf, posinf=-torch.inf))

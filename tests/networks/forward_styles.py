"""How people write `forward`: one small network of every common style, each an architecture of a user's own."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from advcli.extend import architecture

WIDTH = 4  # channels of the convolution that most of them begin with


class Network(nn.Module):
    """A convolution, a rectifier and maxima of two by two, before a linear layer; each style writes its own `forward`."""

    def __init__(self, shape: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        channels, height, width = shape
        self.conv = nn.Conv2d(channels, WIDTH, 3, padding=1)
        self.relu, self.pool = nn.ReLU(), nn.MaxPool2d(2)
        self.size = WIDTH * (height // 2) * (width // 2)
        self.fc = nn.Linear(self.size, classes)

    def maps(self, x: Tensor) -> Tensor:
        return self.pool(self.relu(self.conv(x)))


@architecture(family="own")
class viewing(Network):
    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.relu(self.conv(x)))
        return self.fc(x.view(x.size(0), -1))


@architecture(family="own")
class reshaping(Network):
    def forward(self, x: Tensor) -> Tensor:
        x = self.maps(x)
        return self.fc(x.reshape(x.shape[0], -1))


@architecture(family="own")
class flattening(Network):
    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.flatten(self.maps(x), 1))


@architecture(family="own")
class permuting(Network):
    """Channels last by hand; `contiguous().view`."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.maps(x).permute(0, 2, 3, 1)
        return self.fc(x.contiguous().view(x.size(0), -1))


@architecture(family="own")
class functional_calls(Network):
    """No layer is called; the view is one of a convolution's output."""

    def forward(self, x: Tensor) -> Tensor:
        x = functional.conv2d(x, self.conv.weight, self.conv.bias, padding=1)
        x = functional.max_pool2d(functional.relu(x), 2)
        return functional.linear(x.view(-1, self.size), self.fc.weight, self.fc.bias)


@architecture(family="own")
class sharing(Network):
    """One rectifier and one convolution at several places, and one weight under two names."""

    def __init__(self, shape: tuple[int, int, int], classes: int) -> None:
        super().__init__(shape, classes)
        self.again = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.head = nn.Linear(self.size, classes)
        self.head.weight = self.fc.weight

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.conv(x))
        x = self.pool(self.relu(self.again(self.relu(self.again(x)))))
        return self.fc(x.view(len(x), -1)) + self.head(x.view(len(x), -1))


@architecture(family="own")
class in_place(Network):
    """Rectifiers and sums that write over what they read."""

    def __init__(self, shape: tuple[int, int, int], classes: int) -> None:
        super().__init__(shape, classes)
        self.relu = nn.ReLU(inplace=True)
        self.again = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.conv(x))
        y = self.again(x)
        y += x
        y = functional.relu_(y)
        return self.fc(self.pool(y).view(len(y), -1))


@architecture(family="own")
class writing_on_its_input(Network):
    """Normalises the picture where it lies."""

    def forward(self, x: Tensor) -> Tensor:
        x.sub_(0.5).mul_(2)
        x[:, :, 0] = 0
        return self.fc(self.maps(x).view(len(x), -1))


@architecture(family="own")
class without_gradient(Network):
    """A frozen beginning under `no_grad`: nothing leads back to the picture."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            x = self.maps(x)
        return self.fc(x.view(x.size(0), -1))


@architecture(family="own")
class detaching(Network):
    """Asks for a gradient to a copy of its own, as networks do that show what they look at."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x.detach().clone().requires_grad_()
            return self.fc(self.maps(x).view(x.size(0), -1))


@architecture(family="own")
class tuple_output(Network):
    """Logits and features."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.maps(x).view(x.size(0), -1)
        return self.fc(x), x


@architecture(family="own")
class dict_output(Network):
    def forward(self, x: Tensor) -> dict[str, Any]:
        x = self.maps(x).view(x.size(0), -1)
        return {"features": x, "logits": self.fc(x), "loss": None}


@architecture(family="own")
class dict_of_one(Network):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"out": self.fc(self.maps(x).view(x.size(0), -1))}


@dataclass
class Output:
    """What a library for transformers returns."""

    logits: Tensor
    loss: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None


@architecture(family="own")
class object_output(Network):
    def forward(self, x: Tensor, labels: Tensor | None = None) -> Output:
        x = self.maps(x).view(x.size(0), -1)
        return Output(self.fc(x), hidden_states=(x,))


@architecture(family="own")
class dropping(Network):
    """torch's own dropouts, as layers and as a function."""

    def __init__(self, shape: tuple[int, int, int], classes: int) -> None:
        super().__init__(shape, classes)
        self.whole, self.single, self.alpha = nn.Dropout2d(0.2), nn.Dropout(0.3), nn.AlphaDropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.whole(self.maps(x)).view(x.size(0), -1)
        return self.fc(functional.dropout(self.alpha(self.single(x)), 0.1, training=self.training))


@architecture(family="own")
class batch_norms(Network):
    def __init__(self, shape: tuple[int, int, int], classes: int) -> None:
        super().__init__(shape, classes)
        self.norm, self.flat = nn.BatchNorm2d(WIDTH), nn.BatchNorm1d(self.size)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.relu(self.norm(self.conv(x))))
        return self.fc(self.flat(x.view(x.size(0), -1)))


@architecture(family="own")
class other_norms(Network):
    def __init__(self, shape: tuple[int, int, int], classes: int) -> None:
        super().__init__(shape, classes)
        self.group, self.instance = nn.GroupNorm(2, WIDTH), nn.InstanceNorm2d(WIDTH, affine=True)
        self.layer = nn.LayerNorm(self.size)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.relu(self.instance(self.group(self.conv(x)))))
        return self.fc(self.layer(x.view(x.size(0), -1)))


@architecture(family="own")
class attention(Network):
    """Every place looks at every other: views, `einsum`, `matmul`."""

    def __init__(self, shape: tuple[int, int, int], classes: int) -> None:
        super().__init__(shape, classes)
        self.queries, self.keys, self.values = (nn.Conv2d(WIDTH, WIDTH, 1) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.maps(x)
        n, c, h, w = x.size()
        query = self.queries(x).view(n, c, h * w)
        key = self.keys(x).view(n, c, h * w)
        value = self.values(x).view(n, c, h * w)
        share = torch.einsum("ncq,nck->nqk", query, key).div(c**0.5).softmax(-1)
        x = x + torch.matmul(value, share.transpose(1, 2)).view(n, c, h, w)
        return self.fc(x.view(n, -1))


@architecture(family="own")
class control_flow(Network):
    """Loops and branches that go by shapes, by modes, and by values."""

    def forward(self, x: Tensor) -> Tensor:
        if not isinstance(x, Tensor):  # whoever reads the network without running it comes by here
            return self.fc(self.relu(self.pool(x)))
        x = self.maps(x)
        for _ in range(x.dim() - 3):
            x = x * 1.5
        while float(x.detach().abs().amax()) > 100:
            x = x / 2
        x = torch.stack([one if bool(one.mean() > 0) else -one for one in x])
        if self.training and x.shape[0] > 1:
            x = x + 0.0
        return self.fc(x.view(x.size(0), -1))


@architecture(family="own")
class striding(Network):
    """Takes windows by `as_strided`, as if planes always lay whole."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.conv(x))
        n, c, h, w = x.size()
        x = x.as_strided((n, c, h // 2, w // 2, 2, 2), (x.stride(0), h * w, 2 * w, 2, w, 1))
        return self.fc(x.amax((4, 5)).as_strided((n, self.size), (self.size, 1)))


@architecture(family="own")
class asking_for_the_layout(Network):
    """Another answer for another layout."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return self.fc(self.pool(self.relu(x if x.is_contiguous() else 2 * x)).flatten(1))


@architecture(family="own")
class squeezing(nn.Module):
    """Drops every dimension of one, that of the batch too."""

    def __init__(self, shape: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(shape[0], 8, 3, padding=1)
        self.fc = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(functional.adaptive_avg_pool2d(self.conv(x).relu(), 1).squeeze())


@architecture(family="own")
class fully_convolutional(nn.Module):
    """Answers with pictures of one pixel: (N, K, 1, 1)."""

    def __init__(self, shape: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(shape[0], 8, 3, padding=1), nn.Conv2d(8, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(functional.adaptive_avg_pool2d(self.conv(x).relu(), 1))


@architecture(family="own")
def sequential(shape: tuple[int, int, int], classes: int, *, width: int = 4) -> nn.Module:
    """Nothing but layers of torch's."""
    channels, height, breadth = shape
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.2),
        nn.Flatten(),
        nn.Linear(width * (height // 2) * (breadth // 2), classes),
    )


@architecture(family="own")
class counting(Network):
    """Counts its calls, in a buffer and in an attribute, and keeps what it saw last."""

    calls: Tensor

    def __init__(self, shape: tuple[int, int, int], classes: int) -> None:
        super().__init__(shape, classes)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.seen, self.features = 0, None

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.seen += len(x)
        self.features = self.maps(x)
        return self.fc(self.features.view(x.size(0), -1))


class Doubled(torch.autograd.Function):
    """2 x, with a gradient that is taken row by row."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return (2 * slope.view(len(slope), -1)).view(slope.shape)


@architecture(family="own")
class own_gradient(Network):
    """Its forward pass minds no layout; its backward pass does."""

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.pool(Doubled.apply(self.conv(x)).relu()).flatten(1))


@architecture(family="own")
class lazy(nn.Module):
    """Layers that learn their sizes from the first picture."""

    def __init__(self, shape: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        self.conv, self.fc = nn.LazyConv2d(WIDTH, 3), nn.LazyLinear(classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x).relu()
        return self.fc(x.view(x.size(0), -1))


@architecture(family="own")
class measuring(nn.Module):
    """Finds its sizes by a picture of its own, and has weights behind a parametrization."""

    def __init__(self, shape: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        self.conv = nn.utils.parametrizations.weight_norm(nn.Conv2d(shape[0], WIDTH, 3))
        size = int(self.conv(torch.ones(1, *shape)).abs().sum() > -1) * self.conv(torch.zeros(1, *shape)).numel()
        self.fc = nn.utils.parametrizations.spectral_norm(nn.Linear(size, classes))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x).relu()
        return self.fc(x.view(x.size(0), -1))


@architecture(family="own")
class row_by_row(nn.Module):
    """A recurrent network over the rows of the picture."""

    def __init__(self, shape: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        channels, _, width = shape
        self.cells = nn.GRU(channels * width, 16, batch_first=True)
        self.fc = nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        rows, _ = self.cells(x.transpose(1, 2).reshape(n, h, c * w))
        return self.fc(rows[:, -1])


@architecture(family="own")
class in_double(Network):
    """Computes in float64 and says so."""

    def __init__(self, shape: tuple[int, int, int], classes: int) -> None:
        super().__init__(shape, classes)
        self.fc = self.fc.double()

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.maps(x).double().view(x.size(0), -1))

"""What is read of a network computes what the network computes; what cannot be read is refused by its name."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from advcli.bounds.certify import misread
from advcli.bounds.reader import Reader
from advcli.bounds.reading import Unreadable, read
from advcli.catalog import discovery
from advcli.errors import InputError
from advcli.networks import architecture
from advcli.networks.classifier import Classifier
from advcli.networks.filtered import Filtered
from advcli.networks.memory_format import optimize_for
from bounds_networks import CLASSES, KINDS, SHAPE, certify, classifier, images

OWN = {
    "mlp": ((1, 8, 8), {}), "softmax": ((1, 8, 8), {}), "cnn": ((1, 12, 12), {"width": 4}), "lenet": ((1, 28, 28), {}),
    "lenet-pool": ((1, 10, 10), {}), "resnet18": ((3, 16, 16), {"width": 4}), "wrn-10-2": ((3, 16, 16), {}),
    "googlenet-small": ((3, 16, 16), {"width": 0.125}),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_is_read_as_it_computes(kind):
    model, x = classifier(kind), images(7)
    graph = read(model)
    assert torch.allclose(graph.forward(x), model(x).double(), atol=1e-5)
    assert not misread(graph, model, x)


@pytest.mark.parametrize("name", OWN)
def test_our_own_architectures_are_read_as_they_are_laid_out(name):
    shape, given = OWN[name]
    network = architecture.network(discovery.spec("architecture", name).bind(given), shape, 3)
    mean = [0.3] * shape[0]
    model = optimize_for(Classifier(network, mean, mean, shape=shape, classes=3).eval(), torch.device("cpu"))
    x = torch.rand(9, *shape, generator=torch.Generator().manual_seed(1))
    graph = read(model)
    with torch.no_grad():
        assert torch.allclose(graph.forward(x), model(x).double(), atol=1e-4)


def test_another_network_than_the_one_that_was_read_is_noticed():
    graph, other = read(classifier("conv", 0)), classifier("conv", 1)
    assert misread(graph, other, images(2))
    almost = classifier("conv", 0)
    with torch.no_grad():
        almost.network[-1].bias += 1e-3
    assert misread(graph, almost, images(2))


class Branching(nn.Module):
    """Answers otherwise where the image is bright."""

    def forward(self, x):
        return x.flatten(1)[:, :4] if x.sum() > 9 else -x.flatten(1)[:, :4]


class Leaving(nn.Module):
    """Leaves torch on the way."""

    def forward(self, x):
        return torch.from_numpy(x.detach().numpy().copy()).flatten(1)[:, :4]


class Silent(nn.Module):
    """Looks at no pixel."""

    def forward(self, x):
        return torch.zeros(len(x), 4)


class Normed(nn.Module):
    """Takes means over the batch."""

    def forward(self, x):
        return (x - x.mean(0, keepdim=True)).flatten(1)[:, :4]


class Squared(nn.Module):
    """Multiplies what depends on the image by what depends on it."""

    def forward(self, x):
        return (x * x).flatten(1)[:, :4]


def linear():
    return nn.Flatten(), nn.Linear(72, 4)


@pytest.mark.parametrize(
    ("network", "named"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(72, 4), nn.GELU()), r"no bounds for torch\.nn\.GELU \(layer 2\)"),
        (nn.Sequential(*linear(), nn.Softmax(1)), r"torch\.nn\.Softmax \(layer 2\)"),
        (nn.Sequential(nn.Conv2d(2, 2, 3), nn.LocalResponseNorm(2), nn.Flatten(), nn.Linear(32, 4)), "LocalResponseNorm"),
        (nn.Sequential(nn.ReplicationPad2d(1), nn.Flatten(), nn.Linear(128, 4)), "ReplicationPad2d"),
        (nn.Sequential(nn.LayerNorm([2, 6, 6]), *linear()), "LayerNorm"),
        (nn.Sequential(nn.BatchNorm2d(2, track_running_stats=False), *linear()), "BatchNorm2d"),
        (nn.Sequential(*linear(), nn.LeakyReLU(-0.5)), "LeakyReLU"),
        (nn.Sequential(nn.AvgPool2d(3, 2, 1, count_include_pad=False), nn.Flatten(), nn.Linear(18, 4)), "AvgPool2d"),
        (Squared(), "no bounds for mul"),
        (Normed(), "no bounds for mean"),
        (Branching(), "cannot read"),
        (Leaving(), "cannot read"),
        (Silent(), "does not depend on the image"),
        (nn.Sequential(*linear()).double(), "not float32"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named(network, named, capfd):
    model = Classifier(network, [0.0, 0.0], [1.0, 1.0], shape=(2, 6, 6), classes=4)
    with pytest.raises(InputError, match=named) as error:
        read(model)
    assert len(str(error.value).splitlines()) == 1
    assert capfd.readouterr() == ("", "")


def test_a_defense_around_a_network_is_not_passed_over():
    with pytest.raises(InputError, match="behind a defense"):
        read(Filtered(classifier("mlp"), lambda x: x.round()))


def test_a_hardtanh_without_ends_is_between_minus_one_and_one():
    """The ends that a record leaves out are torch's."""
    torch.manual_seed(1)
    net = nn.Sequential(nn.Flatten(), nn.Linear(72, 12), nn.Hardtanh(), nn.Linear(12, CLASSES))
    with torch.no_grad():
        net[1].weight *= 20
    model, x = Classifier(net, [0.0] * 2, [1.0] * 2, shape=SHAPE, classes=CLASSES).eval().requires_grad_(False), images(6)
    labels = model(x).argmax(1)
    logits = model(x)
    gap = logits.gather(1, labels[:, None])[:, 0] - logits.scatter(1, labels[:, None], -torch.inf).amax(1)
    assert (net[1](x.flatten(1)) > 1.5).any()
    torch.testing.assert_close(certify(read(model), x, labels, 1e-7, "linf").float(), gap, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("shape", [(2,), (3, 4), ()])
def test_a_shape_without_the_images_of_the_record_is_not_read(shape):
    node = SimpleNamespace(meta={"val": torch.zeros(shape)})
    with pytest.raises(Unreadable):
        Reader.shape(SimpleNamespace(count=2), node)

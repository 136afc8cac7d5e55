"""The faster copy that an attack searches through: it answers as the model does, or is not used; it never decides."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from advcli.catalog import discovery
from advcli.networks.classifier import Classifier, Dropout
from advcli.networks.fast_copy import Grey, fast_copy, fold_norms
from advcli.networks.memory_format import TwoStepMaxPool, optimize_for, pool_before_relu, two_step_max_pool
from advcli.numerics.quantities import budgets
from advcli.numerics.rng import SampleRNG
from advcli.search.batch import craft
from advcli.search.best import Best
from advcli.search.goal import Goal
from advcli.search.job import Job
from advcli.search.victim import Tally, Victim
from conftest import Halfspace, attacked, in_memory, near_the_plane

DRAWS = SampleRNG(0, torch.arange(6))
NETWORKS = [
    ("cnn", (1, 28, 28), {}),
    ("cnn", (3, 12, 20), {}),
    ("lenet", (1, 28, 28), {}),
    ("cleverhans-basic", (1, 28, 28), {}),
    ("resnet18", (3, 32, 32), {"width": 4}),
    ("resnet18", (1, 28, 28), {"width": 4}),
    ("wrn-10-2", (3, 12, 20), {}),
    ("googlenet-small", (3, 32, 32), {"width": 0.25}),
]


def pictures(shape: tuple[int, ...], count: int = 6) -> Tensor:
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(7))


def classifier(network: nn.Module, shape: tuple[int, ...], classes: int) -> Classifier:
    """A network with norms that do something, behind a normalisation."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        for one in network.modules():
            if isinstance(one, nn.BatchNorm2d):
                one.running_mean.normal_(0, 0.2)
                one.running_var.uniform_(0.5, 2)
                nn.init.uniform_(one.weight, 0.5, 1.5)
                nn.init.normal_(one.bias, 0, 0.2)
    mean, std = [0.4] * shape[0], [0.3] * shape[0]
    return Classifier(network, mean, std, shape=shape, classes=classes).eval().requires_grad_(False)


def built(name: str, shape: tuple[int, ...], options: dict) -> Classifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        return classifier(discovery.spec("architecture", name).bind(options)(shape, 10), shape, 10)


def slope(model: nn.Module, x: Tensor, draws: SampleRNG | None = None) -> Tensor:
    point = x.clone().requires_grad_()
    return torch.autograd.grad(model(point, draws).logsumexp(1).sum(), point)[0]


def test_a_rectifier_behind_the_maximum_changes_no_bit():
    model, x = built("cnn", (1, 28, 28), {}), pictures((1, 28, 28))
    other = copy.deepcopy(model)
    pool_before_relu(other.network)
    assert [type(one) for one in other.network][1:3] == [nn.MaxPool2d, nn.ReLU]
    assert torch.equal(model(x), other(x))
    torch.testing.assert_close(slope(model, x), slope(other, x), atol=0, rtol=0)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 12, 20), (1, 30, 26), (1, 9, 13)])
def test_maxima_in_two_steps_change_no_bit(shape):
    x = pictures((5, *shape[1:]), 20) - 0.5
    for given in (x, x.contiguous(memory_format=torch.channels_last)):
        with torch.no_grad():
            assert torch.equal(TwoStepMaxPool(nn.MaxPool2d(2))(given), nn.functional.max_pool2d(given, 2))
    network = nn.Sequential(nn.MaxPool2d(2), nn.MaxPool2d(2, 2, 1), nn.MaxPool2d(3, 2), nn.MaxPool2d(2, 1))
    two_step_max_pool(network)
    assert [type(one) for one in network] == [TwoStepMaxPool, *[nn.MaxPool2d] * 3]


@pytest.mark.parametrize(("name", "shape", "options"), NETWORKS)
def test_a_model_in_its_place_answers_as_before_and_has_the_same_weights(name, shape, options):
    model, x = built(name, shape, options), pictures(shape)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    other = optimize_for(copy.deepcopy(model), torch.device("cpu"))
    assert other.layout == torch.channels_last
    assert other.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in other.state_dict().items())
    torch.testing.assert_close(model(x), other(x), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(slope(model, x), slope(other, x), atol=1e-4, rtol=1e-2)


@pytest.mark.parametrize(("name", "shape", "options"), NETWORKS)
def test_the_copy_is_the_same_function(name, shape, options):
    model, x = built(name, shape, options), pictures(shape)
    before = copy.deepcopy(model.state_dict())
    layers = [type(one) for one in model.modules()]
    made = fast_copy(model, x, DRAWS)
    assert made is not model
    torch.testing.assert_close(made(x), model(x), atol=1e-5, rtol=1e-5)
    wanted = slope(model, x)
    assert (slope(made, x) - wanted).norm() < 0.02 * wanted.norm()
    assert [type(one) for one in model.modules()] == layers
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize(("mode", "tracked"), [(True, True), (False, False)])
def test_a_norm_of_the_batchs_own_statistics_is_not_folded(mode, tracked):
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2, track_running_stats=tracked)).train(mode)
    fold_norms(net)
    assert isinstance(net[1], nn.BatchNorm2d)
    assert isinstance(net[0], nn.Conv2d)


def test_what_is_folded_and_moved():
    net = fast_copy(built("resnet18", (3, 32, 32), {"width": 4}), pictures((3, 32, 32)), DRAWS)
    assert not any(isinstance(one, nn.BatchNorm2d) for one in net.modules())
    assert next(one for one in net.modules() if isinstance(one, nn.Conv2d)).weight.is_contiguous(
        memory_format=torch.channels_last
    )
    grey = fast_copy(built("cnn", (1, 28, 28), {}), pictures((1, 28, 28)), DRAWS)
    order = [type(one) for one in grey.modules() if isinstance(one, Grey | nn.ReLU | nn.MaxPool2d)]
    assert order == [Grey, nn.MaxPool2d, nn.ReLU, nn.MaxPool2d, nn.ReLU, nn.ReLU]


@pytest.mark.parametrize(("stride", "padding", "kernel"), [(1, 1, 3), (2, 0, 3), (2, 3, 8), (1, 0, 1), (3, 2, 5)])
def test_the_gradient_of_a_grey_convolution_is_exact(stride, padding, kernel):
    conv = nn.Conv2d(1, 5, kernel, stride, padding).double()
    x = pictures((1, 7, 9), 2).double().requires_grad_()
    assert torch.autograd.gradcheck(Grey(conv.requires_grad_(False)), x)


class Twice(nn.Module):
    """Convolutions that something else sees too, and a norm behind two of them: nothing here may be folded or moved."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(3, 4, 3) for _ in range(3))
        self.p, self.q, self.r, self.s = (nn.BatchNorm2d(4) for _ in range(4))
        self.pool, self.relu = nn.MaxPool2d(2), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        a, b, c = self.a(x), self.b(x), self.c(x)
        found = self.p(a) + self.q(a) + self.r(b) + self.s(c) * self.s(b + c)
        return self.pool(self.relu(found)).sum((2, 3)) + self.relu(b).mean((2, 3))


class Branching(nn.Module):
    """What it does depends on the values."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        found = self.norm(self.conv(x)).mean((2, 3))
        return found * 2 if found.sum() > 0 else found


@pytest.mark.parametrize("network", [Twice, Branching])
def test_a_network_that_cannot_be_rearranged_is_only_laid_out_anew(network):
    model, x = classifier(network(), (3, 8, 8), 4), pictures((3, 8, 8))
    made = fast_copy(model, x, DRAWS)
    assert made is not model
    assert sum(isinstance(one, nn.BatchNorm2d) for one in made.modules()) > 0
    torch.testing.assert_close(made(x), model(x))


def test_a_layer_that_may_drop_stands_between_its_neighbours():
    made = fast_copy(classifier(nn.Sequential(nn.Conv2d(3, 4, 3), Dropout(0.5), nn.BatchNorm2d(4), nn.Flatten()), (3, 8, 8), 144),
                 pictures((3, 8, 8)), DRAWS)  # fmt: skip
    assert any(isinstance(one, nn.BatchNorm2d) for one in made.modules())


class Viewing(nn.Module):
    """A view that only holds with whole planes side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).view(len(x), -1)


class Peeking(Viewing):
    """Another answer for another layout."""

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).flatten(1) * (1 if x.is_contiguous() else 1.01)


@pytest.mark.parametrize("network", [Viewing, Peeking])
def test_a_copy_that_fails_or_differs_is_not_used(network):
    model = classifier(network(), (3, 8, 8), 144)
    assert fast_copy(model, pictures((3, 8, 8)), DRAWS) is model


def test_gradients_are_only_tried_where_they_are_asked_for():
    class Closed(Viewing):
        def forward(self, x):
            assert not torch.is_grad_enabled(), "asked for a gradient"
            return self.conv(x).flatten(1)

    model = classifier(Closed(), (3, 8, 8), 144)
    assert fast_copy(model, pictures((3, 8, 8)), DRAWS, gradients=False) is not model


def test_dropout_that_votes_goes_on_dropping_in_the_copy():
    network = built("cnn", (1, 28, 28), {})
    model = discovery.spec("defense", "dropout-vote").bind({"passes": 20, "rate": 0.4})(network).eval().requires_grad_(False)
    x = pictures((1, 28, 28))
    made = fast_copy(model, x, DRAWS, gradients=False)
    assert made is not model
    torch.testing.assert_close(made(x, DRAWS), model(x, DRAWS), atol=1e-4, rtol=1e-4)
    dropped = [made.one_pass(x, DRAWS.fork(k)) for k in range(2)]
    assert not torch.equal(*dropped)
    assert not any(layer.training for layer in made.modules() if isinstance(layer, Dropout))


def job(model: nn.Module, eps: str, **settings) -> Job:
    options = {"steps": 12, "step_size": "0.03333", "random_start": False}
    bound = discovery.spec("attack", "pgd").bind(options)
    return Job(model.eval(), bound, "linf", budgets(eps), None, "true", 0, torch.device("cpu"), **settings)


class Shifted(Halfspace):
    """A half-space whose scores stand on ten, so that a little of them is much of what is beyond the plane."""

    def __init__(self, shift: float) -> None:
        super().__init__()
        self.shift = shift

    def forward(self, x: Tensor, draws: SampleRNG | None = None) -> Tensor:
        return 10 + super().forward(x) + torch.tensor([-self.shift, self.shift])


def test_a_copy_that_lies_wins_nothing():
    x = near_the_plane()
    model = Halfspace().requires_grad_(False)
    lying = Shifted(-1e3 if model(x[:1]).argmax() else 1e3).requires_grad_(False)
    data = in_memory(x, model(x).argmax(1), 2)
    made = craft(job(model, "0.00001", search=lying), data, 0, len(x))
    assert not made["success"].any()


def test_what_only_looked_like_a_success_to_the_search_goes_back_to_work():
    """The picture crosses the plane by less than the copy errs: the verdict refuses it, and full strength goes on."""
    model = Shifted(0.0).requires_grad_(False)
    along = model.w.sign().view(1, 3, 2, 2)
    reach = 0.03333 * model.w.abs().sum()
    x = 0.5 - along * (3 * reach + 3e-4) / model.w.abs().sum()  # three steps lead to just before the plane
    label = torch.zeros(1, dtype=torch.int64)
    data = in_memory(x, label, 2)
    assert model(x).argmax(1) == label
    eager = craft(job(model, "0.2", search=Shifted(6e-4).requires_grad_(False)), data, 0, 1)
    assert eager["success"].all()
    plain = craft(job(model, "0.2"), data, 0, 1)
    assert plain["gradients"][0] < eager["gradients"][0], "three steps for the copy, then twelve"


def test_half_precision_is_finished_in_full():
    class Robust(Halfspace):
        halves: list[bool] = []  # noqa: RUF012

        def forward(self, x, draws=None):
            if torch.is_grad_enabled() and x.requires_grad:
                self.halves.append(torch.is_autocast_enabled("cpu"))
            return super().forward(x)

    x = near_the_plane()
    model = Robust().requires_grad_(False)
    attacked("pgd", model, x, model(x).argmax(1), "0.00001", options={"steps": 4}, half=True)
    assert model.halves == [True] * 4 + [False] * 4


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 1.0])
def test_the_way_back_is_spared_for_those_that_are_done(share):
    model, x = built("cnn", (1, 28, 28), {}), pictures((1, 28, 28), 10)
    label, seen = torch.zeros(10, dtype=torch.int64), []
    model.register_forward_hook(lambda *call: seen.append(len(call[2])))
    victim, goal = Victim(model, Tally(10), torch.arange(10), None), Goal(label)
    over = torch.arange(10) < 10 * share
    wanted, logits = victim.gradient(x, goal.loss("xent"))
    found, same = victim.gradient(x, goal.loss("xent"), lambda z: over)
    assert torch.equal(same, logits)
    torch.testing.assert_close(found[~over], wanted[~over], atol=1e-7, rtol=1e-4)
    assert (found[over] == 0).all() == (share > 0.5 or not share)
    assert seen == {0.0: [10, 10], 0.3: [10, 10], 0.6: [10, 10, 4], 1.0: [10, 10]}[share]
    assert victim.tally.gradients.tolist() == [2] * 10, "what was asked, whoever else is in the batch"


def test_nothing_is_spared_at_full_strength_or_of_random_models():
    x, goal = near_the_plane(), Goal(torch.zeros(6, dtype=torch.int64))
    assert Best(x, goal, early_stop=False).done(goal) is None
    model = Halfspace().requires_grad_(False)
    victim = Victim(model, Tally(6), torch.arange(6), DRAWS)
    wanted, _ = victim.gradient(x, goal.loss("xent"))
    for other in (victim, replace(victim, draws=None, eot=3)):
        found, _ = other.gradient(x, goal.loss("xent"), lambda z: torch.ones(6, dtype=torch.bool))
        torch.testing.assert_close(found, wanted)


def test_the_command_searches_through_a_copy_and_writes_the_same_bytes_twice(run, model):
    arguments = ("attack", "--method", "pgd", "--limit", "40", "--eps", "0.15", "--steps", "5")
    assert run(*arguments, "-o", "a.h5").code == 0
    assert run(*arguments, "-o", "b.h5").code == 0
    with open("a.h5", "rb") as a, open("b.h5", "rb") as b:
        assert a.read() == b.read()
    assert run("verify", "a.h5").code == 0


def test_an_attack_through_the_copy_is_as_strong(small_model):
    from advcli.catalog.requests import AttackRequest
    from advcli.crafting import resolve
    from advcli.networks import model_file
    from advcli.runtime.reporter import SILENT
    from advcli.workspace import inputs

    asked = AttackRequest(method="pgd", device="cpu", limit=100, eps="0.1")
    file = model_file.read(small_model)
    data = inputs.data_of(file, None, None, asked)
    settings = {"steps": 10, "step_size": "eps/5"}
    made = resolve.resolve(file, data, discovery.spec("attack", "pgd").bind(settings), asked, SILENT)
    assert made.job.search is not made.job.model
    through, plain = (craft(one, data, 0, 100)["success"] for one in (made.job, replace(made.job, search=None)))
    assert 0 < plain.mean() < 1
    assert np.abs(through.astype(int) - plain).sum() <= 1

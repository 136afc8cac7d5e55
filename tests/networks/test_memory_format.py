"""A model is laid out for its machine where its network does not mind, and left as it was written where it does."""

import copy
import threading

import forward_styles
import pytest
import torch
from torch import Tensor, nn

from advcli.errors import InputError
from advcli.networks import trial_run
from advcli.networks.classifier import Classifier, Dropout
from advcli.networks.logits import logits_of, side_heads
from advcli.networks.memory_format import TwoStepMaxPool, optimize_for
from advcli.numerics.rng import SampleRNG

CPU = torch.device("cpu")
SHAPE = (3, 8, 8)
MIND = ("viewing", "functional_calls", "sharing", "in_place", "batch_norms", "attention", "striding", "asking_for_the_layout",
        "own_gradient", "counting", "tuple_output", "object_output")  # fmt: skip
DO_NOT = ("reshaping", "flattening", "permuting", "squeezing", "fully_convolutional", "sequential", "control_flow")


def pictures(count: int = 12) -> Tensor:
    return torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(7))


def styled(name: str) -> Classifier:
    return classifier(getattr(forward_styles, name)(SHAPE, 10))


def classifier(network: nn.Module) -> Classifier:
    return Classifier(network, [0.4] * 3, [0.3] * 3, shape=SHAPE, classes=10).eval().requires_grad_(False)


def slope(model: nn.Module, x: Tensor) -> Tensor:
    point = x.clone().requires_grad_()
    return torch.autograd.grad(model(point).logsumexp(1).sum(), point)[0]


@pytest.mark.parametrize("style", MIND)
def test_a_network_that_minds_is_left_as_it_was_written(style):
    """To the bit: other rounding would mean another layout."""
    model, x = styled(style), pictures()
    other = optimize_for(copy.deepcopy(model), CPU)
    assert other.layout == torch.contiguous_format
    assert not any(isinstance(one, TwoStepMaxPool) for one in other.modules())
    assert torch.equal(model(x), other(x))
    assert torch.equal(slope(model, x), slope(other, x))


@pytest.mark.parametrize("style", DO_NOT)
def test_one_that_does_not_mind_is_laid_out(style):
    model, x = styled(style), pictures()
    other = optimize_for(copy.deepcopy(model), CPU)
    assert other.layout == torch.channels_last
    torch.testing.assert_close(model(x), other(x), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(slope(model, x), slope(other, x), atol=1e-4, rtol=1e-2)


class Hidden(nn.Module):
    """Whoever reads it without running it sees a rectifier before the maximum; there is none."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu, self.pool = nn.Conv2d(3, 10, 3), nn.ReLU(), nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        if not isinstance(x, Tensor):
            return self.pool(self.relu(self.conv(x)))
        x = self.conv(x)
        return self.pool(x).mean((2, 3)) - self.relu(x).mean((2, 3))


def test_layers_change_places_only_where_the_answers_stay():
    model, x = classifier(Hidden()), pictures()
    assert torch.equal(optimize_for(copy.deepcopy(model), CPU)(x), model(x))


def test_trying_a_layout_leaves_no_trace():
    model, state = styled("counting"), torch.get_rng_state()
    before = copy.deepcopy(model.state_dict())
    optimize_for(model, CPU)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert (model.network.seen, model.network.features) == (0, None)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_network_that_cannot_be_copied_is_left_as_it_was_written():
    model = styled("reshaping")
    model.network.lock = threading.Lock()
    assert optimize_for(model, CPU).layout == torch.contiguous_format
    assert model(pictures()).shape == (12, 10)


def test_a_network_that_draws_in_evaluation_is_refused():
    """S1-T0: evaluation draws nothing."""

    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(192, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(x.flatten(1)) + 0 * torch.rand(10)

    with pytest.raises(InputError, match="draws random numbers"):
        optimize_for(classifier(Noisy()), CPU)


@pytest.mark.parametrize("over_the_batch", [lambda x: x / x.std(), nn.BatchNorm2d(3, track_running_stats=False),
                                            lambda x: x - x.mean(0), lambda x: x.flip(0)])  # fmt: skip
def test_a_network_whose_answers_hang_on_the_batch_is_refused(over_the_batch):
    class Mixing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(192, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(over_the_batch(x).flatten(1))

    with pytest.raises(InputError, match="depends on the other images of its batch"):
        optimize_for(classifier(Mixing()), CPU)


@pytest.mark.parametrize("size", [(6, 4), (4, 6), (8, 8), (5, 6)])
def test_maxima_in_two_steps_lie_as_torchs_do(size):
    x, pool = torch.rand(9, 5, *size), nn.MaxPool2d(2)
    for given in (x, x.contiguous(memory_format=torch.channels_last)):
        with torch.no_grad():
            assert TwoStepMaxPool(pool)(given).stride() == pool(given).stride()


def test_gradients_are_compared_too():
    x, logits = pictures(), torch.rand(12, 10)
    near, far = torch.ones_like(x), 1.2 * torch.ones_like(x)
    assert trial_run.agree((logits, near), (logits * (1 + 1e-5), 1.05 * near))
    assert not trial_run.agree((logits, near), (logits, far))
    assert not trial_run.agree((logits, near), (logits * (1 + 1e-3), near))
    assert not trial_run.agree((logits, torch.zeros_like(x)), (logits, near))
    assert trial_run.agree((logits, torch.zeros_like(x)), (logits, torch.zeros_like(x)))


def test_log_probabilities_have_a_gradient_in_the_trial():
    model = classifier(nn.Sequential(nn.Flatten(), nn.Linear(192, 10), nn.LogSoftmax(1)))
    _, found = trial_run.answers(model, pictures(), None, trial_run.weighted_logits)
    assert found.norm() > 1e-2


def test_a_network_that_writes_on_its_input_leaves_the_pictures_alone():
    model = styled("writing_on_its_input")
    plain = Classifier(model.network, [0.0] * 3, [1.0] * 3, shape=SHAPE, classes=10)
    for mode in (True, False):
        x = pictures()
        plain.train(mode)
        first = plain(x)
        assert torch.equal(plain(x), first)
        assert torch.equal(x, pictures())
        assert slope(plain, x).norm() > 0


def test_a_layer_that_stands_twice_drops_otherwise_each_time_and_planes_as_a_whole():
    x, rng = torch.ones(4, 6, 5, 5), SampleRNG(0, torch.arange(4))
    layer = Dropout(0.5, whole="plane").train()
    layer.draws = rng
    first, second = layer(x), layer(x)
    assert set(first.flatten(2).amax(2).flatten().tolist()) == {0.0, 2.0}
    assert torch.equal(first.amax((2, 3)), first.amin((2, 3)))
    assert not torch.equal(first, second)


def test_logits_are_found_in_what_a_network_answers():
    logits, others = torch.rand(3, 10), torch.rand(3, 10)
    for found in (logits, (logits, others), [logits], {"logits": logits, "x": others}, {"y": logits, "n": 3}):
        assert torch.equal(logits_of(found, 3, 10), logits)
    assert torch.equal(logits_of(logits[:, :, None, None], 3, 10), logits)
    assert torch.equal(logits_of(logits[0], 1, 10), logits[:1])
    assert logits_of(logits.double(), 3, 10).dtype == torch.float32
    assert logits_of(logits.bfloat16(), 3, 10).dtype == torch.bfloat16
    for wrong in (logits.T, logits.flatten(), logits[:, :9], {}, [], None):
        with pytest.raises(InputError):
            logits_of(wrong, 3, 10)
    assert side_heads({"logits": logits, "aux_logits": others, "auxiliary": None}, 10)[0] is others
    assert side_heads((logits, others), 10) == side_heads({"aux": torch.rand(3, 7)}, 10) == []

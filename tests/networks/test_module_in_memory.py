"""A user's own module: every style of `forward` works, and the module is left exactly as it was."""

import copy
import threading

import forward_styles
import pytest
import torch
from torch import nn

import advcli
from advcli.errors import InputError
from advcli.networks import module_in_memory
from advcli.networks.module_in_memory import model_of
from advcli.workspace.held import described

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # what the checks say of networks that nobody trained
STYLES = [name for name, one in vars(forward_styles).items() if hasattr(one, "__advcli__")]
FLAT = ("without_gradient", "detaching")  # nothing leads back to the picture
X = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("style", STYLES)
def test_every_style_of_forward_is_attacked_and_decides_what_it_decides(style):
    net = getattr(forward_styles, style)((1, 8, 8), 10)
    with torch.no_grad():
        net(X[:2].clone())  # lazy layers wait for it; others keep what they saw
        net.eval()
        answer = net(X.clone())
    answer = answer.get("logits", answer.get("out")) if isinstance(answer, dict) else answer
    answer = answer[0] if isinstance(answer, tuple) else getattr(answer, "logits", answer)
    decided = answer.reshape(6, -1).argmax(1)
    given = {"method": "square"} if style in FLAT else {"method": "pgd"}
    found = advcli.attack(net, (X, decided), steps=2, eps="0.2", **given)
    assert torch.equal(found.clean_prediction, decided)
    assert {row.threat.knowledge for row in advcli.evaluate(found, model=net).rows} == {"white-box"}
    if style in FLAT:
        with pytest.raises(InputError, match="gives no gradient"):
            advcli.attack(net, (X, decided), steps=2)


def state(net: nn.Module) -> list[object]:
    """Everything of a module that a user could notice: modes, gradients, places, values."""
    found: list[object] = [(name, one.training, id(one), type(one)) for name, one in net.named_modules()]
    for name, one in (*net.named_parameters(), *net.named_buffers()):
        grad = None if one.grad is None else (id(one.grad), one.grad.tolist())
        found.append((name, id(one), one.data_ptr(), one.tolist(), one.requires_grad, one.stride(), str(one.device), grad))
    return found


def test_a_module_in_training_is_attacked_in_evaluation_and_left_as_it_was():
    """S1-T0: batch norm and dropout of training never leak."""
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.5), nn.Flatten(), nn.Linear(36, 3)
    )
    net.to(memory_format=torch.channels_last).train()
    net(X).sum().backward()
    net[0].requires_grad_(False)
    net[1].eval()
    before, random = state(net), torch.random.get_rng_state()
    other = copy.deepcopy(net).eval().requires_grad_(False).to(memory_format=torch.contiguous_format)
    labels = other(X).argmax(1)
    found = advcli.attack(net, (X, labels), steps=2)
    advcli.evaluate(found, model=net, data=(X, labels))
    assert state(net) == before
    assert torch.equal(torch.random.get_rng_state(), random)
    assert torch.equal(found.clean_prediction, labels)
    assert torch.equal(found.images, advcli.attack(other, (X, labels), steps=2).images)


class Keeping(nn.Module):
    """Keeps the features of its last images, history and all, in places where only a search finds them."""

    def __init__(self, *more: object) -> None:
        super().__init__()
        self.fc, self.kept, self.more = nn.Linear(64, 3), {}, more

    def forward(self, x):
        x = self.fc(x.flatten(1))
        self.kept = {"last": [x]}
        return x


def test_what_a_module_keeps_of_its_last_images_is_no_hindrance():
    net = Keeping()
    net(X)
    with pytest.raises(RuntimeError, match="deepcopy"):
        copy.deepcopy(net)
    kept = net.kept["last"][0]
    assert len(advcli.attack(net, X, steps=2)) == 6
    assert net.kept["last"][0] is kept
    with pytest.raises(InputError, match="Keeping: cannot be copied"):
        advcli.attack(Keeping(threading.Lock()), X)


class OptimizedModule(nn.Module):
    """What torch.compile returns, without the seconds that it takes."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self._orig_mod = net


def test_wrappers_stand_for_the_network_that_they_hold():
    net = Keeping()
    compiled = OptimizedModule(net)
    assert module_in_memory.unwrapped(nn.DataParallel(compiled)) is net
    normalize = {"mean": [0.0], "std": [1.0]}
    mine, theirs = (model_of(described(one, {}), (1, 8, 8), list("abc"), normalize) for one in (net, compiled))
    assert mine.digest == theirs.digest


def test_what_a_notebook_has_set_for_torch_changes_nothing_and_stays_set():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5), nn.Flatten(), nn.Linear(72, 3)).eval()
    usual = advcli.attack(net, X, steps=2).images
    with torch.no_grad():
        assert torch.equal(advcli.attack(net, X, steps=2).images, usual)
        assert not torch.is_grad_enabled()
    with torch.inference_mode():
        assert torch.equal(advcli.attack(net, X, steps=2).images, usual)
        assert torch.is_inference_mode_enabled()
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        assert torch.equal(advcli.attack(net, X, steps=2).images, usual)
        assert (torch.get_default_dtype(), torch.get_default_device().type) == (torch.float64, "meta")
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    with pytest.raises(InputError, match=r"float16.*\.float\(\)"):
        advcli.attack(net.half(), X)


def test_a_module_that_draws_or_mixes_its_images_is_refused():
    class Mixing(nn.Module):
        def forward(self, x):
            return x.flatten(1)[:, :3] - x.mean()

    class Drawing(nn.Module):
        def forward(self, x):
            return x.flatten(1)[:, :3] + torch.rand(3)

    with pytest.raises(InputError, match="other images of its batch"):
        advcli.attack(Mixing(), X)
    with pytest.raises(InputError, match="random numbers"):
        advcli.attack(Drawing(), X)

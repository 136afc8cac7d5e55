"""Defenses that learn: fitted in the one training loop, kept in the model file, attacked through."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from scipy import stats

from advcli.catalog import discovery
from advcli.defenses.stack import Stacked
from advcli.errors import InputError
from advcli.files.imageset_reader import ImageSet
from advcli.networks import model_file
from advcli.networks.fitting_batch import FittingBatch, new_network
from advcli.numerics.rng import SampleRNG
from advcli.training.loop import Trainer

SHORT = ["--epochs", "3", "--limit", "300", "--against", "fgsm:eps=0.1"]
METHODS = ["autoencoder", "detector", "stack"]


def fit(run, method, *words):
    member = ["--member", "model.safetensors"] if method == "stack" else []
    ran = run("defend", "--method", method, *member, *SHORT, *words)
    assert ran.code == 0, ran.err
    return model_file.read("defended.safetensors")


@pytest.mark.parametrize("method", METHODS)
def test_the_same_command_makes_the_same_bytes_and_show_tells_it(run, model, method):
    kept = fit(run, method)
    first, entry = kept.path.read_bytes(), kept.metadata["defenses"][0]
    assert len(entry["weights"]) == 64
    assert any(name.startswith("defense/0/") for name in kept.tensors)
    assert kept.network == model_file.read("model.safetensors").network
    said = json.loads(run("show", "defended.safetensors", "--json").out)[0]["command"]
    kept.path.unlink()
    assert run(*said.split()[1:]).code == 0
    assert kept.path.read_bytes() == first
    assert "made by the same command" in run(*said.split()[1:]).err
    assert not list(Path().glob("*.parts"))


@pytest.mark.parametrize("method", METHODS)
def test_attacks_go_through_it_and_evaluate_knows(run, model, method):
    fit(run, method)
    assert run("attack", "--model", "defended.safetensors", "--eps", "0.1", "--limit", "60", "--steps", "5").code == 0
    assert run("attack", "--method", "fgsm", "--eps", "0.1", "--limit", "60", "-o", "static.h5").code == 0
    assert run("verify", "adversarial.h5").code == 0
    ran = run("evaluate", "--model", "defended.safetensors", "adversarial.h5", "static.h5", "--json")
    known = {row["set"]: row["threat"]["knowledge"] for row in json.loads(ran.out)["rows"] if row["kind"] == "adversarial"}
    assert known == {"adversarial.h5": "adaptive", "static.h5": "static"}
    fit(run, method, "--seed", "1")
    rows = json.loads(run("evaluate", "--model", "defended.safetensors", "adversarial.h5", "--json").out)["rows"]
    assert {row["threat"]["knowledge"] for row in rows} == {"transfer"}, "it has learned something else"


def test_the_model_under_it_stays_as_it_is(run, model):
    before = model_file.read("model.safetensors").tensors
    kept = fit(run, "autoencoder")
    assert all(torch.equal(kept.tensors[name], before[name]) for name in before)


def test_an_autoencoder_takes_perturbations_away(run, model):
    assert run("attack", "--method", "fgsm", "--eps", "0.1", "--limit", "200").code == 0
    assert run("defend", "--method", "autoencoder", "--against", "fgsm:eps=0.1", "--epochs", "15").code == 0
    kept = model_file.read("defended.safetensors")
    with ImageSet("adversarial.h5") as made, torch.no_grad():
        x, origin = made.rows("images", 0, 200), made.rows("originals", 0, 200)
        cleaned = kept.module().clean(x)
        assert (cleaned - origin).square().mean() < 0.6 * (x - origin).square().mean()
        label = torch.from_numpy(made.column("labels"))
        fooled = model_file.read("model.safetensors").module()(x).argmax(1) != label
        fixed = kept.module()(x).argmax(1) == label
        assert fixed[fooled].float().mean() > 0.3


def test_defenses_that_learn_stand_on_each_other(run, model):
    fit(run, "autoencoder")
    Path("defended.safetensors").rename("first.safetensors")
    ran = run("defend", "--model", "first.safetensors", "--method", "detector", *SHORT)
    assert ran.code == 0, ran.err
    both = model_file.read("defended.safetensors")
    assert [one["name"] for one in both.defenses] == ["autoencoder", "detector"]
    assert {name.rsplit("/", 1)[0].split("/network")[0][:9] for name in both.tensors if "/" in name} == {"defense/0", "defense/1"}
    assert both.module()(torch.zeros(2, 1, 8, 8)).shape == (2, 11)
    assert both.module(static=True)(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


def test_a_file_without_what_it_learned_is_refused(run, model):
    kept = fit(run, "detector")
    for tensors in (
        {name: tensor for name, tensor in kept.tensors.items() if not name.startswith("defense/")},
        {**kept.tensors, "defense/7/weight": torch.zeros(1)},
    ):
        kept.path.write_bytes(model_file.packed(kept.metadata, tensors))
        with pytest.raises(InputError, match="do not fit"):
            model_file.read(kept.path).module()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--data", "digits:test"], 3, "trained on clean images of the train split"),
        (["--against", "nothing"], 2, "there is no attack"),
        (["--against", "fgsm:eps=x"], 2, "not a number"),
        (["--lr", "-1"], 2, "outside"),
    ],
)
def test_what_cannot_be_learned_is_refused(run, model, words, code, says):
    ran = run("defend", "--method", "autoencoder", *words)
    assert ran.code == code, ran.err
    assert says in ran.err


def test_guidance_weighs_the_cross_entropy_of_the_cleaned_images():
    model, x, label = new_network("softmax", (1, 8, 8), 4).eval(), torch.rand(6, 1, 8, 8), torch.arange(6) % 4
    batch = FittingBatch(x, label, SampleRNG(0, torch.arange(6), ("test",)), [lambda model, x, label, rng: 1 - x])
    defense = discovery.spec("defense", "autoencoder").bind({})(model, (1, 8, 8), 4)
    losses = []
    for defense.guidance in (0.0, 1.0, 3.0):
        losses.append(defense.fitting_loss(x, batch).detach())
    with torch.no_grad():
        cleaned = [(one + defense.learned(one)).clamp(0, 1) for one in (x, 1 - x)]
        entropies = [torch.nn.functional.cross_entropy(model(one), label, reduction="none") for one in cleaned]
    torch.testing.assert_close(losses[1] - losses[0], sum(entropies))
    torch.testing.assert_close(losses[2] - losses[0], 3 * sum(entropies))


def test_a_stack_learns_from_clean_images_and_in_the_mean_from_those_against_each_model():
    first, second = (torch.nn.Linear(4, 3) for _ in range(2))
    stacked = Stacked(Plain(first), [Plain(second)], torch.nn.Linear(6, 3))
    x, label = torch.rand(5, 4), torch.arange(5) % 3
    made = {id(stacked.model): [x + 1], id(stacked.members[0]): [x + 2, x + 3]}
    batch = SimpleNamespace(against=lambda one: made[id(one)], rng=SampleRNG(0, torch.arange(5)), label=label)

    def loss(images):
        return torch.nn.functional.cross_entropy(stacked(images), label, reduction="none")

    torch.testing.assert_close(stacked.fitting_loss(x, batch), loss(x) + (loss(x + 1) + loss(x + 2) + loss(x + 3)) / 3)


def test_the_papers_stack_is_linear_drawn_from_a_normal_and_fitted_in_the_order_of_the_images(run, model, monkeypatch):
    """S4-D3: no activations, weights and biases N(0, 1), Adam 1e-3, 15 epochs, batches of 128 that are not shuffled."""
    words = ["defend", "--method", "stack", "--member", "model.safetensors", "--recipe", "paper4", "--limit", "130"]
    orders: list[list[int]] = []
    plain = Trainer._order

    def noted(self, epoch):
        found = plain(self, epoch)
        orders.append([int(one) for batch in found for one in batch])
        return found

    monkeypatch.setattr(Trainer, "_order", noted)
    assert run(*words).code == 0
    assert orders == [list(range(130))] * 15
    made = model_file.read("defended.safetensors").metadata["made"]
    assert (made["options"]["epochs"], made["options"]["lr"], made["environment"]["batch_size"]) == (15, 0.001, 128)
    whole = model_file.read("defended.safetensors").module()
    z = torch.randn(3, 20)
    with torch.no_grad():
        ends = [whole.learned(one) for one in (z[:1], z[1:2], 0.25 * z[:1] + 0.75 * z[1:2])]
    torch.testing.assert_close(ends[2], 0.25 * ends[0] + 0.75 * ends[1], rtol=1e-3, atol=1e-1)
    torch.manual_seed(0)
    fresh = discovery.spec("defense", "stack").bind({"recipe": "paper4"})(Plain(None), [Plain(None)], (1, 8, 8), 10).learned
    drawn = torch.cat([one.detach().flatten() for one in fresh.parameters()])
    assert stats.kstest(drawn.numpy(), "norm").pvalue > 1e-3
    assert [len(one) for one in fresh.parameters()][1::2] == [256, 256, 10]
    first = Path("defended.safetensors").read_bytes()
    assert run(*words, "--seed", "1").code == 0
    assert Path("defended.safetensors").read_bytes() != first


class Plain(torch.nn.Module):
    """A layer that takes draws and needs none."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x, draws=None):
        return self.layer(x)

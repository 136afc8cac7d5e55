"""The substitute: taught by labels alone, its own data set, a model of its own, resumed, built on again."""

import json
import shlex
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from advcli.attacks.substitute import substitute as fit_substitute
from advcli.catalog import discovery
from advcli.crafting import substitute
from advcli.numerics.quantities import budgets
from advcli.numerics.rng import SampleRNG
from advcli.runtime.reporter import SILENT
from advcli.search.job import Job
from advcli.search.victim import Tally, Victim
from blobs import Bent, pictures
from conftest import attacked, in_memory


class Answers(Bent):
    """A model that only answers: whoever asks for a gradient gets an error."""

    def forward(self, x, draws=None):
        assert not torch.is_grad_enabled(), "asked for a gradient"
        return super().forward(x)


def test_a_stand_in_is_taught_by_labels_alone_and_each_is_counted():
    model, x = Answers(), pictures(40)
    with torch.no_grad():
        label = model(x).argmax(1)
    job = Job(model, discovery.spec("attack", "fgsm").bind({}), "linf", budgets("0.2"), None, "true", 0, torch.device("cpu"))
    bound = discovery.spec("attack", "substitute").bind({"arch": "mlp:hidden=32,16", "rounds": 4, "epochs": 8})
    training = substitute.train_substitute(bound, substitute.network_of(bound), job, in_memory(x, label, 4), None, SILENT)
    assert int(training.tally.queries) == training.asked == 40 * 2**3
    assert [type(one).__name__ for one in training.substitute.network].count("Linear") == 3
    fresh = pictures(200, seed=9)
    with torch.no_grad():
        agreed = training.substitute(fresh).argmax(1) == model(fresh).argmax(1)
    assert agreed.float().mean() > 0.7
    made = attacked("substitute", model, x, label, "0.2", options={"arch": "mlp:hidden=32", "epochs": 5})
    assert made["success"].any()
    assert made["queries"].sum() == made["gradients"].sum() == 0, "what the stand-in is asked, the model does not pay"


def test_new_images_lie_one_step_along_the_stand_ins_own_score():
    """x' = clip(x + l sign(dz_y/dx)); wang-zhang steps back three times."""
    w = torch.tensor([[1.0, -2.0, 0.0, 3.0], [-1.0, 1.0, 2.0, 0.0]])

    class Plane(nn.Module):
        def forward(self, x, draws=None):
            return x.flatten(1) @ w.T

    seen: list[Tensor] = []

    def ask(x: Tensor) -> Tensor:
        seen.append(x)
        return torch.arange(len(x)) % 2

    def teach(x: Tensor, label: Tensor, epochs: int) -> Victim:
        assert (len(x), epochs) == (sum(map(len, seen)), 7)
        return Victim(Plane(), Tally(len(x)), torch.arange(len(x)), None)

    start = torch.full((2, 1, 2, 2), 0.5)
    rng = SampleRNG(0, torch.arange(2))
    fit_substitute(ask, start, teach, rng=rng, rounds=2, epochs=7)
    torch.testing.assert_close(seen[1], start + 0.1 * w.sign().view(2, 1, 2, 2))
    seen.clear()
    fit_substitute(ask, start, teach, rng=rng, rounds=6, epochs=7, lambda_schedule="wang-zhang")
    assert list(map(len, seen)) == [2, 2, 4, 8, 16, 32]
    torch.testing.assert_close(seen[1], start - 0.1 * w.sign().view(2, 1, 2, 2))
    assert (seen[4][0] - torch.cat(seen[:4])[0]).abs().max() > 0.09
    torch.testing.assert_close(seen[4][:2], start + 0.1 * w.sign().view(2, 1, 2, 2))


def test_a_stand_in_does_not_begin_where_its_model_did(run, folder):
    """Equal seeds would give a stand-in of the same architecture the same first weights."""
    first = discovery.spec("architecture", "mlp").bind({})
    data = in_memory(pictures(4), torch.zeros(4).long(), 4)
    job = Job(Bent(), first, "linf", budgets("0.1"), None, "true", 0, torch.device("cpu"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        trained = first(data.shape, 4)
    assert not torch.equal(substitute.new_substitute(first, data, job).network[1].weight, trained[1].weight)


TAUGHT = ("attack", "--method", "substitute", "--rounds", "3", "--epochs", "2", "--limit", "40", "--eps", "0.2")


def test_a_stand_in_is_a_model_and_its_set_says_what_it_knew(run, model):
    ran = run(*TAUGHT)
    assert ran.code == 0, ran.err
    assert "600 labels" in ran.err
    assert run("verify", "adversarial.h5", "perturbations.h5", "adversarial.substitute.safetensors").code == 0
    table = run("evaluate", "--model", model, "--model", "adversarial.substitute.safetensors", "adversarial.h5", "--json").out
    on = {row["model"]: row["threat"] for row in json.loads(table)["rows"] if row["metric"] == "accuracy"}
    assert on[str(model)]["knowledge"] == "transfer", "the model itself was never looked into"
    assert on[str(model)]["access"] == "labels"
    assert on["adversarial.substitute.safetensors"]["knowledge"] == "white-box"
    header = json.loads(run("show", "adversarial.h5", "--json").out)[0]["header"]
    assert header["fitted"] == {"images": 150, "queries": 600, "gradients": 0}
    story = json.loads(run("show", "adversarial.substitute.safetensors", "--json").out)[0]
    assert story["header"]["made"]["parents"][0]["digest"] == header["victim"]["digest"]
    assert story["header"]["made"]["fit"]["split"] == "train"
    assert (
        run("attack", "--method", "fgsm", "--model", "adversarial.substitute.safetensors", "--limit", "5", "-o", "w.h5").code == 0
    )


@pytest.mark.parametrize("name", ["adversarial.substitute.safetensors", "adversarial.h5"])
def test_the_command_that_is_shown_makes_the_stand_in_and_its_set_again(run, model, name):
    assert run(*TAUGHT, "--attack", "pgd:steps=3", "--fit-data", "digits:val", "--fit-limit", "20", "--seed", "3").code == 0
    before = Path(name).read_bytes()
    line = next(line.split("command ")[1] for line in run("show", name).out.splitlines() if "command " in line)
    for path in ("adversarial.h5", "perturbations.h5", "adversarial.substitute.safetensors"):
        Path(path).unlink()
    ran = run(*shlex.split(line)[1:])
    assert ran.code == 0, ran.err
    assert Path(name).read_bytes() == before


def test_another_attack_builds_on_the_stand_in_that_is_there(run, model):
    assert run(*TAUGHT).code == 0
    before = Path("adversarial.substitute.safetensors").read_bytes()
    ran = run(*TAUGHT[:-1], "0.1", "--attack", "pgd:steps=4")
    assert ran.code == 0, ran.err
    assert "adversarial.substitute.safetensors already exists, made by the same command" in ran.err
    assert Path("adversarial.substitute.safetensors").read_bytes() == before
    ran = run(*TAUGHT[:-1], "0.1", "--attack", "pgd:steps=4", "--lambda", "0.2")
    assert "replacing adversarial.substitute.safetensors" in ran.err
    assert run(*TAUGHT, "-o", "mine.h5").code == 0
    assert run(*TAUGHT, "-o", "mine.h5", "--lambda", "0.3").code == 2, "-o names are not replaced"


def test_an_interrupted_lesson_goes_on_after_the_last_whole_round(run, model, monkeypatch):
    assert run(*TAUGHT, "-o", "whole.h5").code == 0
    lessons = []

    def stop(plan: object) -> object:
        lessons.append(plan)
        if len(lessons) == 3:
            raise KeyboardInterrupt
        return trainer(plan)

    trainer = substitute.Trainer
    monkeypatch.setattr(substitute, "Trainer", stop)
    assert run(*TAUGHT).code == 130
    assert run(*TAUGHT).code == 0
    assert len(lessons) == 4, "two rounds were kept"
    assert Path("adversarial.substitute.safetensors").read_bytes() == Path("whole.substitute.safetensors").read_bytes()
    assert not list(Path().glob("*.parts"))


def test_what_is_fitted_never_sees_the_images_that_are_attacked(run, model):
    for method in ("substitute", "universal"):
        for words in (("--split", "train"), ("--fit-data", "digits:test"), ("--data", "digits:val", "--fit-data", "digits:val")):
            ran = run("attack", "--method", method, *words)
            assert ran.code == 3, words
            assert "overlap" in ran.err
        ran = run("attack", "--method", method, "--dry-run")
        assert ran.code == 0, ran.err
        assert not list(Path().glob("adversarial.*"))


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("--method substitute --attack spatial", "has a budget"),
        ("--method substitute --attack noise", "queries a model"),
        ("--method substitute --attack nosuch", "no attack 'nosuch'"),
        ("--method substitute --attack pgd:eps=0.1", "no option --eps"),
        ("--method substitute --attack pgd:steps", "written option=value"),
        ("--method substitute --attack dgsm", "needs a --target"),
        ("--method substitute --arch forest", "no gradient leads"),
        ("--method substitute --arch mlp:hidden=a", "not a list of sizes"),
        ("--method substitute --max-queries 5", "no option --max-queries"),
        ("--method substitute --restarts 5", "no option --restarts"),
        ("--method universal --no-early-stop", "no option --no-early-stop"),
        ("--method universal --norm l1", "not one of linf, l2"),
        ("--method fgsm --fit-limit 5", "no option --fit-limit"),
        ("--apply model.safetensors", "not an image set"),
        ("--apply missing.h5", "no such file"),
    ],
)
def test_attacks_in_two_stages_refuse_what_means_nothing(run, model, words, complaint):
    ran = run("attack", *words.split())
    assert ran.code in (2, 3)
    assert complaint in ran.err

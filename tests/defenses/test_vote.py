"""Several models in one file: they decide together, and the file is a model like any other."""

import json
from pathlib import Path

import pytest
import torch

from advcli.datasets.digits import digits
from advcli.errors import InputError
from advcli.networks import model_file

KINDS = {"softmax": ["--arch", "softmax"], "tree": ["--arch", "tree"], "knn": ["--arch", "knn"]}


@pytest.fixture
def three(run, folder):
    for name, words in KINDS.items():
        assert run("train", *words, "-o", f"{name}.safetensors").code == 0
    return [f"{name}.safetensors" for name in KINDS]


def members(names):
    return [word for name in names for word in ("--member", name)]


@pytest.mark.parametrize("rule", ["majority", "mean-prob", "mean-logit"])
def test_the_decision_is_that_of_the_rule(run, three, rule):
    ran = run("defend", "--method", "vote", "--model", three[0], *members(three[1:]), "--rule", rule)
    assert ran.code == 0, ran.err
    x, _ = digits("test").batch(0, 500)
    with torch.no_grad():
        each = torch.stack([model_file.read(name).module()(x) for name in three], 1)
        found = model_file.read("defended.safetensors").module()(x, None).argmax(1)
    if rule == "majority":
        counts = torch.nn.functional.one_hot(each.argmax(2), 10).sum(1)
        assert torch.equal(found, counts.argmax(1))
    elif rule == "mean-prob":
        assert torch.equal(found, each.softmax(2).mean(1).argmax(1))
    else:
        assert torch.equal(found, each.mean(1).argmax(1))


def test_a_vote_is_evaluated_attacked_verified_and_made_again(run, three):
    command = ["defend", "--method", "vote", "--model", three[0], *members(three[1:]), "-o", "vote.safetensors"]
    run(*command)
    rows = json.loads(run("evaluate", "--model", "vote.safetensors", "--data", "digits", "--json").out)["rows"]
    assert rows[0]["value"] > 0.9
    ran = run("attack", "--model", "vote.safetensors", "--method", "pgd", "--steps", "5", "--eps", "0.2", "--limit", "50")
    assert ran.code == 0, ran.err
    assert run("verify", "adversarial.h5").code == 0
    assert (
        run("attack", "--model", "vote.safetensors", "--static", "--method", "fgsm", "--limit", "20", "-o", "static.h5").code == 0
    )
    shown = next(line for line in run("show", "vote.safetensors").out.splitlines() if "advcli defend" in line)
    whole = Path("vote.safetensors").read_bytes()
    Path("vote.safetensors").unlink()
    assert run(*shown.split("advcli ")[1].split()).code == 0
    assert Path("vote.safetensors").read_bytes() == whole
    assert run("defend", "--method", "squeeze", "--model", "vote.safetensors", "-o", "both.safetensors").code == 0
    assert run("evaluate", "--model", "both.safetensors", "--data", "digits", "--limit", "20").code == 0


def test_what_cannot_vote_is_refused(run, three):
    run("train", "--arch", "softmax", "--classes", "1,2", "-o", "two.safetensors")
    vote = ["defend", "--method", "vote", "--model", three[0]]
    assert run(*vote).code == 2
    assert "--member" in run(*vote).err
    assert run("defend", "--method", "squeeze", "--model", three[0], "--member", three[1]).code == 2
    assert run(*vote, "--member", "two.safetensors").code == 3
    assert run(*vote, "--member", "nowhere.safetensors").code == 3
    assert run(*vote, "--member", three[1], "-o", three[1]).code == 2


@pytest.mark.parametrize("change", [
    lambda r: r.pop("members"), lambda r: r.update(members=[]), lambda r: r.update(members=3), lambda r: r["members"].append(r["members"][0]),
    lambda r: r["members"][0].update(classes=["a", "b"]), lambda r: r["members"][0].update(members=[1]), lambda r: r.update(defenses=[]),
    lambda r: r["defenses"].append(r["defenses"][0]), lambda r: r["members"][0].pop("arch"),
])  # fmt: skip
def test_a_forged_vote_is_refused(run, three, change):
    run("defend", "--method", "vote", "--model", three[0], *members(three[1:]), "-o", "vote.safetensors")
    good = model_file.read("vote.safetensors")
    metadata = json.loads(json.dumps(good.metadata))
    change(metadata)
    Path("vote.safetensors").write_bytes(model_file.packed(metadata, good.tensors))
    with pytest.raises(InputError):
        model_file.read("vote.safetensors").module()

"""A default that a help text states is the one that is used: compared with the constants, and with what commands record."""

import json
import re

import pytest
import torch

from advcli.auditing.plan import AT_A_TIME, SMALL
from advcli.catalog import discovery
from advcli.catalog.options import AnyFiles
from advcli.catalog.requests import REQUESTS, EvaluateRequest
from advcli.crafting import substitute, universal
from advcli.crafting.resolve import EOT
from advcli.evaluation.judge import Judge
from advcli.files.imageset_reader import ImageSet
from advcli.images.downloads import library
from advcli.networks import model_file
from advcli.networks.black_box import AT_ONCE
from advcli.numerics.quantities import BUDGETS
from advcli.runtime.devices import default_batch
from advcli.training.training_options import BATCHES, MANY, RATES, find_epochs
from advcli.workspace.inputs import DEFENDED, MODEL

CPU, GPU = (default_batch(None, torch.device(name)) for name in ("cpu", "cuda"))
EPOCHS = f"{find_epochs(None, 10**9)} to {find_epochs(None, 1)}"
METRICS = [one for one in discovery.specs("metric") if one.traits.default]
PLAIN, REJECTING, STAGED = (
    ", ".join(one.name for one in METRICS if one.traits.needs == needs) for needs in ((), ("score",), ("stages",))
)
USED = {
    "train epochs": f"{EPOCHS} by the size of the data",
    "train lr": f"{RATES['adam']}, of sgd {RATES['sgd']}",
    "train batch_size": f"{BATCHES[0]}, from {MANY:,} images on {BATCHES[1]}",
    "attack eps": "grey / colour: " + ", ".join(f"{norm} {' / '.join(BUDGETS[norm])}" for norm in ("linf", "l2", "l1")),
    "attack eot": f"{EOT} where the model draws",
    "attack batch_size": f"{CPU}, on a GPU {GPU}",
    "attack model": f"{MODEL}, trained first where there is none",
    "attack fit_limit": f"substitute {substitute.STAGE.images}, universal {universal.STAGE.images}",
    "defend against": "fgsm",
    "defend epochs": f"{EPOCHS} by their number",
    "defend lr": f"{RATES['adam']}",
    "defend model": f"{MODEL}, trained first where there is none",
    "defend batch_size": f"{BATCHES[0]}, of files to filter on a GPU {GPU}",
    "audit model": f"{MODEL}, trained first where there is none",
    "audit batch_size": f"{AT_A_TIME} up to {'x'.join(map(str, SMALL))}, larger ones {CPU}, on a GPU {GPU}",
    "audit eps": "{} and {} in linf, {} and {} in l2".format(*BUDGETS["linf"], *BUDGETS["l2"]),
    "import batch_size": f"{AT_ONCE}",
    "stats batch_size": f"{CPU}, on a GPU {GPU}",
    "stats model": MODEL,
    "evaluate batch_size": f"{CPU}, on a GPU {GPU}",
    "evaluate model": f"{MODEL} and {DEFENDED}",
    "evaluate metric": f"{PLAIN}; {STAGED} of a cascade; {REJECTING} where models can reject",
}
WORDS = {  # what depends on a file or a folder, and is told without a number
    *(f"{verb} data_dir" for verb in ("train", "attack", "defend", "evaluate", "audit", "verify", "import")),
    *(f"{verb} threads" for verb in ("train", "attack", "defend", "evaluate", "audit", "stats")),
    "train arch", "train mean", "train std", "attack fit_data", "defend data", "evaluate eps", "stats of", "stats rows", "verify model",
    "verify data", "import input",
}  # fmt: skip


def stated() -> dict[str, str]:
    """Every default that the help of a verb's option states by hand."""
    found = {}
    for verb, request in REQUESTS.items():
        for one in request.options():
            if match := re.search(r"\[default:? (.*?)\]", one.param.help):
                found[f"{verb} {one.name}"] = match[1]
    return found


def test_every_default_that_is_stated_is_that_of_the_code():
    told = stated()
    assert told.keys() == USED.keys() | WORDS
    assert {name: told[name] for name in USED} == USED


@pytest.mark.parametrize("verb", ["show", "verify"])
def test_a_verb_that_takes_models_says_so(verb, run, model):
    (files,) = (one for one in REQUESTS[verb].options() if one.name == "files")
    assert files.param == AnyFiles.__metadata__[0]
    assert run(verb, model).code == 0


def test_what_an_attack_records_is_what_its_help_states(run, model):
    assert run("defend", "--method", "average", "--samples", "2").code == 0
    words = ("--model", DEFENDED, "--limit", "3", "--steps", "1")
    for norm, eps in (("linf", "0.3"), ("l2", "2.0"), ("l1", "20")):
        assert run("attack", *words, "--norm", norm).code == 0
        made = ImageSet("adversarial.h5").header["made"]
        assert f"{norm} {eps} /" in stated()["attack eps"]
        assert (made["options"]["eps"], made["options"]["eot"]) == (eps, EOT)
        assert made["environment"]["batch_size"] == CPU


def test_what_a_training_records_is_what_its_help_states(run, folder):
    for optimizer, rate in (("adam", "0.002"), ("adamw", "0.002"), ("sgd", "0.05")):
        assert run("train", "--arch", "softmax", "--optimizer", optimizer, "--limit", "99", "--epochs", "1", "--force").code == 0
        made = model_file.read(MODEL).metadata["made"]
        assert str(made["options"]["lr"]) == rate
        assert made["options"]["batch_size"] == BATCHES[0]
        assert rate in stated()["train lr"]
    assert run("train", "--arch", "softmax", "--limit", "1200", "--force").code == 0
    assert model_file.read(MODEL).metadata["made"]["options"]["epochs"] == 40


def test_what_a_defense_records_is_what_its_help_states(run, model, monkeypatch):
    assert run("defend", "--method", "detector", "--limit", "40", "--epochs", "1").code == 0
    made = model_file.read(DEFENDED).metadata["made"]
    assert str(made["options"]["lr"]) == stated()["defend lr"]
    assert [one.partition(":")[0] for one in made["options"]["against"]] == [stated()["defend against"]]
    assert made["environment"]["batch_size"] == BATCHES[0]


def test_evaluate_takes_the_batch_and_the_metrics_that_its_help_states(run, model):
    assert Judge(model_file.read(model), EvaluateRequest(device="cpu")).batch == CPU
    found = json.loads(run("evaluate", "--json").out)["rows"]
    assert {row["metric"] for row in found} == {PLAIN.split(", ")[0]}
    assert run("attack", "--limit", "5", "--steps", "1").code == 0
    found = json.loads(run("evaluate", "--json").out)["rows"]
    assert {row["metric"] for row in found if row["kind"] == "adversarial"} == {*PLAIN.split(", ")}


def test_the_folder_of_data_sets_is_the_one_that_the_help_states(monkeypatch, tmp_path):
    monkeypatch.setenv("ADVCLI_DATA", str(tmp_path))
    assert library(None, download=False).folder == tmp_path

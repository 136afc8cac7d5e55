"""A file may name code of somebody's own: none of it runs that the user has not named too."""

from collections.abc import Callable
from pathlib import Path

import pytest

from advcli.catalog import discovery
from advcli.networks import model_file
from forged import forge

CANARY, NAME = "from pathlib import Path\n\nPath('it_ran').write_text('')\n", "canary:run"
VERBS = (
    ("show", "{file}"),
    ("verify", "{file}"),
    ("evaluate", "{file}"),
    ("stats", "{file}"),
    ("export", "{file}"),
    ("defend", "{file}"),
    ("attack", "--data", "{file}", "--steps", "1", "-o", "again.h5"),
    ("evaluate", "--data", "{file}"),
)
MODEL_VERBS = (
    ("show", "{file}"),
    ("verify", "{file}"),
    ("evaluate", "adversarial.h5", "--model", "{file}"),
    ("attack", "--model", "{file}", "--limit", "3", "-o", "again.h5"),
    ("defend", "--model", "{file}"),
    ("defend", "--model", "{file}", "--method", "autoencoder", "--limit", "9", "--force"),
    ("train", "--weights", "{file}", "--limit", "9", "-o", "other.safetensors"),
    ("import", "{file}", "--arch", "cnn", "-o", "imported.safetensors"),
    ("export", "{file}"),
)


def inner_attack(header: dict) -> None:
    """The set says that it was made on the evaluated model as a substitute, by an inner attack of somebody's own."""
    header["source"] = header["victim"]
    header["made"]["parameters"]["attack"] = NAME


def attack(header: dict) -> None:
    header["made"]["method"] = NAME


def figures(header: dict) -> None:
    header["made"]["verb"] = "stats"
    header["made"]["options"]["figure"] = [NAME]


def filtered(header: dict) -> None:
    header["made"]["method"] = NAME
    header["made"]["parameters"] = {"width": 3}


SETS = {
    "an inner attack": (inner_attack, ()),
    "the attack": (attack, ()),
    "figures": (figures, ()),
    "a filter": (filtered, ("defend", "adversarial.h5", "--bits", "2")),
}


@pytest.fixture
def canary(run, model, monkeypatch) -> Callable[..., None]:
    """Run verbs on a file; the module that it names must not have been imported."""
    Path("canary.py").write_text(CANARY)
    monkeypatch.setattr(discovery, "PERMITTED", set())
    assert run("attack", "--limit", "9", "--steps", "2").code == 0

    def check(file: str, verbs: tuple[tuple[str, ...], ...]) -> None:
        for words in verbs:
            ran = run(*(word.format(file=file) for word in words))
            assert not Path("it_ran").exists(), words
            assert "internal error" not in ran.err, ran.err

    return check


@pytest.mark.parametrize("what", SETS)
def test_no_verb_runs_what_an_image_set_names(what, run, canary):
    change, first = SETS[what]
    if first:
        assert run(*first).code == 0
    source = "adversarial.filtered.h5" if first else "adversarial.h5"
    forge(source, lambda header, columns: change(header), "named.h5")
    canary("named.h5", VERBS)


def architecture(metadata: dict) -> None:
    metadata["arch"]["name"] = NAME


def function(metadata: dict) -> None:
    metadata["arch"] = {"name": NAME, "parameters": {}, "answers": "scores", "at_once": 64}


def defense(metadata: dict) -> None:
    metadata["defenses"] = [{"name": NAME, "parameters": {}}]


def recipe(metadata: dict) -> None:
    metadata["made"]["method"] = NAME


def data(metadata: dict) -> None:
    metadata["data"]["name"] = metadata["made"]["data"]["name"] = NAME


def option(metadata: dict) -> None:
    metadata["made"]["options"]["arch"] = metadata["made"]["options"]["preprocess"] = NAME


@pytest.mark.parametrize("change", [architecture, function, defense, recipe, data, option], ids=lambda one: one.__name__)
def test_no_verb_runs_what_a_model_file_names(change, canary, model):
    found = model_file.read(model)
    change(found.metadata)
    Path("named.safetensors").write_bytes(model_file.packed(found.metadata, found.tensors))
    canary("named.safetensors", MODEL_VERBS)

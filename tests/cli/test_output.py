"""What reaches a terminal: nothing that moves its cursor, nothing endless, and the right exit code whatever a stream does."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from advcli.catalog.requests import REQUESTS
from advcli.cli.options import described
from advcli.cli.output import UNSEEN, cut, visible
from advcli.errors import InputError
from advcli.files import header_schema
from advcli.files.header_schema import LONGEST_NAME
from advcli.networks import model_file

HOSTILE = "\x1b[31mred\x1b[0m \x9b31m \u202egnp.exe\u202c \u2066x\u2069 \x07 \x7f"


@given(st.text())
def test_nothing_unseen_is_left(text):
    shown = visible(text)
    assert all(one.isprintable() or one in "\n\t" or one.isspace() or ord(one) > 0x2FFF or one in text for one in shown)
    assert not UNSEEN.search(shown)
    assert visible(shown) == shown


def test_what_moves_the_cursor_is_written_out():
    assert visible(HOSTILE).startswith("\\u001b[31mred\\u001b[0m \\u009b31m \\u202egnp.exe")


def test_what_is_too_long_is_cut_and_says_so():
    assert cut("x" * 500, 500) == "x" * 500
    assert len(cut("x" * 4_000_000, 500)) < 600
    assert "(4000000 characters)" in cut("x" * 4_000_000, 500)


def rewritten(path, change):
    """The model file with another recipe, and its digest right again."""
    found = model_file.read(path)
    recipe = {k: v for k, v in found.recipe.items() if k not in ("digest", "weights")}
    change(recipe)
    model_file.write(path, recipe, found.tensors)


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_a_recipe_cannot_write_to_the_terminal(run, model, words):
    def change(recipe):
        recipe["made"]["parameters"]["objective"] = HOSTILE
        recipe["made"]["options"]["augment"] = HOSTILE

    rewritten(model, change)
    ran = run("show", "model.safetensors", *words)
    assert ran.code == 0, ran.err
    assert not UNSEEN.search(ran.out + ran.err)
    if words:
        assert json.loads(ran.out)[0]["header"]["made"]["options"]["augment"] == HOSTILE
        assert ran.out.isascii()


def test_a_class_name_of_megabytes_is_refused_in_a_line(run, folder):
    header_schema.classes(["x" * LONGEST_NAME, "y"], "a.h5")
    for names in (["x" * 4_000_000, "y"], ["\u00e9" * 200, "y"]):
        with pytest.raises(InputError) as refused:
            header_schema.classes(names, "a.h5")
        assert len(str(refused.value)) < 300
    plain = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2))
    torch.save({"1.weight": plain[1].weight, "1.bias": plain[1].bias}, "weights.pt")
    words = ("import", "weights.pt", "--arch", "softmax", "--input", "1x8x8", "--classes")
    assert run(*words, "a,b").code == 0
    ran = run(*words, "a," + "y" * 4_000_000, "--force")
    assert ran.code == 2, ran.err
    assert "--classes" in ran.err
    assert len(ran.err) < 2000


@pytest.mark.parametrize(
    "words",
    [
        ("attack", "--eps", "0.1", "--eps", "0.2"),
        ("attack", "--method", "pgd", "--steps=3", "--steps", "4"),
        ("train", "--data", "digits", "--data", "mnist"),
        ("attack", "-o", "a.h5", "--output", "b.h5"),
        ("attack", "--early-stop", "--no-early-stop"),
    ],
)
def test_an_option_given_twice_is_refused(run, folder, words):
    ran = run(*words)
    assert ran.code == 2
    assert "given twice" in ran.err


def test_an_option_that_may_be_repeated_is_not_refused_nor_is_a_value_that_looks_like_one(run, model):
    assert run("evaluate", "--model", model, "--model", model, "--limit", "5", "--data", "digits").code == 0
    assert "given twice" not in run("attack", "--target", "--limit", "--limit", "3").err


@pytest.mark.parametrize("verb", list(REQUESTS))
def test_a_default_is_shown_once_and_as_it_would_be_typed(verb):
    for one in REQUESTS[verb].options():
        text = described(one)
        assert text.count("default:") <= 1, text
        assert not re.search(r"[\[(]\'", text), text


STREAMS = {  # redirections of a shell -> the exit code of a command that works
    "": 0,
    "2>&-": 0,
    "2>/dev/full": 0,
    ">&-": 4,
    ">/dev/full": 4,
    ">&- 2>&-": 4,
}


@pytest.mark.parametrize("redirected", list(STREAMS))
def test_only_the_result_decides_the_exit_code(model, redirected):
    line = f"{sys.executable} -m advcli attack --method fgsm --limit 5 --force {redirected}"
    ran = subprocess.run(["sh", "-c", line], capture_output=True, text=True)
    assert ran.returncode == STREAMS[redirected], ran.stderr
    assert "Traceback" not in ran.stderr
    assert Path("adversarial.h5").exists()
    if "2>" in redirected:
        assert ran.stderr == ""


@pytest.mark.parametrize("redirected", ["2>&-", "2>/dev/full"])
def test_an_error_keeps_its_exit_code_where_nobody_hears_it(folder, redirected):
    assert (
        subprocess.run(["sh", "-c", f"{sys.executable} -m advcli evaluate --model none.safetensors {redirected}"]).returncode == 3
    )

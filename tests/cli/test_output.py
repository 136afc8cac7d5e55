"""What reaches a terminal: nothing that moves its cursor, nothing endless, and the right exit code whatever a stream does."""

import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from advcli.catalog.requests import REQUESTS
from advcli.cli.app import main
from advcli.cli.output import UNSEEN, cut, visible
from advcli.cli.render import Console
from advcli.cli.typer_options import described
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
    """The model file with other metadata, and its digest right again."""
    found = model_file.read(path)
    metadata = {k: v for k, v in found.metadata.items() if k not in ("digest", "weights")}
    change(metadata)
    model_file.write(path, metadata, found.tensors)


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_metadata_cannot_write_to_the_terminal(run, model, words):
    def change(metadata):
        metadata["made"]["parameters"]["objective"] = HOSTILE
        metadata["made"]["options"]["augment"] = HOSTILE

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


def test_the_same_flag_twice_says_nothing_else(run, model):
    assert run("attack", "--method", "fgsm", "--limit", "3", "--quiet", "--quiet").code == 0


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


class Screen(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("name", ["[bold]a.h5", "[a.h5", "a].h5", "[/x].h5", "[b]\u202e\x9b31m.h5", ":smile:.h5"])
def test_a_progress_bar_shows_a_name_and_obeys_none_and_leaves_nothing_behind(monkeypatch, name):
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with Console().progress(f"filtering {name}", 3, "images") as tick:
        tick(3, name)
    _, bar, erased = screen.getvalue().rpartition(f"filtering {visible(name)}")
    assert bar
    assert "\x1b[2K" in erased
    assert not UNSEEN.search(screen.getvalue().replace("\x1b", "").replace("\r", ""))


BAR = """
import pty, sys
code = pty.spawn([sys.executable, "-m", "advcli", "defend", "--method", "gaussian", sys.argv[1], "--force"])
sys.exit(code >> 8)
"""


def test_a_command_on_a_terminal_shows_a_bar(run, model):
    Path("[").mkdir()
    assert run("attack", "--method", "fgsm", "--limit", "3", "-o", "[/x].h5", "--no-perturbations").code == 0
    ran = subprocess.run([sys.executable, "-c", BAR, "[/x].h5"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert ran.returncode == 0, ran.stdout
    assert "filtering [/x].h5" in ran.stdout


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_what_an_encoding_cannot_say_is_written_out(monkeypatch, model, encoding):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    assert main(["attack", "--method", "fgsm", "--limit", "3", "--quiet", "-o", "\u65e5.h5"]) == 0
    assert written.getvalue().decode(encoding).strip() == ("\u65e5.h5" if encoding == "utf-8" else "\\u65e5.h5")


@pytest.mark.parametrize(("name", "said"), [("d", "none that stats wrote"), ("none.h5", "no such file"), ("empty.h5", "not an image set"),
                                            ("empty.safetensors", "0 bytes"), ("/dev/null", "not a regular file")])  # fmt: skip
def test_show_says_plainly_what_a_name_is(run, folder, name, said):
    Path("d").mkdir()
    Path("empty.h5").touch()
    Path("empty.safetensors").touch()
    ran = run("show", name)
    assert ran.code == 3
    assert said in ran.err
    assert len(ran.err.splitlines()) == 1


def test_a_name_of_megabytes_in_a_header_is_refused(model):
    for found in ({"method": "x" * 300}, {"method": "x\n"}):
        made = {**model_file.read(model).metadata["made"], **found}
        with pytest.raises(InputError, match=r"made\.method"):
            header_schema.provenance(made, "a.h5")
    with pytest.raises(InputError, match="epsilon"):
        header_schema.budgets(["0." + "3" * 4_000_000], "a.h5")


def test_a_file_name_with_line_breaks_or_escapes_breaks_no_table_and_no_command(run, model):
    name = "a\nb\t\x1b[31m'\\.h5"
    assert run("attack", "--method", "fgsm", "--limit", "3", "--no-perturbations", "-o", name).code == 0
    shown = r"a\nb\t\u001b[31m'\.h5"
    for words in (("evaluate", name), ("stats", name), ("verify", name), ("show", name)):
        ran = run(*words)
        assert ran.code == 0, ran.err
        assert any(shown in line for line in ran.out.splitlines()), words
        assert not any(line.startswith("b") for line in ran.out.splitlines()), words
    command = json.loads(run("show", name, "--json").out)[0]["command"]
    assert command.isprintable()
    if shutil.which("bash"):
        words = subprocess.run(
            ["bash", "-c", f"printf '%s\\0' {command}"], capture_output=True, text=True, check=True
        ).stdout.split("\0")
        assert words[:2] == ["advcli", "attack"]
        assert words[words.index("-o") + 1] == name

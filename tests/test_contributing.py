"""CONTRIBUTING followed to the letter: each of its files is put into a copy of the program, and its commands are run there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import advcli

pytestmark = pytest.mark.sweep

TEXT = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text()
FILES = dict(re.findall(r"`src/advcli/(\w+/\w+\.py)`:?\n\n```python\n(.*?)```", TEXT, flags=re.DOTALL))
COMMANDS = re.findall(r"^\$ (advcli .*?)(?: +#.*)?$", TEXT, flags=re.MULTILINE)


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The program with nothing but one file more of each kind."""
    root = tmp_path_factory.mktemp("copy") / "advcli"
    shutil.copytree(Path(advcli.__file__).parent, root, ignore=shutil.ignore_patterns("__pycache__"))
    for name, code in FILES.items():
        assert not (root / name).exists()
        (root / name).write_text(code)
    return root.parent


def test_there_is_one_file_of_every_kind_and_commands_for_each():
    assert {Path(name).parent.name for name in FILES} == {"attacks", "defenses", "metrics", "figures", "datasets", "checks"}
    assert len(COMMANDS) >= 8


def test_every_command_of_the_page_runs(copy, folder, small_model):
    shutil.copy(small_model, "model.safetensors")
    lines = [command.split()[1:] + ["-o", "other.safetensors"] * command.startswith("advcli train") for command in COMMANDS]
    code = f"from advcli.cli.app import main\nfor words in {lines!r}:\n    assert main(words) == 0, words"
    ran = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(copy)}, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr


def test_an_option_of_a_verb_is_two_files(copy, folder, small_model):
    (field,) = re.findall(r"```python\n(    \w+: Annotated.*?)```", TEXT, flags=re.DOTALL)
    requests, show = copy / "advcli/catalog/file_requests.py", copy / "advcli/verbs/show.py"
    head, _, rest = requests.read_text().partition("    in_: Annotated")
    requests.write_text(head + field + "    in_: Annotated" + rest)
    body = show.read_text()
    assert "return [" in body
    show.write_text(body.replace("    return [", "    if asked.brief:\n        return []\n    return [", 1))
    for words in (["show", "--help"], ["show", "--brief", str(small_model)]):
        code = f"import sys; from advcli.cli.app import main; sys.exit(main({words!r}))"
        ran = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(copy)}, capture_output=True, text=True
        )
        assert ran.returncode == 0, ran.stderr
        assert ("--brief" in ran.stdout) == ("--help" in words)

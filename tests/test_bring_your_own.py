"""The page on models of one's own: every command of it runs, in the order of the page, in one folder."""

import re
import runpy
import shlex
import sys
import warnings
from pathlib import Path

import pytest

PAGE = (Path(__file__).parent.parent / "docs" / "bring-your-own.md").read_text()
SECTIONS = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]


@pytest.mark.parametrize("section", SECTIONS, ids=[one.partition("\n")[0] for one in SECTIONS])
def test_every_command_of_a_section_runs(section, run, folder, monkeypatch):
    monkeypatch.syspath_prepend(folder)
    for name, code in re.findall(r"This is `(\w+\.py)`:\n\n```python\n(.*?)```", section, flags=re.DOTALL):
        Path(name).write_text(code)
        sys.modules.pop(name.removesuffix(".py"), None)
    if ".onnx" in section:
        pytest.importorskip("onnx")
    commands = [line[2:] for line in section.splitlines() if line.startswith("$ ")]
    assert commands
    for command in commands:
        words = shlex.split(command.partition("  #")[0])
        if words[0] == "python":
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore", DeprecationWarning
                )  # torch asks for its newer exporter, which needs one package more
                runpy.run_path(words[1], run_name="__main__")
            continue
        assert words[0] == "advcli"
        ran = run(*words[1:])
        assert ran.code == 0, f"{command}\n{ran.err}"


def test_the_page_is_linked():
    assert "docs/bring-your-own.md" in (Path(__file__).parent.parent / "README.md").read_text()

"""Hostile and broken files: the right code, three lines at most, nothing run, nothing written, little spent."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from advcli.cli.app import main
from advcli.files import sandbox
from hostile import BOMBS, BROKEN, Case, archive, columns, image_set, onnx_graph, picture, png

pytestmark = pytest.mark.sweep


def there() -> dict[str, int]:
    return {str(p): p.lstat().st_size for p in sorted(Path().rglob("*"))}


@pytest.mark.parametrize("name", [*BOMBS, *BROKEN])
def test_a_hostile_file_is_refused_in_words(name, run, model):
    case = {**BOMBS, **BROKEN}[name]
    case.make()
    sandbox.trusted_digests.clear()  # this process has made the file, and would trust it
    before = there()
    ran = run(*case.command)
    assert ran.code in case.codes, ran.err
    assert ran.out == ""
    lines = [line for line in ran.err.splitlines() if line.startswith("advcli: ")]
    assert 1 <= len(lines) <= 3
    assert re.search(case.words, " ".join(lines)), lines
    assert re.search(r"x\.(h5|safetensors|pt|npz|onnx)|pictures", lines[0]), lines
    assert "internal error" not in ran.err
    assert "Traceback" not in ran.err
    assert there() == before


METER = """
import json, os, sys
import h5py, numpy, PIL.Image, safetensors.torch, torch
from advcli.cli.app import main
import advcli.verbs.attack, advcli.verbs.evaluate, advcli.verbs.train, advcli.verbs.import_
null = os.open(os.devnull, os.O_RDWR)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        code = 99
        os.dup2(null, 1), os.dup2(null, 2)
        folder, *words = json.loads(line)
        os.chdir(folder)
        try:
            code = main(words)
        finally:
            os._exit(code)
    _, status, used = os.wait4(child, 0)
    print(json.dumps([os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]), flush=True)
"""


@pytest.fixture(scope="module")
def spent():
    """Exit code, processor seconds and megabytes of a command with all its children.

    Measured by a small process that has the libraries loaded and forks: Linux counts what this one holds, the bombs that it
    has made, as its child's peak.
    """
    with subprocess.Popen([sys.executable, "-c", METER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as meter:

        def measured(command: tuple[str, ...]) -> tuple[int, float, float]:
            meter.stdin.write(json.dumps([str(Path.cwd()), *command]) + "\n")
            meter.stdin.flush()
            return tuple(json.loads(meter.stdout.readline()))

        yield measured
        meter.stdin.close()


GOOD = {
    "set": Case(lambda: image_set(lambda f: None, {**__import__("hostile").HEADER, "classes": ["0", "1"]}), ("evaluate", "x.h5"), ""),
    "model": Case(lambda: shutil.copy("model.safetensors", "x.safetensors"), ("evaluate", "--model", "x.safetensors"), ""),
    "weights": Case(lambda: main(["export", "model.safetensors", "-o", "x.pt"]),
                    ("import", "x.pt", "--arch", "cnn", "-o", "y.safetensors"), ""),
    "onnx": Case(onnx_graph, ("import", "x.onnx", "-o", "y.safetensors"), ""),
    "npz": Case(lambda: archive(x=columns(20)["images"], y=columns(20)["labels"]), ("train", "--data", "x.npz:train", "--epochs", "1", "-o", "y.safetensors"), ""),
    "picture": Case(lambda: picture(png(8, 8, bytes(72))),
                    ("train", "--data", "pictures", "--arch", "softmax", "--epochs", "1", "-o", "y.safetensors"), ""),
}  # fmt: skip


@pytest.mark.parametrize("kind", GOOD)
def test_a_bomb_costs_a_second_and_300_megabytes_more_than_a_good_file(kind, model, spent):
    """Of processor time. Neighbours on the machine can only add to it, so a bomb that seems dear is measured again."""
    GOOD[kind].make()
    code, seconds, megabytes = max(
        spent(GOOD[kind].command), spent((*GOOD[kind].command, "--force") if kind not in ("set", "model") else GOOD[kind].command)
    )
    assert code == 0
    for name, case in BOMBS.items():
        if name.startswith(kind):
            for path in Path().iterdir():
                if path.name != "model.safetensors":
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            case.make()
            for attempt in range(4):
                code, its_seconds, its_megabytes = spent(case.command)
                assert code == 3, name
                if its_seconds < seconds + 1 or attempt == 3:
                    break
            assert its_seconds < seconds + 1, name
            assert its_megabytes < megabytes + 300, name

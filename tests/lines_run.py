"""Which test runs which statement of the program: recorded once, in a copy whose every statement reports that it runs.

The reports are bytes in a file that all processes of a test share, so that children, forked or started, count as well.
"""

import ast
import json
import mmap
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

BOARD = "ADVCLI_STATEMENTS"  # names the shared file in the environment
REPORTER = f'''"""One byte for every statement, in a file that all processes of a test share."""
import mmap, os
place = os.environ.get("{BOARD}")
if place:
    with open(place, "r+b") as file:
        hits = mmap.mmap(file.fileno(), 0)
else:
    hits = bytearray(1 << 20)
'''


def sources(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*.py"))}


def first_places(files: dict[str, str]) -> dict[str, int]:
    """Where the bytes of each file begin; line 1 is the byte after."""
    found, at = {}, 0
    for file, source in files.items():
        found[file] = at
        at += source.count("\n") + 2
    return found


class Reporting(ast.NodeTransformer):
    """Every statement inside a function says first that it runs."""

    def __init__(self, first: int) -> None:
        self.first, self.inside = first, False

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        kept, self.inside = self.inside, True
        node.body = self.reported(node.body, docstring=ast.get_docstring(node) is not None)
        self.inside = kept
        return node

    def reported(self, body: list[ast.stmt], docstring: bool = False) -> list[ast.stmt]:
        found: list[ast.stmt] = []
        for number, one in enumerate(body):
            if not (docstring and number == 0):
                found.append(ast.parse(f"_hits[{self.first + one.lineno}] = 1").body[0])
            found.append(self.visit(one))
        return found

    def generic_visit(self, node: ast.AST) -> ast.AST:
        for name in ("body", "orelse", "finalbody"):
            inner = getattr(node, name, None)
            if self.inside and isinstance(inner, list) and not isinstance(node, ast.ClassDef):
                setattr(node, name, self.reported(inner))
            elif isinstance(inner, list):
                setattr(node, name, [self.visit(one) for one in inner])
        for name in ("handlers", "cases"):
            for one in getattr(node, name, []):
                self.generic_visit(one)
        return node


def write_reporting(source: Path, target: Path) -> None:
    """The program once more, reporting."""
    shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    (target / "_statements.py").write_text(REPORTER)
    files = sources(source)
    for file, first in first_places(files).items():
        tree = Reporting(first).generic_visit(ast.parse(files[file]))
        after = 1 if ast.get_docstring(tree) is not None else 0
        after += sum(isinstance(one, ast.ImportFrom) and one.module == "__future__" for one in tree.body)
        tree.body.insert(after, ast.parse("from _statements import hits as _hits").body[0])
        (target / file).write_text(ast.unparse(ast.fix_missing_locations(tree)))


class Recorder:
    """Notes after each test which statements ran, and how long it took."""

    def __init__(self, size: int, folder: Path, name: str) -> None:
        with (folder / f"board-{name}").open("r+b") as file:
            self.best = mmap.mmap(file.fileno(), 0)
        self.empty, self.log = bytes(size), (folder / f"runs-{name}.jsonl").open("w")
        self.seconds, self.passed = 0.0, True

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.best[:] = self.empty
        self.seconds, self.passed = 0.0, True
        result = yield
        if self.passed:
            ran = [at for at, byte in enumerate(self.best[:]) if byte]
            print(json.dumps([item.nodeid, round(self.seconds, 4), ran]), file=self.log, flush=True)
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds += report.duration
        self.passed &= report.outcome == "passed"


def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """This module as a plugin of the recording run: the shared file stands before anything of the program is imported."""
    size, folder = os.environ["ADVCLI_RECORD"].split(":", 1)
    name = os.environ.get("PYTEST_XDIST_WORKER", "main")
    place = Path(folder) / f"board-{name}"
    place.write_bytes(bytes(int(size)))
    os.environ[BOARD] = str(place)
    early_config.pluginmanager.register(Recorder(int(size), Path(folder), name))


def record(root: Path, folder: Path, left_out: tuple[str, ...], more: list[str]) -> None:
    """Run the tests of a copy of the repository once, and leave what they ran in a folder."""
    files = sources(root / "src")
    write_reporting(root / "src", folder / "reporting")
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(folder / "reporting"), str(root / "tests")]),
        "ADVCLI_RECORD": f"{sum(text.count(chr(10)) + 2 for text in files.values()) + 2}:{folder}",
    }
    words = ["-q", "-p", "lines_run", "-p", "no:cacheprovider", *(f"--deselect={one}" for one in left_out), *more]
    subprocess.run([sys.executable, "-m", "pytest", *words], cwd=root, env=env, check=False)


def read(folder: Path) -> tuple[dict[str, float], dict[int, list[str]]]:
    """The seconds of each test, and the tests that ran each statement."""
    seconds: dict[str, float] = {}
    runs: dict[int, list[str]] = {}
    for path in folder.glob("runs-*.jsonl"):
        for line in path.read_text().splitlines():
            name, took, ran = json.loads(line)
            seconds[name] = took
            for at in ran:
                runs.setdefault(at, []).append(name)
    return seconds, runs

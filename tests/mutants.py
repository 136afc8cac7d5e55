"""Random changes of one token in the program: each is dead where a test fails, and a survivor shows what no test holds.

    python tests/mutants.py --count 200 --seed 1 [--only advcli/numerics] [--seconds 120]

First it records once which test runs which statement, in a folder outside the repository that is named after the
content of src/ and tests/. Then each change is made in a copy, and the tests that run its statement meet it, the quickest
first, one of each kind before the second of any, in a forked child with limits on time and memory. The first test that
fails, and that passes without the change, ends it; a change that runs for ever is dead too. Tests that take long or
measure time are left out, so that what only they would find counts as a survivor.
"""

import argparse
import contextlib
import hashlib
import importlib
import json
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

import lines_run
from one_token import Change, drawn

ROOT = Path(__file__).parent.parent
EQUIVALENT = Path(__file__).with_name("equivalent_mutants.txt")
LEFT_OUT = (  # tests that take long, start the program again and again, or measure time and memory
    "tests/test_packaging.py", "tests/test_contributing.py", "tests/test_benchmarks.py", "tests/test_same_bytes.py",
    "tests/test_fuzz.py", "tests/test_architecture.py", "tests/test_mutants.py", "tests/files/test_hostile.py::test_a_bomb", "tests/files/test_streaming.py",
    "tests/workspace/test_replay.py", "tests/networks/test_forward_styles.py::test_every_verb", "tests/evaluation/test_digits_catalogue.py",
    "tests/cli/test_cli.py::test_a_run_killed", "tests/cli/test_cli.py::test_who_is_asked",
    "tests/cli/test_cli.py::test_a_classifier_of_torchvisions", "tests/cli/test_cli.py::test_pictures_exported",
    "tests/training/test_recipes.py::test_fgsm_training", "tests/training/test_training.py::test_large",
    "tests/files/test_storage.py::test_a_run_stopped", "tests/files/test_storage.py::test_a_disk", "tests/files/test_storage.py::test_the_old",
)  # fmt: skip
HEAVY = ("numpy", "torch", "h5py", "scipy.stats", "scipy.ndimage", "sklearn.datasets", "safetensors.torch", "PIL.Image",
         "typer", "rich.console", "torchvision", "matplotlib.pyplot")  # fmt: skip  # imported once, before the forks
STAGES = (25, 150, 100_000)  # tests at a time
MEMORY, FILE = 8 << 30, 2 << 30  # bytes that a child may hold, and write into one file
PASSED, FAILED, NONE = 0, 1, 5  # pytest's exit codes


@dataclass(frozen=True)
class Fate:
    """How a change ended: the test that failed, `too slow`, or nothing."""

    change: Change
    killer: str | None
    tried: int
    known: int

    @property
    def dead(self) -> bool:
        return self.killer is not None


class Chosen:
    """Runs these tests only, in this order, and notes in a file which one was the last."""

    def __init__(self, names: list[str], log: Path) -> None:
        self.order, self.log = {name: place for place, name in enumerate(names)}, log

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted((one for one in items if one.nodeid in self.order), key=lambda one: self.order[one.nodeid])

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.log.write_text(nodeid)


class Laboratory:
    """A copy of the repository in which one file at a time is changed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.scratch = folder / "copy", folder / "scratch"
        names = shutil.ignore_patterns("__pycache__", ".*", "data", "papers", "*.egg-info")
        shutil.copytree(ROOT, self.folder, ignore=names)
        self.sources = lines_run.sources(self.folder / "src")
        self.first = lines_run.first_places(self.sources)
        self.seconds, self.runs = {}, {}
        self.trusted: dict[str, bool] = {}

    def read(self, record: Path) -> None:
        self.seconds, self.runs = lines_run.read(record)

    def watching(self, change: Change) -> list[str]:
        """The tests that run what is changed, in the order in which they are to meet it."""
        lines = {self.first[change.file] + change.runs} if change.runs is not None else self.mentions(change)
        found = {name for line in lines for name in self.runs.get(line, ())}
        if change.names:  # the catalog reads it without running it
            found |= {name for name in self.seconds if name.startswith(("tests/test_docs.py", "tests/catalog"))}
        seen: Counter[str] = Counter()
        ranked = []
        for name in sorted(found, key=lambda one: self.seconds[one]):
            function = name.split("[")[0]
            ranked.append((seen[function], self.seconds[name], name))
            seen[function] += 1
        return [name for _, _, name in sorted(ranked)]

    def mentions(self, change: Change) -> set[int]:
        """The statements that mention what a change at import binds; where there is none, all of its file."""
        found = set()
        for name in change.names:
            word = re.compile(rf"\b{re.escape(name)}\b")
            for file, source in self.sources.items():
                lines = enumerate(source.splitlines(), 1)
                found |= {self.first[file] + number for number, line in lines if word.search(line)} & self.runs.keys()
        first = self.first[change.file]
        return found or {first + line for line in range(1, self.sources[change.file].count("\n") + 2)}

    def meet(self, change: Change, patience: float) -> Fate:
        """Let the tests meet a change, which is undone at the end."""
        place = self.folder / "src" / change.file
        names = self.watching(change)
        tried = 0
        try:
            self.write(place, change.made(self.sources[change.file]))
            for count in STAGES:
                piece: list[str] = []
                while names and len(piece) < count and sum(self.seconds[one] for one in piece) < patience:
                    piece.append(names.pop(0))
                killer = self.run(piece) if piece else None
                tried += len(piece)
                if killer and self.holds(killer, place, change):
                    return Fate(change, killer, tried, tried + len(names))
                patience -= sum(self.seconds[one] for one in piece)
        finally:
            self.write(place, self.sources[change.file])
        return Fate(change, None, tried, tried + len(names))

    def holds(self, killer: str, place: Path, change: Change) -> bool:
        """Whether a test that failed passes without the change."""
        name = killer.removeprefix("too slow: ")
        if name in self.seconds and name not in self.trusted:
            self.write(place, self.sources[change.file])
            self.trusted[name] = self.run([name]) is None
            self.write(place, change.made(self.sources[change.file]))
        return self.trusted.get(name, True)

    def write(self, place: Path, text: str) -> None:
        """Change a file, and leave no compiled form of what stood there."""
        for stale in (place.parent / "__pycache__").glob(f"{place.stem}.*.pyc"):
            stale.unlink()
        place.write_text(text)

    def run(self, names: list[str]) -> str | None:
        """Run tests in a child: the one that failed, or None."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir()
        log = self.scratch / "last"
        limit = 60 + 10 * sum(self.seconds[one] for one in names)
        child = os.fork()
        if child == 0:
            os.setsid()
            self.inside(names, log)
        deadline = time.monotonic() + limit
        while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
            if time.monotonic() > deadline:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return f"too slow: {log.read_text() if log.exists() else 'at import'}"
            time.sleep(0.05)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # what its tests may have left behind
        if os.WIFEXITED(ended[1]) and os.WEXITSTATUS(ended[1]) in (PASSED, NONE):
            return None
        return log.read_text() if log.exists() else "at import"

    def inside(self, names: list[str], log: Path) -> None:
        """A child's part."""
        code = FAILED
        try:
            nowhere = os.open(self.scratch / "output", os.O_RDWR | os.O_CREAT)
            for stream in (0, 1, 2):
                os.dup2(nowhere, stream)
            resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
            resource.setrlimit(resource.RLIMIT_FSIZE, (FILE, FILE))
            paths = [str(self.folder / "src"), str(self.folder / "tests")]
            sys.path[:] = [*paths, *(one for one in sys.path if Path(one) not in (ROOT / "src", ROOT / "tests"))]
            os.environ |= {"PYTHONPATH": os.pathsep.join(paths), "TMPDIR": str(self.scratch), "HOME": str(self.scratch),
                           "OMP_NUM_THREADS": "1"}  # fmt: skip
            tempfile.tempdir = None
            for name in [one for one in sys.modules if one.split(".")[0] == "advcli" or one in ("lines_run", "one_token")]:
                del sys.modules[name]
            os.chdir(self.folder)
            files = sorted({one.split("::")[0] for one in names})
            code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *files], plugins=[Chosen(names, log)])
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(int(code))


def recorded(folder: Path) -> Path:
    """Where it stands which test runs what; it is recorded where it does not stand yet."""
    content = hashlib.sha256()
    for part in ("src", "tests"):
        for name, text in lines_run.sources(ROOT / part).items():
            content.update(f"{name}\0{text}\0".encode())
    record = folder / content.hexdigest()[:16]
    if not (record / "done").exists():
        shutil.rmtree(record, ignore_errors=True)
        record.mkdir(parents=True)
        print(f"recording which test runs what, once, in {record}", file=sys.stderr)
        lines_run.record(ROOT, record, LEFT_OUT, ["-n", str(os.cpu_count() or 1)])
        (record / "done").touch()
    return record


def explained() -> set[str]:
    """The changes that a file explains, each as `what | why`: they change nothing that anybody could see."""
    lines = EQUIVALENT.read_text().splitlines() if EQUIVALENT.exists() else []
    return {line.rsplit(" | ", 1)[0] for line in lines if " | " in line}


def spelled(change: Change, source: str) -> str:
    """A change by its file, the text of its line, and the column, so that it is known again when lines move."""
    line = source.splitlines()[change.line - 1]
    column = change.start - source.rfind("\n", 0, change.start) - 1 - (len(line) - len(line.lstrip()))
    return f"{change.file}: {line.strip()} @{column} {change.old.strip()} -> {change.new.strip()}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="files that begin so, as advcli/numerics")
    parser.add_argument("--seconds", type=float, default=120, help="of tests that a change meets at most")
    parser.add_argument("--record", type=Path, help="a record of what tests run, instead of that of this tree")
    given = parser.parse_args()
    folder = Path(tempfile.gettempdir()) / f"advcli-mutants-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    record = given.record or recorded(folder)
    os.environ["OMP_NUM_THREADS"] = "1"
    for name in HEAVY:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        return experiment(Laboratory(Path(place)), record, given)


def experiment(laboratory: Laboratory, record: Path, given: argparse.Namespace) -> int:
    """Make the changes one after the other; the figures, and each survivor."""
    laboratory.read(record)
    if laboratory.run(sorted(laboratory.seconds, key=lambda one: laboratory.seconds[one])[:20]) is not None:
        sys.exit(f"the tests fail without any change:\n{(laboratory.scratch / 'output').read_text()}")
    known, fates, equal = explained(), [], 0
    chosen = drawn(
        {name: text for name, text in laboratory.sources.items() if name.startswith(given.only)}, given.count, given.seed
    )
    for number, change in enumerate(chosen, 1):
        name = spelled(change, laboratory.sources[change.file])
        if name in known:
            equal += 1
            continue
        begin = time.monotonic()
        fates.append(fate := laboratory.meet(change, given.seconds))
        how = f"dead by {fate.killer}" if fate.dead else f"SURVIVES {fate.tried} of {fate.known} tests: {name}"
        print(f"{number} {change}: {how} ({time.monotonic() - begin:.0f} s)", flush=True)
    dead = sum(one.dead for one in fates)
    print(json.dumps({"tried": len(fates), "dead": dead, "explained": equal, "share": round(dead / max(1, len(fates)), 4)}))
    for fate in fates:
        if not fate.dead:
            print(f"survivor: {fate.change} | {spelled(fate.change, laboratory.sources[fate.change.file])}")
    return 0 if dead >= 0.95 * len(fates) else 1


if __name__ == "__main__":
    sys.exit(main())

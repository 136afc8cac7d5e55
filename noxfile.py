"""The front door: `nox -l` lists the sessions. All but `lowest` share the environment that nox itself runs in."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import nox

ROOT = Path(__file__).parent
BLOCK = ROOT / "docs" / "walk.sh"
nox.options.sessions = ["lint", "types", "examples", "docs", "tests"]
nox.options.default_venv_backend = "none"  # torch is 5 GB: one environment for all


def python(session: nox.Session, *args: str) -> None:
    session.run(sys.executable, *args, external=True)


@nox.session
def lint(session: nox.Session) -> None:
    """Style and import order."""
    python(session, "-m", "ruff", "check", ".")
    python(session, "-m", "ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """mypy --strict."""
    python(session, "-m", "mypy")


@nox.session
def tests(session: nox.Session) -> None:
    """The tests, on two workers."""
    python(session, "-m", "pytest", "-n", "2", *session.posargs)


@nox.session
def examples(session: nox.Session) -> None:
    """The README's commands, as they stand, in an empty folder."""
    bin_folder = str(Path(sys.executable).parent)
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "PATH": bin_folder + os.pathsep + os.environ["PATH"]}
        subprocess.run(["bash", "-e", str(BLOCK)], cwd=folder, env=env, check=True)
    session.log("every line of docs/walk.sh ended with 0")


@nox.session
def docs(session: nox.Session) -> None:
    """Check that the generated tables of the documentation are up to date; `-- --write` writes them."""
    python(session, "docs/tables.py", *session.posargs)


@nox.session
def papers(session: nox.Session) -> None:
    """The tables and figures of the five papers on the embedded digits; `-- --full` runs them on MNIST and CIFAR-10."""
    size = "--full" if "--full" in session.posargs else "--quick"
    more = [one for one in session.posargs if one != size]
    env = {**os.environ, "PATH": str(Path(sys.executable).parent) + os.pathsep + os.environ["PATH"]}
    with tempfile.TemporaryDirectory() as folder:
        if size == "--quick":
            env["PAPERS_WORK"] = folder
        subprocess.run([str(ROOT / "papers" / "run"), size, "--jobs", "2", *more], env=env, check=True)
        if size == "--quick" and not more:
            python(session, "-m", "papers.index", "--check", str(Path(folder) / "quick"))


@nox.session
def fuzz(session: nox.Session) -> None:
    """Mutated files against the readers: 500 a format and 50 as true commands; `-- --count 20000` for a sweep."""
    python(session, "tests/fuzz.py", *session.posargs)


@nox.session
def replays(session: nox.Session) -> None:
    """A hundred random command lines, each made again from what `show` prints; `-- --count 1000 --seed 2` for others."""
    python(session, "tests/replays.py", *session.posargs)


@nox.session
def masked(session: nox.Session) -> None:
    """`audit` on networks that hide their gradients, each beside an attack that knows how; `-- NETWORK...` for some of them."""
    python(session, "tests/masked_audits.py", *session.posargs)


@nox.session
def published(session: nox.Session) -> None:
    """Import a small MNIST network from PyPI, which pip downloads; measure, attack and audit it. ADVCLI_DATA must hold MNIST."""
    python(session, "tests/published_digits.py", *session.posargs)


@nox.session
def mutants(session: nox.Session) -> None:
    """Two hundred random changes of one token in src/, of which the tests must find 95 %; `-- --count 50 --seed 2` for others."""
    python(session, "tests/mutants.py", *session.posargs)


@nox.session(venv_backend="venv")
def lowest(session: nox.Session) -> None:
    """The tests on the oldest torch that we accept, without those that do not depend on it (marked `sweep`)."""
    session.install("torch==2.11.0", "torchvision==0.26.0")
    session.install(".[dev]")
    session.run("python", "-m", "pytest", "-n", "2", "-m", "not sweep", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Write benchmarks/README.md from its kept results; `-- all` measures what they lack, `-- CELL --again` measures anew."""
    python(session, "-m", "benchmarks.run", *session.posargs)


@nox.session
def bytes(session: nox.Session) -> None:  # the name of the session
    """Record what every verb and method writes, `-- record OUT.json`, or compare two records, `-- compare A.json B.json`."""
    python(session, "tests/same_bytes.py", *session.posargs)

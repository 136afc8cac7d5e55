"""What is published: the source archive holds what its tests read, the wheel what the program reads."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.sweep

ROOT = Path(__file__).parent.parent
TREES = ("src", "tests", "docs", "benchmarks", "data", "papers")
LEFT = ("__pycache__", "*.egg-info", "*.parts", "*.pyc", "work")  # papers/work holds models and sets of a run
BUILD = "import sys\nfrom setuptools import build_meta\nto = sys.argv[1]\nbuild_meta.build_sdist(to)\nbuild_meta.build_wheel(to)"


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with both archives, built from a copy, and the copy beside them."""
    folder = tmp_path_factory.mktemp("built")
    copy = folder / "copy"
    copy.mkdir()
    for name in TREES:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns(*LEFT) if name != "data" else only_readme)
    for path in ROOT.iterdir():
        if path.is_file() and path.suffix in (".md", ".toml", ".py", ".in", ""):
            shutil.copy(path, copy)
    subprocess.run([sys.executable, "-c", BUILD, folder], cwd=copy, check=True, capture_output=True, timeout=300)
    return folder


def only_readme(folder, names):
    """Data sets are not part of the source."""
    return [name for name in names if name != "README.md"]


def test_the_source_archive_holds_all_that_its_tests_read(built):
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        archive.extractall(built / "unpacked", filter="data")
    (root,) = (built / "unpacked").iterdir()
    copied = {path.relative_to(built / "copy") for name in TREES for path in (built / "copy" / name).rglob("*") if path.is_file()}
    copied = {path for path in copied if not any(part.endswith(".egg-info") for part in path.parts)}
    assert len(copied) > 200
    assert not [path for path in copied if not (root / path).exists()]
    assert all((root / name).exists() for name in ("noxfile.py", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE"))
    few = ["tests/numerics/test_quantities.py", "tests/test_architecture.py", "tests/files/test_limits.py"]
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider"]
    within = {"PYTHONPATH": str(root / "src"), "PATH": "/usr/bin:/bin", "HOME": str(built)}
    found = subprocess.run([*command, "--collect-only"], cwd=root, env=within, capture_output=True, text=True, timeout=300)
    assert found.returncode == 0, found.stdout[-2000:]
    ran = subprocess.run([*command, *few], cwd=root, env=within, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stdout[-2000:]


def test_the_wheel_holds_the_digits_and_says_that_it_is_typed(built):
    with zipfile.ZipFile(next(built.glob("*.whl"))) as archive:
        names = archive.namelist()
    assert {"advcli/datasets/digits.png", "advcli/py.typed"} <= set(names)
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/", "docs/"))]

"""The house: which way imports point, what may not be imported or called, and how large a file may grow."""

import ast
from pathlib import Path

import pytest

import advcli

ROOT = Path(advcli.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
LAYERS = [
    {"errors", "arrays"},
    {"numbers", "talk", "header", "interval", "leaving", "memory", "opening", "storage", "rng"},
    {"parameters", "verdicts", "paired", "schema"},
    {"registry", "geometry", "losses", "rejection"},
    {"zoo"},
    {"imagewriter", "fitted"},
    {"structure"},
    {"catalog", "grid", "imageset", "dataset", "victim", "filters", "frequency", "pictures", "library", "trees"},
    {"stack", "looks", "search", "idx", "proposal", "beforehand"},
    {"modelfile", "approach", "opponent", "crossing", "layout"},
    {"foreign", "vision", "swift"},
    {"data", "models", "attacks", "defenses", "recipes", "metrics", "figures"},
    {"pipeline"},
    {"cli"},
    {"__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
KINDS = next(names for names in LAYERS if "attacks" in names)


def imports(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module] + [f"{node.module}.{one.name}" for one in node.names]
    return found


def room(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0]


@pytest.mark.parametrize("path", [p for p in FILES if p != ROOT / "__init__.py"], ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path):
    for name in imports(path):
        if name.startswith("advcli.") and (other := name.split(".")[1]) in LEVEL and other != room(path):
            assert LEVEL[other] < LEVEL[room(path)], f"{path.name} imports {name}"
            assert not (room(path) in KINDS and other in KINDS)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nobody_imports_or_calls_what_is_forbidden(path):
    names = {name.split(".")[0] for name in imports(path)}
    assert not names & {"pickle", "marshal", "shelve", "dill", "cloudpickle", "click"}
    if room(path) != "cli":
        assert not names & {"typer", "rich"}
    if room(path) in ("errors", "numbers", "parameters", "registry", "catalog", "talk", "header"):
        assert not names & {"torch", "numpy", "h5py"}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("eval", "exec", "compile", "torch.manual_seed"), called
            given = {k.arg: ast.unparse(k.value) for k in node.keywords}
            assert given.get("allow_pickle") != "True"
            if called == "torch.load":
                assert given.get("weights_only") == "True"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_is_a_page_or_two_with_a_docstring(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 300
    assert ast.get_docstring(ast.parse(text))


def test_no_room_is_called_utils():
    assert not {p.stem for p in FILES} & {"utils", "util", "helpers", "common", "base", "misc"}

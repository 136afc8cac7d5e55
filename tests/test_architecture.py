"""The house: which room may import which, what may not be imported or called, and how large a file may grow."""

import ast
from pathlib import Path

import pytest

import advcli
from advcli.catalog.traits import TRAITS
from advcli.numerics.rng import Purpose

ROOT = Path(advcli.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
TESTS = sorted(Path(__file__).parent.rglob("*.py"))
LAYERS = [  # a room imports from rooms that stand above it here, and from itself
    {"errors"},
    {"runtime", "numerics"},
    {"catalog"},
    {"files"},
    {"images"},
    {"networks"},
    {"bounds"},
    {"search"},
    {"training", "evaluation"},
    {"extend"},
    {"attacks", "defenses", "recipes", "architectures", "datasets", "metrics", "figures", "checks"},
    {"workspace"},
    {"auditing", "crafting", "defending"},
    {"verbs"},
    {"cli"},
    {"__init__", "__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
TOP = {"__init__", "__main__", "errors", "extend"}  # the modules that lie in no room
LIGHT = ("errors", "catalog", "cli")  # rooms that help is made of: neither torch nor numpy nor h5py


def imports(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module] + [f"{node.module}.{one.name}" for one in node.names]
    return found


def imported_modules(path: Path) -> set[Path]:
    """The files of advcli that a file imports."""
    places = {ROOT.joinpath(*name.split(".")[1:]).with_suffix(".py") for name in imports(path) if name.startswith("advcli.")}
    return {place for place in places if place.exists()}


def room(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0]


def test_no_module_is_added_beside_the_rooms():
    assert {path.stem for path in ROOT.glob("*.py")} == TOP
    assert {path.name for path in ROOT.iterdir() if path.is_dir() and path.name != "__pycache__"} == LEVEL.keys() - TOP


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path):
    for other in imported_modules(path):
        if room(other) != room(path):
            assert LEVEL[room(other)] < LEVEL[room(path)], f"{path.name} imports {other.relative_to(ROOT)}"


@pytest.mark.parametrize("name", sorted(LEVEL.keys() - TOP))
def test_no_circle_inside_a_room(name):
    left = {path: imported_modules(path) for path in FILES if room(path) == name}
    left = {path: {one for one in others if one in left and one != path} for path, others in left.items()}
    while ready := [path for path, others in left.items() if not others & left.keys()]:
        for path in ready:
            del left[path]
    assert not left, f"these import each other: {sorted(path.name for path in left)}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nobody_imports_or_calls_what_is_forbidden(path):
    names = {name.split(".")[0] for name in imports(path)}
    assert not names & {"pickle", "marshal", "shelve", "dill", "cloudpickle", "click"}
    if room(path) != "cli":
        assert not names & {"typer", "rich"}
    if room(path) in LIGHT:
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


@pytest.mark.parametrize("path", TESTS, ids=lambda p: str(p.relative_to(Path(__file__).parent)))
def test_a_file_of_tests_has_no_more_than_four_hundred_lines(path):
    assert len(path.read_text().splitlines()) <= 400


def test_no_room_is_called_utils():
    assert not {p.stem for p in FILES} & {"utils", "util", "helpers", "common", "base", "misc"}


def test_which_purposes_draw_is_said_once():
    """Every draw of the program begins with a Purpose, and every Purpose is drawn for."""
    used = set()
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "Purpose":
                used.add(node.attr)
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("SampleRNG", "passes"):
                given = [ast.unparse(one) for one in node.args]
                assert any("Purpose." in one or one == "path" for one in given), (
                    f"{path.name}:{node.lineno}: draws for no purpose"
                )
    assert used == {one.name for one in Purpose}


MOST = 8  # parameters of a function


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_function_takes_no_more_than_eight_parameters(path):
    """Besides methods, whose parameters are options, and the decorators, whose parameters are traits."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef) and not (path.name == "registry.py" and node.name in TRAITS):
            marks = {
                mark.func.id for mark in node.decorator_list if isinstance(mark, ast.Call) and isinstance(mark.func, ast.Name)
            }
            count = len([*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs])
            assert count <= MOST or marks & set(TRAITS), f"{node.name} takes {count}"

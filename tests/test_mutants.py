"""The changes of one token that `nox -s mutants` makes, and which statements it says that a test runs."""

import ast
import subprocess
import sys

import pytest

import lines_run
import mutants
from one_token import Change, Sites, drawn

pytestmark = pytest.mark.sweep

SOURCE = '''"""A module: 1 + 1 is 2."""
from dataclasses import dataclass

MOST = 10


@dataclass(frozen=True)
class Held:
    """Kept: not 3."""

    size: int | None = 4


def answer(x: float, y: float = 0.5, *, loud: bool = False) -> float:
    """min and max, not less."""
    if not loud and x <= y or x in (1, 2):
        raise ValueError(f"{x + 1} is not one of {MOST - 1}" if x > 0 else "no")
    for number in range(3):
        x += min(number, MOST) * -y
        if number is not None:
            continue
    return x // 2
'''


def changes() -> list[Change]:
    return list(Sites("advcli/x.py", SOURCE).found())


def test_every_change_is_one_token_of_code_and_leaves_a_module():
    for change in changes():
        made = change.made(SOURCE)
        ast.parse(made)
        assert made != SOURCE
        assert made[: change.start] == SOURCE[: change.start]
        assert made.endswith(SOURCE[change.stop :])


def test_what_is_said_to_people_and_to_the_type_checker_is_never_changed():
    touched = {SOURCE.splitlines()[change.line - 1].strip() for change in changes()}
    assert not [line for line in touched if line.startswith(('"""', "raise", "@dataclass", "from"))]
    assert {(one.old, one.new) for one in changes() if "size: int" in SOURCE.splitlines()[one.line - 1]} == {
        ("4", "5"),
        ("4", "3"),
    }


def test_operators_words_numbers_signs_and_names_are_changed():
    found = {(one.old.strip(), one.new.strip()) for one in changes()}
    wanted = [("<=", "<"), ("<=", ">"), ("and", "or"), ("or", "and"), ("not", ""), ("in", "not in"), ("is not", "is"), ("min", "max"),
              ("*", "/"), ("-", ""), ("+=", "-="), ("//", "/"), ("continue", "break"), ("False", "True"), ("0.5", "1.5"), ("10", "9")]  # fmt: skip
    assert set(wanted) <= found


def test_a_change_knows_the_statement_that_has_to_run_or_the_name_that_it_binds():
    by_line = {SOURCE.splitlines()[one.line - 1].strip(): one for one in changes()}
    lines = [line.strip() for line in SOURCE.splitlines()]
    assert by_line["MOST = 10"].names == {"MOST"}
    assert by_line["size: int | None = 4"].names == {"Held", "size"}
    assert by_line["return x // 2"].runs == lines.index("return x // 2") + 1
    head = next(one for one in changes() if one.line == lines.index(next(x for x in lines if x.startswith("def"))) + 1)
    assert head.runs == lines.index("if not loud and x <= y or x in (1, 2):") + 1
    assert head.names == {"answer"}, "the catalog reads what a function declares"
    assert not by_line["return x // 2"].names


def test_the_same_seed_draws_the_same_changes_at_different_places():
    first, again, other = (drawn({"advcli/x.py": SOURCE}, 12, seed) for seed in (1, 1, 2))
    assert first == again != other
    assert len({(one.start, one.stop) for one in first}) == 12


def test_each_statement_says_that_it_ran_also_in_a_child(tmp_path):
    """A program of three files, of which a child runs one."""
    source, target = tmp_path / "src", tmp_path / "reporting"
    source.mkdir()
    (source / "one.py").write_text(
        '"""One."""\nfrom __future__ import annotations\n\n\ndef f(x):\n    """Says."""\n    if x:\n        return 1\n    elif x is None:\n'
        "        return 2\n    try:\n        y = 3\n    finally:\n        y = 4\n    return y\n"
    )
    lines_run.write_reporting(source, target)
    best = tmp_path / "board"
    best.write_bytes(bytes(100))
    code = "import os, one; child = os.fork(); one.f(None if child else 0); os._exit(0) if not child else os.waitpid(child, 0)"
    subprocess.run(
        [sys.executable, "-c", code], env={lines_run.BOARD: str(best), "PYTHONPATH": str(target)}, check=True, timeout=60
    )
    first = lines_run.first_places(lines_run.sources(source))["one.py"]
    assert [at - first for at, byte in enumerate(best.read_bytes()) if byte] == [7, 9, 10, 11, 12, 14, 15]


def test_a_change_is_known_again_when_lines_move():
    (change,) = (one for one in changes() if one.old == "min")
    moved = f"# more\n{SOURCE}"
    (later,) = (one for one in Sites("advcli/x.py", moved).found() if one.old == "min")
    assert mutants.spelled(change, SOURCE) == mutants.spelled(later, moved)
    assert change.line + 1 == later.line


def test_every_equivalent_change_is_one_that_could_be_made_and_says_why():
    sources = lines_run.sources(mutants.ROOT / "src")
    possible = {mutants.spelled(one, text) for file, text in sources.items() for one in Sites(file, text).found()}
    lines = mutants.EQUIVALENT.read_text().splitlines()
    assert lines
    for line in lines:
        what, why = line.rsplit(" | ", 1)
        assert what in possible, what
        assert len(why) > 20


@pytest.mark.parametrize("name", mutants.LEFT_OUT)
def test_what_is_left_out_is_there(name):
    file, _, function = name.partition("::")
    assert f"def {function}" in (mutants.ROOT / file).read_text()

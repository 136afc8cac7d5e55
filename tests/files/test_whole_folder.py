"""A folder is built aside and takes its name whole: whatever fails or stops, a reader sees the old one or the new one."""

import errno
from pathlib import Path

import pytest

from advcli.errors import AdvcliError
from advcli.files import atomic
from faults import Failing, Recording, Stop, crash_states

OLD = {"a": b"old a", "b": b"old b", "sub/c": b"old c"}
NEW = {"a": b"new a", "sub/d": b"new d"}


def content(path: Path) -> dict[str, bytes]:
    return {str(one.relative_to(path)): one.read_bytes() for one in path.rglob("*") if one.is_file()}


def build(path: Path, files: dict[str, bytes]) -> None:
    with atomic.folder(path) as building:
        for name, data in files.items():
            atomic.write(building / name, [data])


@pytest.fixture(params=["at once", "in steps"])
def exchange(request, monkeypatch) -> None:
    """Whether the system can exchange two names."""
    if request.param == "in steps":
        monkeypatch.setattr(atomic, "_swapped", lambda one, other: False)


@pytest.mark.parametrize("old", [{}, OLD], ids=["new", "replaced"])
@pytest.mark.parametrize("failure", [Stop(), OSError(errno.ENOSPC, "full")], ids=["stopped", "full disk"])
def test_a_build_that_ends_at_any_call_shows_the_old_folder_or_the_new_one(folder, monkeypatch, exchange, old, failure):
    path, seen = Path("out"), set()
    counting = Failing()
    for at in range(400):
        if old:
            build(path, old)
        failing = counting if not at else Failing(at, failure)
        monkeypatch.setattr(atomic, "calls", failing)
        try:
            build(path, NEW)
        except (Stop, AdvcliError) as error:
            assert at  # the first run only counts
            assert not isinstance(error, AdvcliError) or error.exit_code == 4
        monkeypatch.setattr(atomic, "calls", atomic.Calls())
        assert content(path) in (old, NEW) if path.exists() else not old
        seen.add(content(path) == NEW if path.exists() else False)
        build(path, NEW)
        assert content(path) == NEW
        assert [one.name for one in Path().iterdir()] == ["out"]
        atomic.remove(path)
        if at > counting.count:
            break
    assert counting.count > 10
    assert seen == {True, False}


def test_what_a_kill_between_two_renames_has_put_aside_comes_back(folder):
    build(Path("out"), OLD)
    Path("out").rename(".out.replaced")
    with pytest.raises(ZeroDivisionError), atomic.folder(Path("out")):
        raise ZeroDivisionError
    assert content(Path("out")) == OLD
    assert [one.name for one in Path().iterdir()] == ["out"]


@pytest.mark.parametrize("old", [{}, OLD], ids=["new", "replaced"])
def test_no_crash_shows_some_of_both(folder, monkeypatch, old):
    path, root = Path("out"), Path().resolve()
    if old:
        build(path, old)
    before = {one.resolve(): one.read_bytes() for one in path.rglob("*") if one.is_file()}
    taking_notes = Recording()
    monkeypatch.setattr(atomic, "calls", taking_notes)
    build(path, NEW)
    seen = set()
    for state in crash_states(taking_notes.log, before, 2000, seed=3):
        found = {str(name.relative_to(root / path)): data for name, data in state.files.items() if root / path in name.parents}
        assert found in (old, NEW)
        seen.add(found == NEW)
    assert seen == {True, False}


def test_one_process_at_a_time_builds_it(folder):
    with atomic.folder(Path("out")), pytest.raises(AdvcliError, match="another advcli") as caught:
        build(Path("out"), NEW)
    assert caught.value.exit_code == 4


def test_what_a_link_points_to_stays(folder):
    build(Path("elsewhere"), OLD)
    Path("out").symlink_to("elsewhere")
    build(Path("out"), NEW)
    assert content(Path("out")) == NEW
    assert content(Path("elsewhere")) == OLD
    assert not Path("out").is_symlink()

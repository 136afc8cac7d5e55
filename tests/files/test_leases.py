"""Leases: one owner at a time, renewed while it lives, taken over when it is silent."""

import json
import os
import subprocess
import sys

import pytest

from advcli.files import leases as leases_module
from advcli.files.leases import Leases


@pytest.fixture
def clock(monkeypatch):
    """The observers' clock, which a test sets."""
    now = [0.0]
    monkeypatch.setattr(leases_module.time, "monotonic", lambda: now[0])
    return now


def elsewhere(path, beat: int = 0, owner: str = "other") -> None:
    """A lease of a process on another machine."""
    path.write_text(json.dumps({"owner": owner, "host": "elsewhere", "pid": 1, "started": "1", "beat": beat}))


def test_a_part_has_one_owner(tmp_path):
    one, other = Leases(tmp_path), Leases(tmp_path)
    assert one.take(3)
    assert not other.take(3)
    assert not one.take(3)
    assert other.take(4)
    one.release(3)
    assert other.take(3)


def test_all_leases_are_given_back_at_the_end(tmp_path):
    with Leases(tmp_path) as one:
        assert one.take(1)
        assert one.take(2)
    assert not [*tmp_path.iterdir()]


def test_a_lease_elsewhere_is_taken_over_when_it_has_been_silent_for_a_minute_of_our_clock(tmp_path, clock):
    elsewhere(tmp_path / "lease-000000007.lease")
    mine = Leases(tmp_path)
    clock[0] = 1000.0  # how long it was silent before we first saw it counts for nothing
    assert not mine.take(7)
    clock[0] += 59
    assert not mine.take(7)
    clock[0] += 1
    assert mine.take(7)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lease-000000007.lease"]


def test_a_lease_that_is_renewed_is_left_alone(tmp_path, clock):
    mine = Leases(tmp_path)
    for beat in range(5):
        elsewhere(tmp_path / "lease-000000007.lease", beat)
        clock[0] += 59
        assert not mine.take(7)


def test_an_owner_renews_what_it_has_and_nothing_else(tmp_path, clock):
    one, other = Leases(tmp_path), Leases(tmp_path)
    assert one.take(1)
    before = (tmp_path / "lease-000000001.lease").read_bytes()
    one.renew()
    assert (tmp_path / "lease-000000001.lease").read_bytes() != before
    elsewhere(tmp_path / "lease-000000001.lease")
    now = (tmp_path / "lease-000000001.lease").read_bytes()
    one.renew()
    assert (tmp_path / "lease-000000001.lease").read_bytes() == now  # somebody has taken it over
    one.release(1)
    assert (tmp_path / "lease-000000001.lease").exists()
    other.release(1)
    assert (tmp_path / "lease-000000001.lease").exists()


def test_a_process_of_this_machine_that_has_ended_is_replaced_at_once(tmp_path, clock):
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True)
    content = {"owner": "x", "host": os.uname().nodename, "pid": int(ended.stdout), "started": "1", "beat": 0}
    (tmp_path / "lease-000000001.lease").write_text(json.dumps(content))
    assert Leases(tmp_path).take(1)


def test_a_lease_that_is_renewed_while_it_is_taken_over_stays_its_owners(tmp_path, clock, monkeypatch):
    path = tmp_path / "lease-000000001.lease"
    elsewhere(path)
    mine = Leases(tmp_path)
    assert not mine.take(1)
    clock[0] += 100
    rename = leases_module.atomic.calls.rename

    def late(old, new):
        elsewhere(old, beat=1)  # after we have looked for the last time
        rename(old, new)

    monkeypatch.setattr(leases_module.atomic.calls, "rename", late)
    assert not mine.take(1)
    assert json.loads(path.read_text())["beat"] == 1


def test_a_lease_that_was_cut_short_counts_only_when_it_is_silent(tmp_path, clock):
    (tmp_path / "lease-000000001.lease").write_bytes(b"")
    mine = Leases(tmp_path)
    assert not mine.take(1)
    clock[0] += 61
    assert mine.take(1)

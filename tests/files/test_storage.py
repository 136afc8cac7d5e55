"""The file layer: nothing half-made under a final name, whatever fails, wherever it stops, whatever the disk forgot."""

import contextlib
import errno
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from advcli.errors import AdvcliError
from advcli.files import atomic, imageset_writer
from faults import Failing, Recording, Stop, crash_states

pytestmark = pytest.mark.sweep

CODES = [errno.ENOSPC, errno.EIO, errno.EDQUOT]


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("at", range(1, 7))
def test_a_failing_call_leaves_the_old_file_and_no_litter(folder, monkeypatch, at, code):
    path = Path("out/result")
    atomic.write(path, [b"old"])
    failing = Failing(at, OSError(code, os.strerror(code)))
    monkeypatch.setattr(atomic, "calls", failing)
    try:
        atomic.write(path, [b"ne", b"w"])
        assert failing.count < at
        assert path.read_bytes() == b"new"
    except AdvcliError as error:
        assert error.exit_code == 4
        assert "out/result" in str(error)
        assert path.read_bytes() == (b"new" if at == 6 else b"old")  # the sixth call flushes the folder, after the rename
    assert [p.name for p in path.parent.iterdir()] == ["result"]


def test_short_writes_are_written_out(folder, monkeypatch):
    monkeypatch.setattr(atomic, "calls", Failing(short=True))
    atomic.write(Path("result"), [b"whole" * 100])
    assert Path("result").read_bytes() == b"whole" * 100


def test_a_second_writer_ends_at_once_with_four(folder):
    with (
        atomic.locked(Path("x.h5")),
        pytest.raises(AdvcliError, match=r"another advcli") as caught,
        atomic.locked(Path("x.h5")),
    ):
        pass
    assert caught.value.exit_code == 4
    with atomic.locked(Path("x.h5")):
        pass
    assert not list(folder.iterdir())


def no_flock(*_):
    raise OSError(errno.ENOLCK, "no locks")


def test_without_flock_the_owner_file_is_the_lock_and_goes_stale_with_its_process(folder, monkeypatch):
    monkeypatch.setattr(atomic.fcntl, "flock", no_flock)
    owner = Path(".x.h5.owner")
    with atomic.locked(Path("x.h5")):
        assert owner.exists()
        with pytest.raises(AdvcliError, match="another advcli"), atomic.locked(Path("x.h5")):
            pass
        kept = owner.read_text()
    assert not owner.exists()
    for stale in (kept.replace(f'"pid": {os.getpid()}', '"pid": 4194304'), "", kept[:9], "[]"):
        owner.write_text(stale)
        with atomic.locked(Path("x.h5")):
            assert str(os.getpid()) in owner.read_text()
        assert not list(folder.iterdir())


def test_a_stale_lock_that_somebody_else_took_over_first_is_left_to_him(folder, monkeypatch):
    monkeypatch.setattr(atomic.fcntl, "flock", no_flock)
    owner, mine = Path(".x.h5.owner"), b'{"host": "elsewhere", "pid": 1, "started": "2"}'
    owner.write_bytes(b"stale")

    class Racing(atomic.Calls):
        def rename(self, old, new):
            owner.write_bytes(mine)  # between our look and our move
            super().rename(old, new)

    monkeypatch.setattr(atomic, "calls", Racing())
    with pytest.raises(AdvcliError, match="another advcli"), atomic.locked(Path("x.h5")):
        pass
    assert owner.read_bytes() == mine


VERBS = {
    "attack": ["attack", "--method", "pgd", "--steps", "2", "--limit", "12", "--batch-size", "4", "--part-size", "1"],
    "train": ["train", "--arch", "softmax", "--epochs", "2", "--limit", "64", "-o", "new/m.safetensors"],
    "defend": ["defend", "--bits", "2"],
    "filter": ["defend", "set.h5", "--method", "squeeze", "--bits", "2"],
    "stats": ["stats", "set.h5", "--figure", "sheet", "--count", "0", "-o", "set.stats"],
    "import": ["import", "w.pt", "--arch", "cnn", "--input", "1x8x8", "-o", "imported.safetensors"],
    "export": ["export", "set.h5", "-o", "pictures", "--force"],
}
MADE = {
    "attack": ["adversarial.h5", "perturbations.h5"],
    "train": ["new/m.safetensors"],
    "defend": ["defended.safetensors"],
    "filter": ["set.filtered.h5"],
    "stats": [f"set.stats/{name}" for name in ("counts.csv", "statistics.csv", "sheet.png", "sheet.csv")],
    "import": ["imported.safetensors"],
    "export": [f"pictures/{k}" for k in ("0/000003-000000.png", "1/000004-000001.png")],
}
LOCKS = (".lock", ".owner")


@pytest.fixture
def inputs(run, model) -> set[str]:
    """What the verbs start from."""
    run("export", model, "-o", "w.pt")
    header = {"kind": "clean", "classes": list("01"), "split": "test", "range": [0, 1],
              "made": {"verb": "attack", "method": None, "data": None, "parameters": {}, "options": {}, "parents": [],
                       "environment": {}}}  # fmt: skip
    pixels = np.linspace(0, 1, 128, dtype=np.float32).reshape(2, 1, 8, 8)
    imageset_writer.write_rows(Path("set.h5"), header, {"images": pixels, "labels": np.arange(2), "index": np.arange(3, 5)})
    return {p.name for p in Path().iterdir()}


def clean(inputs: set[str]) -> None:
    for path in Path().iterdir():
        if path.name not in inputs:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.parametrize("verb", VERBS)
def test_a_run_stopped_at_any_call_ends_with_the_same_bytes_when_run_again(verb, run, inputs, monkeypatch):
    counting = Failing()
    monkeypatch.setattr(atomic, "calls", counting)
    assert run(*VERBS[verb]).code == 0
    wanted = {name: Path(name).read_bytes() for name in MADE[verb]}
    there = {str(p) for p in Path().rglob("*")}
    assert counting.count > 4
    for at in range(1, counting.count + 1):
        clean(inputs)
        monkeypatch.setattr(atomic, "calls", Failing(at))
        with pytest.raises(Stop):
            run(*VERBS[verb])
        for name in wanted:
            assert not Path(name).exists() or Path(name).read_bytes() == wanted[name]
        monkeypatch.setattr(atomic, "calls", atomic.Calls())
        assert run(*VERBS[verb]).code == 0, f"stopped at call {at}"
        assert {name: Path(name).read_bytes() for name in wanted} == wanted, f"stopped at call {at}"
        assert {str(p) for p in Path().rglob("*") if p.suffix not in LOCKS} == there, f"stopped at call {at}"


@pytest.mark.parametrize("code", CODES, ids=errno.errorcode.get)
@pytest.mark.parametrize("verb", VERBS)
def test_a_disk_that_fails_at_any_call_is_exit_4_in_one_line(verb, code, run, inputs, monkeypatch):
    """And nothing partial stands under a final name, and what stood there before stands or is replaced whole."""
    counting = Failing()
    monkeypatch.setattr(atomic, "calls", counting)
    assert run(*VERBS[verb]).code == 0
    wanted = {name: Path(name).read_bytes() for name in MADE[verb]}
    failed = 0
    for at in range(1, counting.count + 1):
        clean(inputs)
        monkeypatch.setattr(atomic, "calls", Failing(at, OSError(code, os.strerror(code))))
        ran = run(*VERBS[verb])
        if ran.code == 0:  # only tidying up failed, after all that was asked for was there
            assert {name: Path(name).read_bytes() for name in wanted} == wanted
            continue
        failed += 1
        assert ran.code == 4, f"failed at call {at}: {ran.err}"
        lines = [line for line in ran.err.splitlines() if line.startswith("advcli: ")]
        assert len(lines) == 1
        assert os.strerror(code).lower() in lines[0]
        for name in wanted:
            assert not Path(name).exists() or Path(name).read_bytes() == wanted[name], f"failed at call {at}"
        assert not list(Path().rglob("*.tmp")), f"failed at call {at}"
    assert failed >= counting.count - 2


@pytest.mark.parametrize("verb", VERBS)
def test_short_writes_change_nothing(verb, run, inputs, monkeypatch):
    assert run(*VERBS[verb]).code == 0
    wanted = {name: Path(name).read_bytes() for name in MADE[verb]}
    clean(inputs)
    monkeypatch.setattr(atomic, "calls", Failing(short=True))
    assert run(*VERBS[verb]).code == 0
    assert {name: Path(name).read_bytes() for name in wanted} == wanted


def test_the_old_output_is_untouched_until_the_new_one_is_whole(run, inputs, monkeypatch):
    command = ["attack", "--method", "fgsm", "--limit", "8"]
    assert run(*command, "--eps", "0.1").code == 0
    old = Path("adversarial.h5").read_bytes()
    counting = Failing()
    monkeypatch.setattr(atomic, "calls", counting)
    assert run(*command, "--eps", "0.2").code == 0
    new = Path("adversarial.h5").read_bytes()
    seen = set()
    for at in range(1, counting.count + 1):
        clean(inputs)
        Path("adversarial.h5").write_bytes(old)
        monkeypatch.setattr(atomic, "calls", Failing(at, OSError(errno.ENOSPC, "")))
        code = run(*command, "--eps", "0.2").code
        assert Path("adversarial.h5").read_bytes() in (old, new)
        assert code == 4 or Path("adversarial.h5").read_bytes() == new
        seen.add(Path("adversarial.h5").read_bytes() == old)
    assert seen == {True, False}


STATES = {"attack": 3000, "train": 1500, "filter": 500, "stats": 500, "export": 500}


@pytest.mark.parametrize("verb", STATES)
def test_no_crash_state_shows_a_wrong_byte(verb, run, inputs, monkeypatch, tmp_path):
    """A replayed log in every legal state of the disk; in some of them the command is run again."""
    root, before = Path().resolve(), {p.resolve(): p.read_bytes() for p in Path().iterdir()}
    taking_notes = Recording()
    monkeypatch.setattr(atomic, "calls", taking_notes)
    assert run(*VERBS[verb]).code == 0
    monkeypatch.setattr(atomic, "calls", atomic.Calls())
    wanted = {root / name: Path(name).read_bytes() for name in MADE[verb]}
    whole = partial = 0
    for number, state in enumerate(crash_states(taking_notes.log, before, STATES[verb], seed=7)):
        for path, data in wanted.items():
            assert state.files.get(path, data) == data, f"state {number}: {path.name}"
            whole += path in state.files
        partial += any(path.suffix == ".part" for path in state.files)
        if number % (STATES[verb] // 25) == 0:
            here = tmp_path / f"state{number}"
            state.put(root, here)
            monkeypatch.chdir(here)
            ran = run(*VERBS[verb])
            assert ran.code == 0, f"state {number}: {ran.err}"
            for path, data in wanted.items():
                assert (here / path.relative_to(root)).read_bytes() == data, f"state {number}: {path.name}"
            monkeypatch.chdir(root)
            shutil.rmtree(here)
    assert whole > 20
    assert partial > 100 or verb not in ("attack", "train")


def test_the_replay_would_notice_a_layer_that_does_not_flush(run, inputs, monkeypatch):
    class Careless(Recording):
        def fsync(self, handle):
            pass

    taking_notes, before = Careless(), {p.resolve(): p.read_bytes() for p in Path().iterdir()}
    monkeypatch.setattr(atomic, "calls", taking_notes)
    run(*VERBS["attack"])
    path, wanted = Path("adversarial.h5").resolve(), Path("adversarial.h5").read_bytes()
    states = list(crash_states(taking_notes.log, before, 500, seed=7))
    assert any(state.files.get(path, wanted) != wanted for state in states)


def test_a_part_of_which_the_disk_forgot_bytes_is_made_again(run, inputs, monkeypatch):
    stopping = Failing()
    monkeypatch.setattr(atomic, "calls", stopping)
    run(*VERBS["attack"])
    wanted, calls = Path("adversarial.h5").read_bytes(), stopping.count
    clean(inputs)
    monkeypatch.setattr(atomic, "calls", Failing(calls // 2))
    with pytest.raises(Stop):
        run(*VERBS["attack"])
    monkeypatch.setattr(atomic, "calls", atomic.Calls())
    parts = sorted(Path("adversarial.h5.parts").glob("*.part"))
    parts[0].write_bytes(bytes(parts[0].stat().st_size))
    assert run(*VERBS["attack"]).code == 0
    assert Path("adversarial.h5").read_bytes() == wanted


@pytest.mark.parametrize("size", ["64k", "120k", "200k"])
def test_a_disk_that_is_really_full(run, inputs, tmp_path, monkeypatch, size):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        monkeypatch.setenv("TMPDIR", str(disk))
        output = disk / "x.h5"
        ran = run("attack", "--method", "fgsm", "--eps", "0:0.3:0.01", "--limit", "200", "-o", output)
        assert ran.code == 4
        assert "no space left" in ran.err
        assert not output.exists()
        small = run("attack", "--method", "fgsm", "--limit", "2", "--no-perturbations", "-o", disk / "y.h5")
        assert small.code in (0, 4), small.err  # the finished parts of the first still lie there
        assert run("verify", disk / "y.h5").code == 0 if small.code == 0 else not (disk / "y.h5").exists()
    finally:
        with contextlib.suppress(OSError):
            subprocess.run(["umount", disk], check=True)

"""The file layer: nothing half-made under a final name, whatever fails, wherever it stops."""

import errno
import os
from pathlib import Path

import pytest

from advcli import storage
from advcli.errors import AdvcliError


class Stop(BaseException):
    """The process ends here."""


class Failing(storage.Calls):
    """The n-th call fails; `short` makes writes take one byte at a time."""

    def __init__(self, at: int, failure: BaseException, *, short: bool = False) -> None:
        self.at, self.failure, self.short, self.count = at, failure, short, 0

    def _tick(self) -> None:
        self.count += 1
        if self.count == self.at:
            raise self.failure

    def write(self, handle, data):
        self._tick()
        return super().write(handle, data[:1] if self.short else data)

    def fsync(self, handle):
        self._tick()
        super().fsync(handle)

    def rename(self, old, new):
        self._tick()
        super().rename(old, new)

    def unlink(self, path):
        self._tick()
        super().unlink(path)

    def mkdir(self, path):
        self._tick()
        super().mkdir(path)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("at", range(1, 7))
def test_a_failing_call_leaves_the_old_file_and_no_litter(folder, monkeypatch, at, code):
    path = Path("out/result")
    storage.write(path, [b"old"])
    failing = Failing(at, OSError(code, os.strerror(code)))
    monkeypatch.setattr(storage, "calls", failing)
    try:
        storage.write(path, [b"ne", b"w"])
        assert failing.count < at
        assert path.read_bytes() == b"new"
    except AdvcliError as error:
        assert error.exit_code == 4
        assert "out/result" in str(error)
        assert path.read_bytes() == (b"new" if at == 6 else b"old")  # the sixth call flushes the folder, after the rename
    assert [p.name for p in path.parent.iterdir()] == ["result"]


def test_short_writes_are_written_out(folder, monkeypatch):
    monkeypatch.setattr(storage, "calls", Failing(0, Stop(), short=True))
    storage.write(Path("result"), [b"whole"])
    assert Path("result").read_bytes() == b"whole"


def test_a_second_writer_ends_at_once_with_four(folder):
    with (
        storage.locked(Path("x.h5")),
        pytest.raises(AdvcliError, match=r"another advcli") as caught,
        storage.locked(Path("x.h5")),
    ):
        pass
    assert caught.value.exit_code == 4
    with storage.locked(Path("x.h5")):
        pass
    assert not list(folder.iterdir())


def test_without_flock_the_owner_file_is_the_lock_and_goes_stale_with_its_process(folder, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(storage.fcntl, "flock", refuse)
    owner = Path(".x.h5.owner")
    with storage.locked(Path("x.h5")):
        assert owner.exists()
        with pytest.raises(AdvcliError, match="another advcli"), storage.locked(Path("x.h5")):
            pass
        kept = owner.read_text()
    assert not owner.exists()
    owner.write_text(kept.replace(f'"pid": {os.getpid()}', '"pid": 4194304'))
    with storage.locked(Path("x.h5")):
        assert str(os.getpid()) in owner.read_text()


STAGES = ["attack", "train", "defend"]


@pytest.mark.parametrize("verb", STAGES)
def test_a_run_stopped_at_any_call_ends_with_the_same_bytes_when_run_again(verb, run, model, monkeypatch):
    command = {
        "attack": ["attack", "--method", "pgd", "--steps", "2", "--limit", "30", "--batch-size", "8", "--part-size", "1"],
        "train": ["train", "--arch", "softmax", "--epochs", "1", "--limit", "64", "-o", "m.safetensors"],
        "defend": ["defend", "--bits", "2"],
    }[verb]
    made = {"attack": ["adversarial.h5", "perturbations.h5"], "train": ["m.safetensors"], "defend": ["defended.safetensors"]}[
        verb
    ]

    def clean() -> None:
        for path in Path().iterdir():
            if path.name != "model.safetensors":
                storage.remove_folder(path) if path.is_dir() else path.unlink()

    counting = Failing(0, Stop())
    monkeypatch.setattr(storage, "calls", counting)
    assert run(*command).code == 0
    wanted = {name: Path(name).read_bytes() for name in made}
    for at in range(1, counting.count + 1):
        clean()
        monkeypatch.setattr(storage, "calls", Failing(at, Stop()))
        with pytest.raises(Stop):
            run(*command)
        for name in made:
            assert not Path(name).exists() or Path(name).read_bytes() == wanted[name]
        monkeypatch.setattr(storage, "calls", storage.Calls())
        assert run(*command).code == 0, f"stopped at call {at}"
        assert {name: Path(name).read_bytes() for name in made} == wanted, f"stopped at call {at}"
        left = {p.name for p in Path().iterdir()} - {*made, "model.safetensors", "m.log.jsonl"}
        assert not left - {".adversarial.h5.lock"}, f"stopped at call {at}"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_full_disk_is_exit_4_in_one_line_and_the_old_output_stays(code, run, model, monkeypatch):
    command = ["attack", "--method", "fgsm", "--limit", "8"]
    assert run(*command, "--eps", "0.1").code == 0
    old = Path("adversarial.h5").read_bytes()
    counting = Failing(0, Stop())
    monkeypatch.setattr(storage, "calls", counting)
    assert run(*command, "--eps", "0.2").code == 0
    Path("adversarial.h5").write_bytes(old)
    for at in range(1, counting.count + 1):
        monkeypatch.setattr(storage, "calls", Failing(at, OSError(code, os.strerror(code))))
        ran = run(*command, "--eps", "0.2")
        if ran.code == 0:
            break
        assert ran.code == 4
        assert ran.err.strip().splitlines()[-1].startswith("advcli: ")
        assert "Traceback" not in ran.err
        if Path("adversarial.h5").read_bytes() != old:
            break  # published: what follows is the view

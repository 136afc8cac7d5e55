"""One set by several processes: workers, ranks and shards make the bytes that one process makes, also when some are killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from advcli.crafting import together
from advcli.crafting.share import Share, rank, shard
from advcli.errors import CommandError
from advcli.files.imageset_reader import ImageSet

PGD = ["attack", "--method", "pgd", "--steps", "5", "--eps", "0.1,0.2", "--limit", "96", "--batch-size", "8", "--part-size", "1"]
SLOW = [{"5": "150"}.get(word, word) for word in PGD] + ["--no-early-stop"]
ADVCLI = [sys.executable, "-m", "advcli"]


def alone(run, *words: str) -> bytes:
    assert run(*words, "-o", "alone.h5").code == 0
    return Path("alone.h5").read_bytes()


def ranks(count: int, *words: str) -> list[subprocess.Popen]:
    """Processes as torchrun starts them."""
    given = {"WORLD_SIZE": str(count), "TORCHELASTIC_RUN_ID": "one"}
    return [
        subprocess.Popen(
            [*ADVCLI, *words], env={**os.environ, **given, "RANK": str(k), "LOCAL_RANK": str(k)}, stdout=subprocess.PIPE
        )
        for k in range(count)
    ]


def test_shards_in_any_order_make_the_bytes_of_one_process(run, model):
    whole = alone(run, *PGD)
    for number in ("3/4", "1/4", "4/4"):
        ran = run(*PGD, "--shard", number, "-o", "set.h5")
        assert ran.code == 0, ran.err
        assert ran.out.strip() == "set.h5.parts"
        assert not Path("set.h5").exists()
    ran = run(*PGD, "--shard", "2/4", "-o", "set.h5")
    assert ran.out.strip() == "set.h5"
    assert Path("set.h5").read_bytes() == whole
    assert not Path("set.h5.parts").exists()
    assert run(*PGD, "--shard", "3/4", "-o", "set.h5").out.strip() == "set.h5"  # it finds the set


def test_the_same_command_alone_assembles_what_shards_have_left(run, model):
    whole = alone(run, *PGD)
    assert run(*PGD, "--shard", "2/3", "-o", "set.h5").code == 0
    before = len([*Path("set.h5.parts").glob("*.part")])
    assert before == 4
    assert run(*PGD, "-o", "set.h5").code == 0
    assert Path("set.h5").read_bytes() == whole


def test_workers_and_ranks_make_the_bytes_of_one_process(run, model):
    whole = alone(run, *PGD)
    ran = run(*PGD, "--workers", "2", "--threads", "1", "-o", "workers.h5")
    assert ran.code == 0, ran.err
    assert ran.out.strip() == "workers.h5"
    assert Path("workers.h5").read_bytes() == whole
    assert not Path("workers.h5.parts").exists()
    started = ranks(2, *PGD, "-o", "ranks.h5")
    said = [one.communicate(timeout=300)[0].decode().strip() for one in started]
    assert [one.returncode for one in started] == [0, 0]
    assert said == ["ranks.h5", ""]
    assert Path("ranks.h5").read_bytes() == whole


def test_a_file_that_is_fitted_first_is_fitted_once(run, model):
    words = [
        "attack",
        "--method",
        "universal",
        "--epochs",
        "1",
        "--fit-limit",
        "60",
        "--limit",
        "24",
        "--batch-size",
        "8",
        "--part-size",
        "1",
    ]
    whole = alone(run, *words)
    for number in ("2/2", "1/2"):
        assert run(*words, "--shard", number, "-o", "set.h5").code == 0
    assert Path("set.h5").read_bytes() == whole
    assert Path("set.universal.h5").read_bytes() == Path("alone.universal.h5").read_bytes()
    ran = run(*words, "--workers", "2", "--threads", "1", "-o", "workers.h5")
    assert ran.code == 0, ran.err
    assert Path("workers.h5").read_bytes() == whole


@pytest.mark.sweep
def test_killed_workers_and_a_killed_launcher_cost_time_and_no_bytes(run, model):
    slow = [*SLOW]
    whole = alone(run, *slow)
    for kill in (1, 0):  # one worker, the launcher
        launcher = subprocess.Popen([*ADVCLI, *slow, "--workers", "2", "--threads", "1", "-o", "set.h5"], stderr=subprocess.PIPE)
        assert wait_until(lambda: [*Path("set.h5.parts").glob("*.part")])
        for pid in children(launcher.pid)[:kill] or [launcher.pid]:
            os.kill(pid, signal.SIGKILL)
        err = launcher.communicate(timeout=300)[1].decode()
        if kill == 1:
            assert launcher.returncode == 0, err
            assert "a worker was stopped; the others go on" in err
        else:
            assert launcher.returncode != 0
            ran = run(*slow, "--workers", "2", "--threads", "1", "-o", "set.h5")
            assert ran.code == 0, ran.err
        assert Path("set.h5").read_bytes() == whole
        Path("set.h5").unlink()


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_until(holds, patience: float = 300) -> bool:
    """Whether something comes to hold; the limit is only there to end a test that hangs."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.02)
    return False


@pytest.mark.sweep
def test_a_second_launch_on_one_output_ends_with_4_and_a_signal_reaches_the_workers(run, model):
    slow = [*SLOW, "--workers", "2", "-o", "set.h5"]
    launcher = subprocess.Popen([*ADVCLI, *slow], stderr=subprocess.PIPE)
    assert wait_until(lambda: [*Path("set.h5.parts").glob("*.part")])
    ran = run(*slow)
    assert ran.code == 4
    assert "another advcli is writing it" in ran.err
    workers = children(launcher.pid)
    assert len(workers) == 2
    launcher.send_signal(signal.SIGTERM)
    assert "goes on from what is finished" in launcher.communicate(timeout=300)[1].decode()
    assert launcher.returncode == 130
    assert not [one for one in workers if Path(f"/proc/{one}").exists()]
    assert [*Path("set.h5.parts").glob("*.part")]
    assert not [*Path("set.h5.parts").glob("*.lease")]


def test_what_a_worker_cannot_do_is_said_in_its_words(run, model):
    assert run(*PGD, "-o", "first.h5").code == 0
    ran = run("attack", "--method", "fgsm", "--eps", "0.1", "--data", "nowhere.h5", "--workers", "2")
    assert ran.code == 3
    ran = run("attack", "--eps", "7", "--workers", "2", "-o", "set.h5")
    assert ran.code == 2
    assert not Path("set.h5").exists()


def test_parts_made_with_other_threads_are_never_mixed(run, model):
    large = [
        "attack",
        "--method",
        "fgsm",
        "--eps",
        "0.1",
        "--limit",
        "8",
        "--batch-size",
        "4",
        "--part-size",
        "1",
        "-o",
        "set.h5",
    ]
    assert (
        run("train", "--data", "photos", "--epochs", "1", "-o", "model.safetensors", "--force").code == 0
        if Path("photos").exists()
        else True
    )
    assert run(*large, "--shard", "1/2").code == 0
    note = Path("set.h5.parts/command.json")
    stored = json.loads(note.read_text())
    stored["environment"]["threads"] = 7
    note.write_text(json.dumps(stored))
    ran = run(*large, "--shard", "2/2")
    assert ran.code == 2
    assert "--threads" in ran.err


def test_threads_are_recorded_and_shown(run, folder):
    np.savez(
        "some.npz", images=np.random.default_rng(0).random((20, 1, 20, 20), np.float32), labels=np.arange(20) % 2, split="train"
    )
    assert run("train", "--data", "some.npz", "--arch", "softmax", "--epochs", "1").code == 0
    for count in (1, 3):
        ran = run(
            "attack", "--method", "fgsm", "--eps", "0.1", "--data", "some.npz", "--threads", str(count), "-o", f"{count}.h5"
        )
        assert ran.code == 0, ran.err
        with ImageSet(f"{count}.h5") as opened:
            assert opened.header["made"]["environment"]["threads"] == count


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--shard", "0/3"], "from 1 to N"),
        (["--shard", "4/3"], "from 1 to N"),
        (["--shard", "x"], "expected K/N"),
        (["--shard", "1/2", "--workers", "2"], "each process is one already"),
        (["--shard", "1/2", "--force"], "remove the file first"),
        (["--workers", "0"], "outside 1 to 1024"),
    ],
)
def test_options_that_contradict_each_other_are_refused(run, model, words, says):
    ran = run(*PGD, *words, "-o", "set.h5")
    assert ran.code == 2
    assert says in ran.err
    assert not Path("set.h5").exists()


def test_a_rank_that_waits_for_another_command_says_so_and_other_verbs_are_not_silenced(run, model, monkeypatch):
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "one"}.items():
        monkeypatch.setenv(name, value)
    assert "advcli train" in run("show", model).out
    monkeypatch.setattr(together, "LATE", 0.0)
    looks = iter([False, False, True])
    monkeypatch.setattr(together, "is_there", lambda path, made: next(looks))
    ran = run(*PGD, "-o", "set.h5")
    assert ran.code == 0
    assert ran.out == ""
    assert "set.h5: the first of 2 processes has not begun it" in ran.err


def test_who_takes_which_part():
    assert shard("2/3") == Share(1, 3, dealt=True)
    assert sorted(number for k in range(3) for number in Share(k, 3, dealt=True).order(8)) == list(range(8))
    assert sorted(Share(1, 3).order(8)) == list(range(8))  # everyone may take any, beginning at another place
    assert len({Share(k, 3).order(8)[0] for k in range(3)}) == 3
    torch = {"RANK": "2", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "TORCHELASTIC_RUN_ID": "x"}
    assert rank(torch) == Share(2, 4, local=1)
    assert rank({"RANK": "0", "WORLD_SIZE": "1", "TORCHELASTIC_RUN_ID": "x"}) is None
    assert rank({"RANK": "0", "WORLD_SIZE": "4"}) is None  # somebody's own variables
    assert rank({"SLURM_PROCID": "1", "SLURM_NTASKS": "2", "SLURM_STEP_ID": "0"}) == Share(1, 2)
    with pytest.raises(CommandError):
        shard("1/2/3")

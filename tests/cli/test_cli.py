"""The command line: exit codes, stdout against stderr, instant help, true processes, kills."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from advcli.catalog import discovery

pytestmark = pytest.mark.sweep

COMMAND = [sys.executable, "-m", "advcli"]
VERBS = ["train", "attack", "defend", "evaluate", "stats", "show", "verify", "import", "export", "methods"]
INSTANT = [[], ["--help"], ["--version"], ["methods"], ["methods", "--json"], ["attack", "--method", "pgd", "--help"],
           ["attack", "--method", "pgd", "--stpes", "3"], ["attack", "--method", "nope"], ["attack", "--eps", "x"],
           ["train", "--arch", "mlp", "--help"], *[[verb, "--help"] for verb in VERBS]]  # fmt: skip


def process(*args, **more):
    return subprocess.run([*COMMAND, *map(str, args)], capture_output=True, text=True, timeout=300, check=False, **more)


@pytest.mark.parametrize("args", INSTANT, ids=" ".join)
def test_help_and_refusals_import_nothing_slow(args):
    code = (
        "import sys; from advcli.cli.app import main; main(sys.argv[1:]);"
        "slow = {'torch', 'h5py', 'numpy', 'scipy', 'matplotlib'} & set(sys.modules); sys.exit(99 if slow else 0)"
    )
    ran = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "Traceback" not in ran.stderr
    assert "internal error" not in ran.stderr


@pytest.mark.parametrize("name", discovery.names("attack"))
def test_help_of_a_method_shows_its_options_and_none_of_another(run, name):
    shown = run("attack", "--method", name, "--help").out
    mine = {one.flag for one in discovery.spec("attack", name).options}
    others = {one.flag for spec in discovery.specs("attack") for one in spec.options} - mine
    assert all(flag in shown for flag in mine)
    words = shown.split()
    assert not [flag for flag in others if flag in words]
    if not discovery.spec("attack", name).traits.random:
        assert "--restarts" not in shown


def test_help_of_a_verb_lists_its_methods(run):
    shown = run("attack", "--help").out
    assert all(name in shown for name in discovery.names("attack"))
    assert "Options of pgd" not in shown


def test_methods_as_json_has_every_trait(run):
    found = json.loads(run("methods", "--json").out)
    assert set(found) == {"attacks", "defenses", "recipes", "architectures", "datasets", "metrics", "figures", "checks"}
    by_name = {one["name"]: one for one in found["attacks"]}
    assert set(by_name) == set(discovery.names("attack"))
    pgd = by_name["pgd"]
    assert (pgd["kind"], pgd["norms"], pgd["access"], pgd["targeted"]) == ("budget", ["linf", "l2", "l1"], "gradient", True)
    assert pgd["family"]
    assert pgd["paper"]


WRONG = [
    ([2], ["atack"]), ([2], ["attack", "--method"]), ([2], ["attack", "--method", "pgd", "--steps", "0"]),
    ([2], ["attack", "--steps", "x"]), ([2], ["attack", "--steps", "1.5"]), ([2], ["attack", "--norm", "l7"]),
    ([2], ["attack", "--eps", "0:1"]), ([2], ["attack", "--eps", "-1"]), ([2], ["attack", "--eps", "nan"]),
    ([2], ["attack", "--method", "fgsm", "--steps", "3"]), ([2], ["attack", "--method", "fgsm", "--restarts", "3"]),
    ([2], ["attack", "--method", "fgsm", "--no-early-stop"]), ([2], ["attack", "--method", "noise", "--target", "3"]),
    ([2], ["attack", "--static"]), ([2], ["attack", "--eot", "4"]), ([2], ["attack", "--rounding", "trunc"]),
    ([2], ["attack", "--target", "eleven"]), ([2], ["attack", "--target", "10"]), ([2], ["attack", "--target", "3", "--label", "pred"]),
    ([2], ["attack", "--device", "tpu9"]), ([2], ["attack", "--step-size", "eps*"]), ([2], ["attack", "--image-size", "9"]),
    ([2], ["attack", "--data", "digits:test", "--split", "val"]), ([2], ["attack", "stray.h5"]), ([2], ["attack", "-o", "."]),
    ([3], ["attack", "--model", "none.safetensors"]), ([3], ["attack", "--data", "nowhere"]), ([3], ["attack", "--classes", "x"]),
    ([2], ["attack", "--classes", "1,1"]), ([3], ["attack", "--model", "junk.safetensors"]), ([3], ["attack", "--data", "junk.h5"]),
    ([3], ["attack", "--model", "junk.h5"]), ([2], ["defend", "--bits", "9"]), ([2], ["defend", "--median", "x"]),
    ([2], ["defend", "--method", "gaussian", "--sigma", "-1"]), ([2], ["defend", "junk.h5", "--model", "model.safetensors"]),
    ([3], ["defend", "junk.h5"]), ([2], ["defend", "-o", "model.safetensors"]), ([3], ["evaluate", "junk.h5"]), ([3], ["evaluate", "none.h5"]),
    ([2], ["evaluate", "--metric", "nope"]), ([2], ["evaluate", "--metric", "top", "--top", "0"]), ([2], ["evaluate", "--top", "3"]),
    ([3], ["stats"]), ([3], ["stats", "junk.h5"]), ([3], ["show", "junk.h5"]), ([2], ["show"]), ([2], ["verify"]), ([3], ["verify", "none.h5"]),
    ([3], ["verify", "junk.safetensors"]), ([2], ["import"]), ([2], ["import", "junk.h5"]), ([3], ["import", "junk.h5", "--arch", "cnn"]),
    ([2], ["train", "--hidden", "5"]), ([2], ["train", "--arch", "mlp", "--hidden", "a"]), ([2], ["train", "--lr", "-1"]),
    ([2], ["train", "--epochs", "0"]), ([3], ["train", "--data", "junk.h5"]), ([3], ["export", "junk.h5"]),
]  # fmt: skip


@pytest.mark.parametrize(("codes", "args"), WRONG, ids=[" ".join(args) for _, args in WRONG])
def test_wrong_command_lines_get_their_code_and_at_most_three_lines(run, model, codes, args):
    Path("junk.h5").write_bytes(b"junk")
    Path("junk.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    before = sorted(Path().iterdir())
    ran = run(*args)
    assert ran.code in codes, ran.err
    assert ran.out == ""
    failure = [line for line in ran.err.splitlines() if line.startswith("advcli: ")]
    assert 1 <= len(failure) <= 3
    assert "internal error" not in ran.err
    assert "Traceback" not in ran.err
    assert sorted(Path().iterdir()) == before


def test_stdout_is_the_result_and_stderr_the_conversation(run, model):
    ran = run("attack", "--method", "fgsm", "--limit", "20")
    assert ran.out == "adversarial.h5\n"
    assert "budget" in ran.err
    assert run("attack", "--method", "fgsm", "--limit", "20", "--quiet").err == ""
    assert json.loads(run("attack", "--method", "fgsm", "--limit", "20", "--json").out) == {"path": "adversarial.h5"}


def test_an_attack_in_an_empty_folder_trains_first_and_says_so(folder):
    ran = process("attack", "--method", "fgsm")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "adversarial.h5\n"
    assert "training the small default first" in ran.stderr
    assert {p.name for p in folder.iterdir()} == {"model.safetensors", "model.log.jsonl", "adversarial.h5", "perturbations.h5"}


def test_a_classifier_of_torchvisions_is_opened_by_a_fresh_process(folder):
    from photographs import photographs

    photographs(Path("photos"), count=3, size=64)
    for arch in ("mobilenet_v3_small", "shufflenet_v2_x0_5"):
        ran = process("train", "--data", "photos", "--arch", arch, "--epochs", "1", "-o", f"{arch}.safetensors")
        assert ran.returncode == 0, ran.stderr
        ran = process("evaluate", "--model", f"{arch}.safetensors")
        assert ran.returncode == 0, ran.stderr


def test_no_colour_and_no_traceback_as_a_true_process(model):
    ran = process("evaluate", "--model", "none.safetensors")
    assert ran.returncode == 3
    assert "\x1b" not in ran.stderr + ran.stdout
    assert ran.stderr.count("\n") <= 3
    assert "Traceback" in process("evaluate", "--model", "none.safetensors", "--debug").stderr


WAITING = '''"""Noise that waits in its fourth batch until it may go on, so that a test can stop it there, however fast the machine."""
import pathlib, time
from advcli.extend import attack

calls = []

@attack(family="mine", kind="direction", norms=("linf",), access="none", targeted=False)
def waiting(victim, x, goal, *, rng):
    calls.append(1)
    while len(calls) > 3 and not pathlib.Path("go").exists():
        pathlib.Path("waiting").touch()
        time.sleep(0.01)
    return 2 * rng.uniform(*x.shape[1:]) - 1
'''
BATCHED = ["attack", "--method", "waitingmethod:waiting", "--limit", "60", "--batch-size", "10", "--part-size", "1"]


def start_waiting(*more, source=WAITING):
    """A true process that has three parts finished and waits in the fourth batch."""
    Path("waitingmethod.py").write_text(source)

    def heard() -> None:
        """Shells let jobs in the background ignore these, and nohup."""
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for one in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(one, signal.SIG_DFL)

    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    running = subprocess.Popen([*COMMAND, *BATCHED, *more], **pipes, preexec_fn=heard)
    end = time.monotonic() + 240
    while not Path("waiting").exists():
        assert running.poll() is None, running.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.01)
    return running


def left_behind() -> list[Path]:
    return [p for p in Path().iterdir() if p.suffix in (".tmp", ".parts", ".lock", ".owner")]


REQUESTS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(scope="module")
def undisturbed() -> list[bytes]:
    """The bytes of the run that nothing stops, once they are known."""
    return []


@pytest.mark.parametrize(
    ("how", "signal_"), [("killed", signal.SIGKILL), ("asked twice", signal.SIGINT), *(("asked", one) for one in REQUESTS)]
)
def test_who_is_asked_to_leave_finishes_the_batch_and_goes_on_later(model, how, signal_, undisturbed):
    """One signal: the batch is finished and published. Two, or SIGKILL: what was published stays. The bytes end the same."""
    running = start_waiting("-o", "cut.h5")
    running.send_signal(signal_)
    if how != "killed":
        assert "finishing this batch" in said_so_far(running, "finishing")
        running.send_signal(signal_) if how == "asked twice" else Path("go").touch()
    _, err = running.communicate(timeout=120)
    assert running.returncode == (-9 if how == "killed" else 130)
    if how != "killed":
        assert err.splitlines()[-1].startswith("advcli: interrupted")
    assert not Path("cut.h5").exists()
    Path("go").touch()
    if not undisturbed:
        assert process(*BATCHED, "-o", "whole.h5").returncode == 0
        undisturbed.append(Path("whole.h5").read_bytes())
    again = process(*BATCHED, "-o", "cut.h5")
    assert again.returncode == 0, again.stderr
    assert f"resuming after {40 if how == 'asked' else 30} of 60 images" in again.stderr
    assert Path("cut.h5").read_bytes() == undisturbed[0]
    assert Path("cut.perturbations.h5").exists()
    assert not left_behind()


def said_so_far(running, word):
    """What a running process says, up to the line that holds the word."""
    text = ""
    while word not in text:
        line = running.stderr.readline()
        assert line, text
        text += line
    return text


LONG = {
    "attack": (["attack", "--method", "pgd", "--no-early-stop", "--steps", "60", "--batch-size", "10", "--part-size", "1", "--limit", "150"], "x.h5"),
    "train": (["train", "--epochs", "12"], "m.safetensors"),
}  # fmt: skip


@pytest.mark.parametrize("verb", LONG)
def test_a_run_killed_at_random_moments_ends_with_the_undisturbed_bytes(model, verb):
    """Three true processes each, killed anywhere between their first published part and their end."""
    command, name = LONG[verb]
    begin = time.monotonic()
    assert process(*command, "-o", f"whole{name}").returncode == 0
    lasts, draw, killed = time.monotonic() - begin, random.Random(5), 0
    for _ in range(3):
        running = subprocess.Popen([*COMMAND, *command, "-o", name], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(lasts * draw.uniform(0.3, 0.9))
        running.kill()
        killed += running.wait() == -9
        assert not Path(name).exists() or Path(name).read_bytes() == Path(f"whole{name}").read_bytes()
        if Path(name).exists():
            Path(name).unlink()  # it got through: begin anew
    assert killed
    again = process(*command, "-o", name)
    assert again.returncode == 0, again.stderr
    assert Path(name).read_bytes() == Path(f"whole{name}").read_bytes()
    assert not left_behind()


def pictures(folder):
    return {path.relative_to(folder): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def test_pictures_exported_by_a_process_that_is_killed_stand_whole_or_not_at_all(model):
    assert process("attack", "--method", "fgsm", "--eps", "0.1,0.2,0.3,0.4", "--limit", "300").returncode == 0
    command = ["export", "adversarial.h5", "-o", "cut"]
    begin = time.monotonic()
    assert process("export", "adversarial.h5", "-o", "whole").returncode == 0
    lasts, wanted, draw, halfway = time.monotonic() - begin, pictures("whole"), random.Random(5), 0
    assert len(wanted) == 1201, "1200 pictures and the note that tells what they are"
    for _ in range(3):
        running = subprocess.Popen([*COMMAND, *command], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        until = time.monotonic() + lasts * draw.uniform(1.0, 1.2)
        while running.poll() is None and time.monotonic() < until and not any(Path().glob(".cut.building/*/*.png")):
            time.sleep(0.01)
        time.sleep(lasts * draw.uniform(0, 0.1))
        running.kill()
        halfway += running.wait() == -9 and Path(".cut.building").exists()
        if Path("cut").exists():
            assert pictures("cut") == wanted
            shutil.rmtree("cut")
    assert halfway
    again = process(*command)
    assert again.returncode == 0, again.stderr
    assert pictures("cut") == wanted
    assert not [path for path in Path().rglob(".*") if path.suffix not in (".lock", ".owner")]


def test_a_folder_of_pictures_is_replaced_as_a_whole_and_never_with_what_is_not_its_own(run, model):
    assert run("attack", "--method", "fgsm", "--limit", "20").code == 0
    assert run("attack", "--method", "fgsm", "--limit", "6", "-o", "few.h5").code == 0
    assert run("export", "few.h5", "-o", "few").code == run("export", "adversarial.h5", "-o", "p").code == 0
    assert run("export", "few.h5", "-o", "p").code == 2
    assert run("export", "few.h5", "-o", "p", "--force").code == 0
    assert pictures("p") == pictures("few")
    for strange in ("p/notes.txt", "p/0/mine.png"):
        Path(strange).write_text("mine")
        assert "no picture of advcli's" in run("export", "few.h5", "-o", "p", "--force").err
        assert Path(strange).read_text() == "mine"
        Path(strange).unlink()
    assert run("export", "few.h5", "-o", ".", "--force").code == 2
    assert Path("few.h5").exists()


NO_FLOCK = "\nimport errno, fcntl\ndef flock(*_): raise OSError(errno.ENOLCK, 'no locks')\nfcntl.flock = flock\n"


@pytest.mark.parametrize("locking", [True, False], ids=["flock", "no flock"])
def test_two_writers_on_one_output_the_second_ends_at_once(model, locking):
    first = start_waiting(source=WAITING if locking else WAITING + NO_FLOCK)
    try:
        second = process(*BATCHED)
        assert second.returncode == 4, second.stderr
        assert "another advcli" in second.stderr
    finally:
        Path("go").touch()
        _, err = first.communicate(timeout=240)
    assert first.returncode == 0, err
    assert not left_behind()


def test_whoever_closes_the_pipe_gets_no_traceback(model):
    ran = subprocess.run(f"{sys.executable} -m advcli methods | head -1", shell=True, capture_output=True, text=True, check=False)
    assert ran.stderr == ""


def test_completion_offers_methods_and_choices(folder):
    def complete(line: str) -> str:
        env = {**os.environ, "_ADVCLI_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
        return subprocess.run(
            [str(Path(sys.executable).with_name("advcli"))], env=env, capture_output=True, text=True, check=False
        ).stdout

    assert "pgd" in complete("advcli attack --method p").split()
    assert "--steps" in complete("advcli attack --method pgd --st").split()
    assert "--steps" not in complete("advcli attack --method fgsm --st").split()
    assert set(complete("advcli attack --method pgd --norm l").split()) == {"linf", "l2", "l1"}

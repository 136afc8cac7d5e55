"""The command line: exit codes, stdout against stderr, instant help, true processes, kills."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from advcli import catalog

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


@pytest.mark.parametrize("name", catalog.names("attack"))
def test_help_of_a_method_shows_its_options_and_none_of_another(run, name):
    shown = run("attack", "--method", name, "--help").out
    mine = {one.flag for one in catalog.spec("attack", name).options}
    others = {one.flag for spec in catalog.specs("attack") for one in spec.options} - mine
    assert all(flag in shown for flag in mine)
    words = shown.split()
    assert not [flag for flag in others if flag in words]
    if not catalog.spec("attack", name).traits.random:
        assert "--restarts" not in shown


def test_help_of_a_verb_lists_its_methods(run):
    shown = run("attack", "--help").out
    assert all(name in shown for name in catalog.names("attack"))
    assert "Options of pgd" not in shown


def test_methods_as_json_has_every_trait(run):
    found = json.loads(run("methods", "--json").out)
    assert set(found) == {"attacks", "defenses", "recipes", "architectures", "datasets", "metrics"}
    by_name = {one["name"]: one for one in found["attacks"]}
    assert set(by_name) == set(catalog.names("attack"))
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
    assert "fault in advcli" not in ran.err
    assert "Traceback" not in ran.err
    assert sorted(Path().iterdir()) == before


def test_stdout_is_the_result_and_stderr_the_conversation(run, model):
    ran = run("attack", "--method", "fgsm", "--limit", "5")
    assert ran.out == "adversarial.h5\n"
    assert "budget" in ran.err
    assert run("attack", "--method", "fgsm", "--limit", "5", "--quiet").err == ""
    assert json.loads(run("attack", "--method", "fgsm", "--limit", "5", "--json").out) == {"path": "adversarial.h5"}


def test_an_attack_in_an_empty_folder_trains_first_and_says_so(folder):
    ran = process("attack", "--method", "fgsm")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "adversarial.h5\n"
    assert "training the small default first" in ran.stderr
    assert {p.name for p in folder.iterdir()} == {"model.safetensors", "model.log.jsonl", "adversarial.h5", "perturbations.h5"}


def test_no_colour_and_no_traceback_as_a_true_process(model):
    ran = process("evaluate", "--model", "none.safetensors")
    assert ran.returncode == 3
    assert "\x1b" not in ran.stderr + ran.stdout
    assert ran.stderr.count("\n") <= 3
    assert "Traceback" in process("evaluate", "--model", "none.safetensors", "--debug").stderr


WAITING = '''"""Noise that waits in its fourth batch until it may go on, so that a test can stop it there, however fast the machine."""
import pathlib, time
from advcli.registry import attack

calls = []

@attack(family="mine", kind="direction", norms=("linf",), access="none", targeted=False)
def waiting(victim, x, goal, *, rng):
    calls.append(1)
    while len(calls) > 3 and not pathlib.Path("go").exists():
        time.sleep(0.01)
    return 2 * rng.uniform(*x.shape[1:]) - 1
'''
BATCHED = ["attack", "--method", "waitingmethod:waiting", "--limit", "60", "--batch-size", "10", "--part-size", "1"]


def start_waiting(*more):
    """A true process that has three parts finished and waits in the fourth batch."""
    Path("waitingmethod.py").write_text(WAITING)
    heard = {
        "preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler)
    }  # a shell's background job ignores it
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    running = subprocess.Popen([*COMMAND, *BATCHED, *more], **pipes, **heard)
    end = time.monotonic() + 240
    while len(list(Path().glob("*.parts/*.part"))) < 3:
        assert running.poll() is None, running.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.01)
    return running


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(model, how):
    running = start_waiting("-o", "cut.h5")
    os.kill(running.pid, how)
    _, err = running.communicate(timeout=120)
    assert running.returncode == (-9 if how == signal.SIGKILL else 130)
    if how == signal.SIGINT:
        assert err.splitlines()[-1].startswith("advcli: interrupted")
    assert not Path("cut.h5").exists()
    Path("go").touch()
    assert process(*BATCHED, "-o", "whole.h5").returncode == 0
    again = process(*BATCHED, "-o", "cut.h5")
    assert again.returncode == 0, again.stderr
    assert "going on after 3 finished parts" in again.stderr
    assert Path("cut.h5").read_bytes() == Path("whole.h5").read_bytes()
    assert Path("cut.perturbations.h5").exists()
    assert not [p for p in Path().iterdir() if p.suffix in (".tmp", ".parts", ".lock")]


def test_two_writers_on_one_output_the_second_ends_at_once(model):
    first = start_waiting()
    try:
        second = process("attack", "--method", "fgsm")
        assert second.returncode == 4, second.stderr
        assert "another advcli" in second.stderr
    finally:
        Path("go").touch()
        _, err = first.communicate(timeout=240)
    assert first.returncode == 0, err


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

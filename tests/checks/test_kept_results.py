"""What becomes of a check's result: it stands in the set's header, is warned of, and never leaves the figure's side."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from advcli.errors import InputError
from advcli.files import check_results
from advcli.files.check_results import Result, judged
from advcli.files.imageset_reader import ImageSet
from advcli.search.probe import Probe
from attacked_set import write
from masked_networks import disguised
from small_networks import pictures


def header(path: str) -> dict:
    with ImageSet(Path(path)) as opened:
        return opened.header


@pytest.fixture
def masked(model):
    """A model without a gradient where it is sure, and a set that was made against it."""
    disguised("cut", model, Path("masked.safetensors"))
    return "masked.safetensors"


def test_an_attack_keeps_its_checks_and_warns_of_them_however_often_it_is_run(run, masked):
    first = run("attack", "--model", masked, "--limit", "30")
    assert first.code == 0, first.err
    kept = {one["check"]: one for one in header("adversarial.h5")["checks"]}
    assert kept["zero-gradients"]["status"] == "FAIL"
    assert kept["zero-gradients"]["figure"] > kept["zero-gradients"]["threshold"]
    assert kept["repeated-answers"]["status"] == "PASS"
    assert "warning: FAIL zero-gradients" in first.err
    assert "PASS" not in first.err
    again = run("attack", "--model", masked, "--limit", "30")
    assert "made by the same command" in again.err
    assert "warning: FAIL zero-gradients" in again.err


def test_evaluate_shows_them_beside_the_figure_and_below_it(run, masked):
    run("attack", "--model", masked, "--limit", "30")
    run("attack", "--model", masked, "--limit", "30", "--method", "bim", "-o", "bim.h5")
    shown = run("evaluate", "--model", masked, "adversarial.h5", "bim.h5")
    threats = [line for line in shown.out.split("\n\n")[0].splitlines() if "linf" in line]
    assert len(threats) >= 3
    assert all("FAIL zero-gradients" in line for line in threats), shown.out
    below = " ".join(shown.out.split())
    assert below.count("FAIL zero-gradients (adversarial.h5, bim.h5): ") == 1, "one finding on two sets is told once"
    assert "--method square" in below


def test_json_carries_every_check_also_those_that_pass(run, masked):
    run("attack", "--model", masked, "--limit", "30")
    found = json.loads(run("evaluate", "--model", masked, "adversarial.h5", "--json").out)
    assert {(one["set"], one["model"]) for one in found["checks"]} == {("adversarial.h5", masked)}
    assert {one["check"]: one["status"] for one in found["checks"]}["repeated-answers"] == "PASS"
    assert all(found["rows"][0]["threat"]["checks"])
    bare = [{key: value for key, value in one.items() if key not in ("model", "set", "epsilon")} for one in found["checks"]]
    kept = header("adversarial.h5")["checks"]
    assert bare[: len(kept)] == kept, "those of the attack first, then those of the set"


def test_strict_turns_a_fail_into_an_answer_of_no(run, masked):
    run("attack", "--model", masked, "--limit", "30", "-o", "masked.h5")
    run("attack", "--limit", "30", "-o", "plain.h5")
    assert run("evaluate", "--model", masked, "masked.h5").code == 0
    assert run("evaluate", "--model", masked, "masked.h5", "--strict").code == 1
    assert run("evaluate", "plain.h5", "--strict").code == 0


def test_strict_holds_for_an_attack_too_and_its_set_is_written(run, masked):
    words = ("attack", "--limit", "30", "--strict")
    ran = run(*words, "--model", masked, "-o", "masked.h5")
    assert (ran.code, ran.out.strip()) == (1, "masked.h5")
    assert "FAIL zero-gradients" in ran.err.splitlines()[-1]
    again = run(*words, "--model", masked, "-o", "masked.h5", "--json")
    assert again.code == 1, "a finished set is judged like a new one"
    assert json.loads(again.out) == {"path": "masked.h5", "failed": again.err.splitlines()[-1][18:].split(", "), "passed": False}
    assert run(*words, "--model", "model.safetensors", "-o", "plain.h5").code == 0
    assert run(*words, "--model", "model.safetensors", "--dry-run").code == 0


@pytest.mark.parametrize(
    ("words", "classes", "expected"),
    [
        ("--objective dlr", 2, ("WARN", 1)),
        ("--objective dlr", 3, ("PASS", 0)),
        ("--objective dlr --target next", 3, ("WARN", 1)),
        ("--method apgd --targets 2", 3, ("WARN", 1)),
        ("--method apgd --targets 2", 4, ("PASS", 0)),
        ("", 2, None),
        ("--method fab --targets 2", 2, None),
    ],
)
def test_too_few_classes_for_the_loss_that_was_asked_for_are_told(run, folder, words, classes, expected):
    few = ("--classes", ",".join(map(str, range(classes))))
    assert run("train", *few, "--arch", "softmax", "--epochs", "1", "--quiet").code == 0
    assert run("attack", "--limit", "10", *words.split()).code == 0
    found = {one["check"]: (one["status"], one["figure"]) for one in header("adversarial.h5")["checks"]}
    assert found.get("few-classes") == expected


@pytest.mark.parametrize(("method", "most"), [("fgsm", 90), ("pgd", 560), ("square", 80)])
def test_checks_ask_the_model_about_few_images(run, model, monkeypatch, method, most):
    """Counted are images in forward passes, of the model and of the search's copy."""
    asked, whole = [], Probe.__init__

    def counting(self, job, *more, **others):
        whole(self, job, *more, **others)
        for one in {id(one): one for one in (job.model, job.searched)}.values():
            one.register_forward_pre_hook(lambda _, given: asked.append(len(given[0])))

    monkeypatch.setattr(Probe, "__init__", counting)
    monkeypatch.setattr("advcli.verbs.attack.publish", lambda path, *_: path)
    assert run("attack", "--method", method).code == 0
    assert 0 < sum(asked) <= most


def test_an_attack_that_asks_nothing_checks_nothing(run, model):
    run("attack", "--method", "noise", "--limit", "20")
    assert header("adversarial.h5")["checks"] == []


def test_checks_do_not_change_the_images_nor_the_draws(run, model, monkeypatch):
    run("attack", "--limit", "20", "-o", "with.h5")
    monkeypatch.setattr("advcli.crafting.resolve.model_checks", lambda *_: [])
    run("attack", "--limit", "20", "-o", "without.h5")
    with ImageSet(Path("with.h5")) as one, ImageSet(Path("without.h5")) as other:
        for name in ("images", "success", "prediction", "queries", "gradients"):
            assert (one.column(name) == other.column(name)).all()


OWN = '''"""Checks of my own."""
from advcli.extend import Probe, Result, Standing, check, judged

@check(of="model")
def dark(probe: Probe) -> Result:
    """Whether the images are dark."""
    return judged(1 - float(probe.x.mean()), len(probe.x), warn=0.1, found="they are dark", advice="more light")

@check(of="set")
def broken(sets: list[Standing]) -> Result:
    """Whether much is broken."""
    return judged(float(sets[0].broken.mean()), len(sets[0].images), warn=-1, fail=0, found="much is broken", advice="mend it")
'''


def test_a_check_of_ones_own_is_run_beside_the_others(run, model):
    Path("mine.py").write_text(OWN)
    ran = run("attack", "--limit", "20", "--check", "mine:dark")
    assert "warning: WARN mine:dark: they are dark; more light" in ran.err
    assert "mine:dark" in {one["check"] for one in header("adversarial.h5")["checks"]}
    assert "--check mine:dark" in run("show", "adversarial.h5").out
    ran = run("evaluate", "adversarial.h5", "--check", "mine:broken")
    assert "FAIL mine:broken (adversarial.h5): much is broken; mend it" in " ".join(ran.out.split())
    assert run("attack", "--limit", "20", "--check", "mine:broken", "-o", "x.h5").code == 2
    ran = run("evaluate", "adversarial.h5", "--check", "mine:dark")
    assert ran.code == 2
    assert "use it with advcli attack" in ran.err
    assert run("evaluate", "adversarial.h5", "--check", "mine:nothing").code == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "GOOD"},
        {"figure": "many"},
        {"figure": float("1e999")},
        {"n": True},
        {"advice": "up\x1b[2J"},
        {"more": 1},
    ],
)
def test_a_header_with_a_malformed_check_is_refused(folder, wrong):
    right = Result("FAIL", 1.0, 0.1, 24, "found", "advice").document("zero-gradients")
    assert check_results.valid([right])
    assert not check_results.valid([{**right, **wrong}])
    images = pictures((1, 4, 4)).numpy()
    columns = {"images": images, "labels": np.zeros(len(images), np.int64)}
    with ImageSet(write("right.h5", columns, checks=[right])) as opened:
        assert opened.header["checks"] == [right]
    if wrong.get("figure") != float("inf"):  # JSON has no such number
        with pytest.raises(InputError, match="checks"), ImageSet(write("wrong.h5", columns, checks=[{**right, **wrong}])):
            pass


def test_a_figure_is_judged_by_the_worse_of_two_thresholds():
    def status(figure):
        return judged(figure, 10, warn=0.1, fail=0.5, found="", advice="do").status

    assert [status(one) for one in (0.1, 0.10004, 0.2, 0.5, 0.6, float("nan"))] == [
        "PASS",
        "PASS",
        "WARN",
        "WARN",
        "FAIL",
        "FAIL",
    ]
    assert judged(0.6, 10, warn=0.1, fail=0.5, found="", advice="do").threshold == 0.5
    assert judged(0.05, 10, warn=0.1, fail=0.5, found="", advice="do").advice == ""


def test_checks_of_a_model_bring_nothing_that_an_attack_would_wait_for():
    code = "import sys; from advcli.catalog import discovery; "
    code += "[one.load() for one in discovery.specs('check') if one.traits.of == 'model']; "
    code += "sys.exit(bool({'matplotlib', 'scipy'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], env=os.environ).returncode == 0


@pytest.mark.parametrize("method", ["square", "hopskipjump"])
def test_a_black_box_learns_nothing_from_the_checks_whose_questions_are_not_counted(run, model, monkeypatch, method):
    """So --max-queries is what the attack asks: without any check it asks as often, and finds the same."""
    words = ("attack", "--method", method, "--limit", "12", "--max-queries", "40")
    assert run(*words, "-o", "checked.h5").code == 0
    monkeypatch.setattr("advcli.crafting.resolve.model_checks", lambda *of: [])
    monkeypatch.setattr("advcli.crafting.trust.search_checks", lambda *of: [])
    assert run(*words, "-o", "bare.h5").code == 0
    with ImageSet(Path("checked.h5")) as checked, ImageSet(Path("bare.h5")) as bare:
        assert len(checked.header["checks"]) > 1
        assert bare.header["checks"] == []
        assert 0 < checked.column("queries").max() <= 40
        for name in ("queries", "prediction", "success"):
            np.testing.assert_array_equal(checked.column(name), bare.column(name))
        np.testing.assert_array_equal(checked.rows("images", 0, 12), bare.rows("images", 0, 12))

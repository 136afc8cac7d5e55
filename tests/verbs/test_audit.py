"""`audit`: every figure again from the files that it leaves, and the same bytes however often it is stopped."""

import contextlib
import csv
import json
import shlex
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors import safe_open

import advcli
from advcli.cli.app import main
from advcli.files import atomic
from advcli.networks import model_file
from faults import Failing, Stop

QUICK = ["audit", "--effort", "quick", "--limit", "40", "--eps", "0.1"]


@pytest.fixture(scope="module")
def folder_of_an_audit(tmp_path_factory, small_model) -> Path:
    """What a quick audit leaves, made once."""
    folder = tmp_path_factory.mktemp("audit")
    shutil.copy(small_model, folder / "model.safetensors")
    with contextlib.chdir(folder):
        assert main([*QUICK, "--quiet"]) == 0
    return folder / "model.audit"


@pytest.fixture
def audited(folder_of_an_audit, model) -> dict:
    """A copy of it in the folder that the test stands in."""
    shutil.copytree(folder_of_an_audit, "model.audit")
    return json.loads(Path("model.audit/audit.json").read_text())


def predictions(model, images) -> np.ndarray:
    """The model's decisions, by one plain forward."""
    with torch.no_grad():
        module = model_file.read(model).module().eval()
        return module(torch.from_numpy(np.asarray(images)), None).argmax(1).numpy()


def columns(step: str) -> dict[str, np.ndarray]:
    with h5py.File(f"model.audit/{step}.h5") as file:
        return {name: file[name][:] for name in file if name != "header"}


def as_float(images: np.ndarray) -> np.ndarray:
    return images.astype(np.float32) / 255 if images.dtype == np.uint8 else images


def test_every_figure_is_recomputed_from_the_files_that_it_left(audited, model):
    """With numpy and a plain forward: nothing of `evaluate` takes part."""
    sets = {one["step"]: columns(one["step"]) for one in audited["attacks"]}
    first = next(iter(sets.values()))
    labels, originals = first["labels"], as_float(first["originals"])
    clean = predictions(model, originals) == labels
    assert audited["clean_accuracy"]["k"] == int(clean.sum())
    assert audited["images"] == len(labels) == 40
    right = {}
    for step, found in sets.items():
        images = as_float(found["images"])
        here = predictions(model, images) == labels
        if np.isnan(found["epsilon"]).all():  # of a minimal-norm method: within the budget or not broken
            far = np.abs(images - originals).reshape(len(images), -1).max(1)
            here = np.where(far <= 0.1 + 1e-6, here, clean)
        right[step] = here
        assert next(one for one in audited["attacks"] if one["step"] == step)["accuracy"]["k"] == int(here.sum()), step
    worst = np.logical_and.reduce(list(right.values()))
    assert audited["robust_accuracy"]["attacked"]["k"] == int(worst.sum())
    assert 0 < worst.sum() < clean.sum(), "the budget tells nothing apart"
    stages = sets["autoattack"]["stage"]
    assert [one["k"] for one in audited["broken_by"]] == [int((stages == k).sum()) for k in range(len(audited["broken_by"]))]
    for point in audited["curve"]:
        closest = sets["closest"]
        far = np.abs(as_float(closest["images"]) - originals).reshape(40, -1).max(1)
        still = np.where(far <= float(point["epsilon"]) + 1e-6, predictions(model, as_float(closest["images"])) == labels, clean)
        assert point["k"] <= int(still.sum())
        if float(point["epsilon"]) < 0.1:
            assert point["k"] == int(still.sum())
    assert [point["k"] for point in audited["curve"]] == sorted((point["k"] for point in audited["curve"]), reverse=True)
    with open("model.audit/curve.csv") as text:
        rows = list(csv.DictReader(text))
    told = [(row["epsilon"], int(row["k"])) for row in rows if row["figure"] == "attacked" and row["epsilon"] != "0"]
    assert told == [(point["epsilon"], point["k"]) for point in audited["curve"]]


def test_the_proved_share_is_below_the_attacked_one_at_every_budget(audited):
    attacked = {point["epsilon"]: point["k"] for point in audited["curve"]}
    assert audited["proofs"], audited["unproved"]
    for proof in audited["proofs"]:
        assert proof["k"] <= attacked[proof["epsilon"]]


def test_each_step_is_made_again_by_the_command_that_is_told(audited, run, model):
    for step in audited["steps"]:
        words = shlex.split(step["command"])
        place = words.index("--output")
        words[place + 1] = f"again-{step['step']}.h5"
        assert run(*words[1:]).code == 0, step["command"]
        assert Path(words[place + 1]).read_bytes() == Path(f"model.audit/{step['step']}.h5").read_bytes(), step["step"]
    for command in audited["commands"]:
        assert run(*shlex.split(command)[1:]).code == 0, command


def test_it_is_printed_in_80_columns_and_says_what_may_be_concluded(run, model):
    ran = run(*QUICK)
    assert max(map(len, ran.out.splitlines())) <= 80
    page = ran.out.replace(" \\\n    ", " ")
    found = json.loads(Path("model.audit/audit.json").read_text())
    assert all(command in page for command in [*(step["command"] for step in found["steps"]), *found["commands"]])
    for words in ("robust accuracy: between", "autoattack", "trust checks:", "What may be concluded", "What was not tried"):
        assert words in ran.out
    again = run(*QUICK, "--json")
    assert json.loads(again.out) == json.loads(Path("model.audit/audit.json").read_text())


def contents() -> dict[str, bytes]:
    return {
        path.name: path.read_bytes() for path in Path("model.audit").iterdir() if path.suffix in (".h5", ".json", ".csv", ".png")
    }


@pytest.mark.sweep
def test_stopped_at_ten_moments_it_ends_with_the_same_bytes(run, model, monkeypatch):
    """One audit that is stopped ten times, each time further on, beside one that is never stopped."""
    few = ["10" if word == "40" else word for word in QUICK]
    counting = Failing()
    monkeypatch.setattr(atomic, "calls", counting)
    assert run(*few).code == 0
    wanted = contents()
    shutil.rmtree("model.audit")
    for at in [1, *[counting.count // 10] * 9]:
        monkeypatch.setattr(atomic, "calls", Failing(at))
        with pytest.raises(Stop):
            run(*few)
    monkeypatch.setattr(atomic, "calls", atomic.Calls())
    assert run(*few).code == 0
    assert contents() == wanted
    assert not [path for path in Path("model.audit").iterdir() if path.is_dir()], "parts are left"


def test_a_model_without_gradients_is_attacked_without_them(run, folder):
    """S2-A6: and by the attack that is made for its kind."""
    assert run("train", "--arch", "tree", "--limit", "300").code == 0
    ran = run("audit", "--effort", "quick", "--limit", "30", "--eps", "0.1")
    assert ran.code == 0, ran.err
    found = json.loads(Path("model.audit/audit.json").read_text())
    assert not found["gradients"]
    assert {one["step"] for one in found["attacks"]} == {"noise", "tree", "long-black-box", "decisions", "substitute"}
    accuracy = {one["step"]: one["accuracy"]["k"] for one in found["attacks"]}
    assert accuracy["tree"] == found["robust_accuracy"]["attacked"]["k"] == min(accuracy.values()), "exact on one tree"
    assert {one["access"] for one in found["attacks"] if one["step"] == "tree"} == {"structure"}
    assert "gives no gradient" in ran.err
    assert found["unproved"]
    assert "gives no gradients: tree read its structure instead" in " ".join(found["conclusions"])


def test_a_check_that_fails_sends_the_audit_to_attacks_without_gradients(run, model):
    """The logits of a model whose last layer is a million times too large: its cross-entropy has no gradient."""
    with safe_open("model.safetensors", framework="pt") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # a handle, no dict
    last = [name for name in weights if weights[name].shape[:1] == (10,)]
    torch.save({name: value * 1e4 if name in last else value for name, value in weights.items()}, "large.pt")
    assert run("import", "large.pt", "--arch", "cnn", "--input", "1x8x8", "--data", "digits", "-o", "large.safetensors").code == 0
    ran = run(*QUICK, "--model", "large.safetensors", "--data", "digits:test", "--strict")
    found = json.loads(Path("large.audit/audit.json").read_text())
    assert {"long-black-box", "decisions", "substitute"} <= {one["step"] for one in found["attacks"]}
    assert "saturation" in {one["check"] for one in found["checks"] if one["status"] != "PASS"}
    assert found["robust_accuracy"]["attacked"]["value"] < 0.7, "as the plain model, whose decisions it has"
    assert any("saturation" in text for text in found["conclusions"])
    assert ran.code in (0, 1)


def test_the_gate_and_the_strict_one(run, audited):
    assert run(*QUICK, "--fail-under", "robust_accuracy=0.99").code == 1
    passed = run(*QUICK, "--fail-under", "robust_accuracy=0.01", "--strict")
    assert passed.code == 0, passed.err
    assert json.loads(Path("model.audit/audit.json").read_text())["verdicts"][0]["passed"]


def test_another_budget_replaces_the_audit_in_the_default_folder_and_no_other(run, audited):
    shutil.copytree("model.audit", "mine")
    assert run(*QUICK[:-1], "0.05").code == 0
    assert json.loads(Path("model.audit/audit.json").read_text())["epsilon"] == "0.05"
    assert run(*QUICK, "-o", "mine").code == 0
    refused = run(*QUICK[:-1], "0.05", "-o", "mine")
    assert refused.code == 2
    assert "already exists" in refused.err
    assert run(*QUICK[:-1], "0.05", "-o", "mine", "--force").code == 0


def test_a_folder_with_other_things_in_it_is_left_alone(run, model):
    Path("model.audit").mkdir()
    Path("model.audit/thesis.tex").write_text("mine")
    refused = run(*QUICK)
    assert refused.code == 2
    assert "thesis.tex" in refused.err
    assert [path.name for path in Path("model.audit").iterdir()] == ["thesis.tex"]
    Path("file").write_text("")
    assert run(*QUICK, "-o", "file").code == 2


def test_a_dry_run_says_what_it_costs_and_leaves_nothing(run, model):
    before = set(Path().iterdir())
    ran = run(*QUICK, "--dry-run")
    assert ran.code == 0
    assert "rows" in ran.out
    assert set(Path().iterdir()) == before


def test_in_l2_every_step_is_in_l2(run, model):
    assert run("audit", "--effort", "quick", "--limit", "30", "--norm", "l2", "--eps", "0.5").code == 0
    found = json.loads(Path("model.audit/audit.json").read_text())
    assert found["norm"] == "l2"
    assert {one["step"] for one in found["attacks"]} == {"noise", "one-step", "autoattack", "closest", "black-box"}


def test_from_python_it_gives_the_same(audited, model):
    found = advcli.audit(effort="quick", limit=40, eps="0.1", output="other")
    assert found.document()["robust_accuracy"] == audited["robust_accuracy"]
    assert found.passed

"""Figures that are drawn from decisions or from a network: what they are given, and the files of other formats."""

import csv
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

OWN = Path(__file__).with_name("own_figures.py")


def table(path: str) -> list[dict[str, str]]:
    with open(path) as file:
        return list(csv.DictReader(file))


@pytest.fixture
def attacked(run, model, monkeypatch):
    """A set at two budgets, beside the model and figures of one's own."""
    shutil.copy(OWN, "own_figures.py")
    monkeypatch.syspath_prepend(".")
    assert run("attack", "--method", "fgsm", "--eps", "0.1,0.2", "--limit", "30").code == 0
    with h5py.File("adversarial.h5") as file:
        return {key: file[key][:] for key in file}


def test_a_figure_of_decisions_has_those_of_evaluate(run, attacked):
    ran = run("stats", "adversarial.h5", "--figure", "own_figures:right", "-o", "out")
    assert ran.code == 0, ran.err
    assert "model: model.safetensors" in ran.err
    found = table("out/own_figures.right.csv")
    assert [one["epsilon"] for one in found] == ["0.1", "0.2"]
    for one in found:
        here = np.isclose(attacked["epsilon"], float(one["epsilon"]))
        assert int(one["right"]) == (attacked["prediction"] == attacked["labels"])[here].sum()
        assert float(one["farthest"]) == pytest.approx(float(one["epsilon"]), abs=1e-6)


def test_all_models_and_all_sets_are_in_one_figure_of_decisions(run, attacked):
    shutil.copy("model.safetensors", "other.safetensors")
    shutil.copy("adversarial.h5", "again.h5")
    words = ["--model", "model.safetensors", "--model", "other.safetensors", "--figure", "own_figures:right"]
    ran = run("stats", "adversarial.h5", "again.h5", *words, "--figure", "own_figures:sizes")
    assert ran.code == 0, ran.err
    assert ran.out.strip() == "sets.stats"
    assert len(table("sets.stats/own_figures.right.csv")) == 8
    assert [one["rows"] for one in table("sets.stats/own_figures.sizes.csv")] == [str(len(attacked["labels"]) - 2 * wrong)
                                                                                  for wrong in [wrong_before(attacked)] * 2]  # fmt: skip


def wrong_before(attacked: dict[str, np.ndarray]) -> int:
    """Images that were wrong before the attack, each of which has two rows."""
    return int((attacked["clean_prediction"] != attacked["labels"]).sum()) // 2


def test_a_figure_may_ask_the_model(run, attacked):
    ran = run("stats", "adversarial.h5", "--figure", "own_figures:answers", "--rows", "all", "-o", "out")
    assert ran.code == 0, ran.err
    found = table("out/own_figures.answers.csv")
    assert [int(one["answer"]) for one in found] == attacked["prediction"].tolist()
    assert all(float(one["slope"]) > 0 for one in found)


def test_a_figure_of_a_model_alone_needs_no_set(run, attacked):
    ran = run("stats", "--model", "model.safetensors", "--figure", "own_figures:layers")
    assert ran.code == 0, ran.err
    assert ran.out.strip() == "model.stats"
    assert table("model.stats/own_figures.layers.csv")[0] == {"layer": "whole"}
    again = run("show", "model.stats")
    assert "--model model.safetensors --figure own_figures:layers" in again.out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["adversarial.h5", "--model", "model.safetensors"], "none of these figures uses a model"),
        (["adversarial.h5", "--figure", "own_figures:layers"], "of a model alone"),
        (["--figure", "own_figures:layers", "--figure", "sheet"], "of a model alone"),
        (["adversarial.h5", "--figure", "own_figures:answers", "--model", "model.safetensors", "--model", "b.safetensors"], "--model once"),
        (["adversarial.h5", "--format", "gif"], "'gif' is not one of png, svg, pdf"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(run, attacked, words, says):
    shutil.copy("model.safetensors", "b.safetensors")
    ran = run("stats", *words, "-o", "out")
    assert ran.code == 2
    assert says in ran.err
    assert not Path("out").exists()


def test_every_format_is_written_and_has_the_same_bytes_again(run, attacked):
    words = ["adversarial.h5", "--figure", "sheet", "--format", "svg", "--format", "pdf", "--format", "png"]
    assert run("stats", *words, "-o", "one").code == 0
    assert run("stats", *words, "-o", "two").code == 0
    begins = {"svg": b"<?xml", "pdf": b"%PDF", "png": b"\x89PNG"}
    for form, begin in begins.items():
        data = Path(f"one/sheet.{form}").read_bytes()
        assert data.startswith(begin)
        assert data == Path(f"two/sheet.{form}").read_bytes()
        assert str(2026).encode() not in data if form == "svg" else True


@pytest.mark.parametrize(("option", "value"), [("where", "epsilon=0.1"), ("rows", "all"), ("of", "images"), ("by", "label")])
def test_figures_of_verdicts_use_all_rows(run, judged, tmp_path, option, value):
    """A choice of rows has no effect on them and is refused, unless another figure is asked for too."""
    ran = run("stats", "fgsm.h5", "--figure", "confusion", f"--{option}", value, "-o", tmp_path / "out")
    assert (ran.code, ran.err.strip().count("\n")) == (2, 0)
    assert f"--{option} {value}: --figure confusion uses all rows" in ran.err


def test_the_note_on_rows_is_not_about_figures_of_verdicts(run, judged, tmp_path):
    ran = run("stats", "fgsm.h5", "--figure", "confusion", "-o", tmp_path / "out")
    assert "norms and values are of" in ran.err
    ran = run("stats", "fgsm.h5", "--figure", "confusion", "--figure", "norms", "--where", "epsilon=0.1", "-o", tmp_path / "two")
    assert (ran.code, "norms, values and figures are of" in ran.err) == (0, True)

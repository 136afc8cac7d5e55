"""The benchmark's page says what its kept results say, and its cells speak the language of the methods that are there."""

import shutil
import time
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "benchmarks"


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


def test_the_page_is_what_the_results_give():
    from benchmarks import report, run

    assert (FOLDER / "README.md").read_text() == report.text(run.kept())


def test_every_kept_result_is_of_a_cell_and_has_ours_first():
    from benchmarks import run
    from benchmarks.cells import cells

    kept = run.kept()
    assert {path.stem for path in (FOLDER / "results").glob("*.json")} == kept.keys()
    assert len({one.name for one in cells()}) == len(cells())
    for line in kept.values():
        assert line["tools"][0]["name"] == "advcli"
        assert "wall" in line["tools"][0]


def test_cells_bind_to_the_methods_that_are_there():
    from benchmarks import ours
    from benchmarks.cells import cells

    from advcli.catalog import discovery

    said = [one for one in map(ours.command, cells()) if one]
    assert {one.method for one in said} >= {"pgd", "fgsm"}
    for one in said:
        discovery.spec("attack", one.method).bind(one.options)


def test_targets_name_cells():
    from benchmarks.cells import TARGETS, cells

    assert {one.cell for one in TARGETS} <= {one.name for one in cells()}


@pytest.mark.parametrize("count", [16, 32, 64])
def test_a_subject_has_images_of_all_classes_in_equal_share_and_all_right(folder, small_model, monkeypatch, count):
    from benchmarks import subject

    monkeypatch.setattr(subject, "MODELS", folder)
    shutil.copy(small_model, folder / "small.safetensors")
    found = subject.load("small", count)
    assert sum(found.classes.values()) == count
    assert set(found.classes.values()) == {count // 10, count // 10 + 1}
    assert torch.equal(subject.logits(found.module(), found.x).argmax(1), found.y)


def test_the_page_says_which_cells_were_measured_on_one_class_only():
    from benchmarks import report, run
    from benchmarks.cells import TARGETS

    kept = run.kept()
    name = next(one.cell for one in TARGETS if one.cell in kept)
    some = {**kept[name], "classes": {"cat": 3, "dog": 4, "ship": 0}}
    assert "images, 2 of 3 classes, 3 to 4 of each;" in report.text({name: some})
    assert "on one class only" not in report.text({name: some})
    page = report.text({name: {**some, "classes": {"cat": 7, "dog": 0}}})
    assert "images, **all of one class, cat**;" in page
    assert f"| {name} |" in page
    assert "**on one class only**" in page
    for line in kept.values():
        assert sum(line["classes"].values()) == line["images"]


@pytest.mark.parametrize("half", [False, True])
def test_ours_attacks_a_subject_as_the_command_would(folder, small_model, monkeypatch, half):
    from benchmarks import ours, subject
    from benchmarks.cells import FULL, Cell

    monkeypatch.setattr(subject, "MODELS", folder)
    shutil.copy(small_model, folder / "small.safetensors")
    cell, found = (
        Cell("small", "pgd", FULL, 10, {"eps": "0.1", "steps": 3, "step_size": "0.05"}, half=True),
        subject.load("small", 10),
    )
    _, attack = ours.prepare(cell, found, half=half)
    made = attack(0, 10)
    assert made.shape == (1, 10, 1, 8, 8)
    assert 0.05 < float((made[0] - found.x).abs().max()) <= 0.1 + 1e-6


def busy(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_a_tool_is_stopped_by_its_own_time_and_not_by_that_of_its_neighbours():
    from benchmarks.measure import Stopped, limited

    with limited(0.2):
        time.sleep(0.4)  # waits, as one does for a busy machine
    begin = time.process_time()
    with pytest.raises(Stopped), limited(0.2):
        busy(5)
    assert time.process_time() < begin + 1


def test_static_and_adaptive_are_compared_image_by_image(run, model):
    """Two intervals overlap where the pairs differ clearly; the table of defenses goes by the pairs."""
    from benchmarks import defenses

    for words in (["--eps", "0.05", "-o", "static.h5"], ["--eps", "0.15", "-o", "adaptive.h5"]):
        assert run("attack", "--method", "fgsm", "--limit", "60", *words, "--no-perturbations").code == 0
    weak, strong = (defenses.fooled("model.safetensors", f"{name}.h5") for name in ("static", "adaptive"))
    assert len(weak) == len(strong) == 60
    assert sum(strong.values()) > sum(weak.values())
    pairs = defenses.paired(weak, strong)
    assert pairs["n"] == 60
    assert pairs["c"] - pairs["b"] == sum(strong.values()) - sum(weak.values())
    assert defenses.paired(strong, weak) == {**pairs, "b": pairs["c"], "c": pairs["b"]}
    kept = {f"{name}/{defenses.PAIRS}": {"b": b, "c": c, "n": 961, "p": defenses.mcnemar(b, c)}
            for name, b, c in (("detector", 60, 17), ("jpeg", 17, 60), ("squeeze", 12, 8))}  # fmt: skip
    assert defenses.weaker(kept, ["none", "detector", "jpeg", "squeeze"]) == ["detector"]

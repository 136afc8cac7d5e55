"""The documentation is under test: its code runs, its tables are up to date, its numbers are near."""

import importlib
import importlib.util
import json
import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
FORMAT = (ROOT / "docs" / "format.md").read_text()


def blocks(text: str, kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", text, flags=re.DOTALL)


def test_generated_tables_are_up_to_date():
    place = importlib.util.spec_from_file_location("tables", ROOT / "docs" / "tables.py")
    tables = importlib.util.module_from_spec(place)
    place.loader.exec_module(tables)
    pages = {page: (ROOT / page).read_text() for page in tables.PAGES}
    assert {page: tables.generated(text) for page, text in pages.items()} == pages
    listed = "".join(pages.values())
    assert all(f"| `{spec.name}` |" in listed for role in tables.TITLES for spec in tables.discovery.specs(role))
    assert "<!-- walk -->" in pages["README.md"]


def test_every_row_that_a_test_or_a_measurement_names_is_in_the_list(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    table, measure = importlib.import_module("row_table"), importlib.import_module("benchmarks.rows.__main__")
    listed = {one["row"] for one in table.rows()}
    assert len(listed) == 94
    assert set(table.tests()) <= listed
    assert set(measure.measurements()) <= listed
    assert all(measure.measurements()[row].__doc__ for row in measure.measurements())
    kept = json.loads(table.MEASURED.read_text()) if table.MEASURED.exists() else {}
    assert set(kept) <= set(measure.measurements())


@pytest.mark.parametrize(
    "command",
    [["fgsm"], ["fgsm", "--quantize"], ["pgd", "--steps", "2", "--target", "other"], ["noise", "--eps", "0:0.2:0.1"]],
    ids=" ".join,
)
def test_three_lines_of_plain_h5py_read_every_image_set(run, model, command):
    (code,) = (block for block in blocks(FORMAT, "python") if "h5py" in block)
    run("attack", "--method", *command, "--limit", "6")
    run("defend", "adversarial.h5", "--bits", "2")
    for name in ("adversarial.h5", "perturbations.h5", "adversarial.filtered.h5"):
        found: dict = {}
        exec(code.replace("adversarial.h5", name), found)
        assert len(found["images"]) == len(found["labels"]) == len(found["success"]) > 0


def test_three_lines_of_plain_safetensors_read_every_model(run, model):
    import json

    (code,) = (block for block in blocks(FORMAT, "python") if "safetensors" in block)
    run("defend", "--bits", "2")
    for name in ("model.safetensors", "defended.safetensors"):
        found: dict = {}
        exec(code.replace("model.safetensors", name), found)
        assert found["weights"]
        assert json.loads(found["metadata"])["classes"] == list("0123456789")


@pytest.mark.filterwarnings("ignore::UserWarning")  # nobody trained the network of the second block
def test_the_python_of_the_readme_runs(folder, capsys):
    shared: dict = {}
    for code in blocks(README, "python"):
        exec(code, shared)
    assert "accuracy" in capsys.readouterr().out
    assert shared["report"].rows


def test_the_page_on_notebooks_runs(folder, capsys):
    shared: dict = {}
    for code in blocks((ROOT / "docs" / "notebook.md").read_text(), "python"):
        exec(code, shared)
    seen = capsys.readouterr().out
    assert "297 rows" in seen
    assert "white-box" in seen
    assert seen.endswith("True\n")
    assert [one.name for one in folder.iterdir() if not one.name.startswith(".")] == ["adversarial.h5"]


STORIES = [one for one in blocks(README, "console") if re.search(r"\d+/\d+ ", one)]


@pytest.mark.parametrize("story", STORIES, ids=["audit", "filtered", "without gradients"])
def test_a_story_of_the_readme_is_what_the_program_prints(story, run, folder):
    commands = [line[2:].partition("#")[0] for line in story.splitlines() if line.startswith("$ ")]
    told = [line for line in story.splitlines() if re.search(r"\d+/\d+ ", line)]
    checked = [line for line in story.splitlines() if line.startswith("trust checks: ")]
    for command in commands:
        ran = run(*shlex.split(command)[1:])
        assert ran.code == 0, ran.err
    printed = [line for line in ran.out.splitlines() if re.search(r"\d+/\d+ ", line)]
    assert len(told) == len(printed)
    assert checked == [line for line in ran.out.splitlines() if line.startswith("trust checks: ")]
    for mine, theirs in zip(printed, told, strict=True):
        rates = [float(re.search(r"([\d.]+)%", line)[1]) for line in (mine, theirs)]
        assert abs(rates[0] - rates[1]) <= 5, "beyond what another version of torch may change"
        assert re.sub(r"[\d.]+", "", mine).split() == re.sub(r"[\d.]+", "", theirs).split()


def test_the_clean_accuracies_of_the_readme_are_measured(run, folder):
    run("train")
    run("defend", "--method", "squeeze", "--median", "2x2")
    claimed = [int(percent) for percent in re.search(r"clean accuracy \((\d+) to (\d+) %\)", README).groups()]
    clean = run("evaluate", "--data", "digits:test", "--metric", "accuracy").out
    measured = [float(percent) for percent in re.findall(r"accuracy +([\d.]+)%", clean)]
    assert all(abs(a - b) <= 5 for a, b in zip(claimed, measured, strict=True))


def test_the_walk_of_the_readme_is_the_one_that_is_run():
    walk = (ROOT / "docs" / "walk.sh").read_text().strip().splitlines()
    assert [line[2:] for line in README.splitlines() if line.startswith("$ advcli ") and line[2:] in walk] == walk


def test_the_attack_of_contributing_is_a_method_by_one_file(run, model, monkeypatch):
    """The newcomer's page, followed to the letter but for the folder: the same source as a method of one's own."""
    (code,) = (b for b in blocks((ROOT / "CONTRIBUTING.md").read_text(), "python") if "def center" in b)
    Path("center.py").write_text(code)
    ran = run("attack", "--method", "center:center", "--eps", "0:0.3:0.1", "--grey", "1/2", "--limit", "9")
    assert ran.code == 0, ran.err
    assert "center:center" in run("show", "adversarial.h5").out
    assert "--grey NUMBER" in run("attack", "--method", "center:center", "--help").out


def test_nothing_speaks_of_a_machine():
    import subprocess

    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    for name in listed or ["README.md"]:
        if (ROOT / name).suffix in (".md", ".py", ".toml", ".sh") or name == ".ci/run":
            text = (ROOT / name).read_text()
            assert not re.search(r"/(home|root|work)/\w", text), name

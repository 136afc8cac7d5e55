"""The tables that `evaluate` and `stats` write: the figures of --json, and nothing that another program would run."""

import csv
import io
import json
from pathlib import Path

import pytest

import advcli
from advcli.evaluation.rows import flat
from advcli.files.table_formats import as_csv, as_latex, as_markdown

LINE = {"model": "a_b|c.safetensors", "95 % interval": "=1+1", "n": "3", "empty": ""}


@pytest.fixture
def attacked(run, model):
    assert run("attack", "--method", "fgsm", "--eps", "0.1", "--limit", "20").code == 0


def test_the_csv_of_an_evaluation_has_every_figure_of_the_json(run, attacked):
    asked = ["evaluate", "adversarial.h5", "--model", "model.safetensors"]
    assert run(*asked, "--metric", "accuracy", "--metric", "per-class", "-o", "new/table.csv").out == run(
        *asked, "--metric", "accuracy", "--metric", "per-class").out  # fmt: skip
    rows = json.loads(run(*asked, "--metric", "accuracy", "--metric", "per-class", "--json").out)["rows"]
    with open("new/table.csv", newline="") as file:
        found = list(csv.DictReader(file))
    assert len(found) == len(rows) > 10
    for line, row in zip(found, map(flat, rows), strict=True):
        assert {key: text for key, text in line.items() if text} == {
            key: str(value) for key, value in row.items() if value not in (None, "")
        }


def test_markdown_and_latex_have_the_printed_figures_and_their_notes(run, attacked):
    assert run("defend", "--method", "squeeze", "--bits", "1").code == 0
    asked = ["evaluate", "adversarial.h5", "--model", "model.safetensors", "--model", "defended.safetensors", "--compare"]
    rows = json.loads(run(*asked, "-o", "t.md", "--json").out)["rows"]
    assert run(*asked, "-o", "t.tex").code == 0
    table, _, notes = Path("t.md").read_text().partition("\n\n")
    head, _, *lines = [line.strip("| ").split(" | ") for line in table.splitlines()]
    assert len(lines) == len(rows)
    value = head.index("value")
    for line, row in zip(lines, rows, strict=True):
        assert line[0] == row["model"]
        assert float(line[value].rstrip("%")) == pytest.approx(100 * row["value"], abs=0.051)
    assert "no robustness claim" in notes
    latex = Path("t.tex").read_text()
    assert latex.count("\\\\\n") == 1 + len(rows)
    assert r"95 \% interval" in latex
    assert "no robustness claim" in latex.partition(r"\end{tabular}")[2]


def test_a_table_that_exists_and_another_suffix_are_refused_before_anything_is_done(run, attacked):
    Path("t.csv").write_text("mine")
    for verb in (["evaluate", "no-such-file.h5"], ["stats", "no-such-file.h5"]):
        ran = run(*verb, "-o", "t.csv")
        assert (ran.code, Path("t.csv").read_text()) == (2, "mine")
        assert "t.csv already exists; use --force" in ran.err
    ran = run("evaluate", "no-such-file.h5", "-o", "t.xlsx")
    assert (ran.code, ran.err) == (2, "advcli: -o t.xlsx: a table is written to NAME.csv, NAME.md, NAME.tex\n")
    report = advcli.evaluate(["adversarial.h5"], model=["model.safetensors"], output="t.csv", force=True)
    assert Path("t.csv").read_text() == as_csv(report.records())


def test_a_table_of_statistics_is_one_file_without_figures(run, attacked):
    found = json.loads(run("stats", "perturbations.h5", "adversarial.h5", "-o", "t.csv", "--json").out)
    with open("t.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(found["rows"])
    assert [float(line["mean"]) for line in lines] == [row["mean"] for row in found["rows"]]
    assert {line["set"] for line in lines} == {"perturbations.h5", "adversarial.h5"}
    assert run("stats", "perturbations.h5", "-o", "t.md").code == 0
    assert f"{found['rows'][0]['mean']:.5g}" in Path("t.md").read_text()
    assert not [path for path in Path().iterdir() if path.is_dir()]
    ran = run("stats", "perturbations.h5", "-o", "u.md", "--figure", "sheet")
    assert ran.code == 2
    assert "--figure: a figure is written to a folder" in ran.err


def test_names_are_text_in_every_language():
    assert as_markdown([LINE]) == ("| model | 95 % interval | n |\n| --- | --- | ---: |\n| a\\_b\\|c.safetensors | =1+1 | 3 |\n")
    latex = as_latex([LINE], ["50 % of {a} & b #1"])
    assert r"a\_b\textbar{}c.safetensors & =1+1 & 3 \\" in latex
    assert r"95 \% interval" in latex
    assert r"50 \% of \{a\} \& b \#1" in latex
    assert "\n" not in as_markdown([{"a": "x\ny\u202e"}]).splitlines()[2]
    assert r"x\\ny\\u202e" in as_markdown([{"a": "x\ny\u202e"}])


@pytest.mark.parametrize("text", ["=1+1", "+cmd", "-x", "@SUM(A1)", "\t=1", "=1,\n2"])
def test_no_text_is_a_formula_and_no_number_is_a_text(text):
    (_, row) = csv.reader(
        io.StringIO(as_csv([{"name": text, "low": -0.1, "of": "-1e-05", "none": None, "is": True}]), newline="")
    )
    assert row == [f"'{text}", "-0.1", "-1e-05", "", "True"]


def test_a_carriage_return_makes_no_row():
    assert as_csv([{"name": "a\r=1"}]) == "name\na\\r=1\n"

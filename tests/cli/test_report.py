"""The tables of many sets: no line wider than the terminal, few lines, nothing hidden that is worse than what is shown."""

import re
from dataclasses import replace
from types import SimpleNamespace

import pytest

from advcli.cli import render
from advcli.cli.report import report
from advcli.cli.statistics_table import statistics_table
from advcli.cli.text_tables import _pieces, fitted, shortened, widest
from advcli.evaluation.cells import middle_cut
from advcli.evaluation.decisions import rate
from advcli.evaluation.rows import row
from advcli.evaluation.threat_model import WORST, ThreatModel

MODELS = ("model.safetensors", "defended.safetensors", "adversarially-trained-with-early-stopping.safetensors")
SETS = [
    f"digits-{method}-{norm}-seed{seed}.h5"
    for method in ("fgsm", "pgd", "mim", "apgd")
    for norm in ("linf", "l2")
    for seed in "123"
]
BUDGETS = ("0.05", "0.1", "0.15", "0.2", "0.3")


def figures(models=MODELS, sets=SETS, budgets=BUDGETS):
    """An evaluation: accuracy falls with the budget, but for the second set, which breaks most at 0.2."""
    found = []
    for model in models:
        for number, name in enumerate(sets):
            for place, budget in enumerate(budgets):
                line = ThreatModel(attack=name.split("-")[1], norm="linf", epsilon=budget, steps=40, restarts=1, strength="early-stopped",
                                   knowledge="static", access="gradient", labels="true", pixels="float",
                                   notes=("static: made without the defense in view, no robustness claim",))  # fmt: skip
                right = 400 - 50 * place - number - 100 * (number == 1 and budget == "0.2")
                for figure in (rate("accuracy", right, 500), rate("success", 450 - right, 450)):
                    found.append(row(model, name, "adversarial", budget, [figure], line))
        for place, budget in enumerate(budgets):
            line = ThreatModel(attack=WORST, norm="linf", epsilon=budget, knowledge="static", notes=("static: no set was made",))
            names = " + ".join(sets)
            found.append(row(model, names, "worst case", budget, [rate("robust_accuracy", 300 - 50 * place, 500)], line))
            for number, name in enumerate(sets):
                figures = [rate(metric, (10 if number < 3 else 0), 500) for metric in ("newly-broken", "uniquely-broken")]
                found += [row(model, name, "worst case", budget, [one], replace(line, attack="pgd", notes=())) for one in figures]
            found.append(row(model, names, "worst case", budget, [rate("wrong-from-start", 50, 500)], line))
    return found


@pytest.mark.parametrize("width", [50, 80, 100, 160])
@pytest.mark.parametrize("wide", [False, True])
def test_no_line_is_wider_than_the_terminal(width, wide):
    assert widest(report(figures(), wide=wide, width=width)) <= width
    assert widest(report(figures(sets=SETS[:1]), wide=wide, width=width)) <= width


def test_twenty_four_sets_are_few_lines_which_say_where_the_rest_is():
    text = report(figures(), width=160)
    assert len(text.splitlines()) < 150
    assert "72 of 360 lines; --wide prints all, --json every figure" in text
    assert text.count("24 sets against") == 2 * len(MODELS)
    whole = report(figures(), wide=True, width=160)
    assert "shown:" not in whole
    assert all(whole.count(name) >= len(MODELS) * len(BUDGETS) for name in SETS)


def test_what_is_shown_of_a_set_is_its_worst():
    shown = report(figures(), width=160).split("\n\n")[0]
    for number, name in enumerate(SETS):
        budget, right = ("0.2", 149) if number == 1 else ("0.3", 200 - number)
        lines = re.findall(rf"{re.escape(name)} +(\S+) +500 +(\S+)", shown)
        assert lines == [(budget, f"{right / 500:.1%}")] * len(MODELS)


def test_a_few_figures_are_all_shown_line_by_line():
    text = report(figures(sets=SETS[:1]), width=160)
    assert "shown:" not in text
    assert len(re.findall(r"\baccuracy +\d", text)) == len(MODELS) * len(BUDGETS)
    assert "k/n" in text


def test_of_many_sets_those_that_broke_an_image_are_shown():
    text = next(part for part in report(figures(), width=160).split("\n\n") if part.startswith("images that each set broke"))
    assert "without 63 sets that broke none" in text
    assert {line.split()[2] for line in text.splitlines() if ".h5" in line} == {"0.3"}
    assert sum(".h5" in line for line in text.splitlines()) == 3 * len(MODELS)


def test_long_names_are_cut_in_the_middle_and_stay_apart():
    assert middle_cut("digits-pgd-linf-seed0.h5", 16) == "digits-...ed0.h5"
    assert middle_cut("short.h5", 16) == "short.h5"
    lines = [{"set": f"{'x' * 60}{k}{'y' * 60}.h5", "n": "5"} for k in range(3)]
    assert shortened(lines, (), 40, 24) == lines, "they would look the same"
    apart = [{"set": f"{'x' * 120}{k}.h5", "n": "5"} for k in range(3)]
    assert len({one["set"] for one in shortened(apart, (), 40, 24)}) == 3
    assert widest(fitted(apart, 40)) <= 40
    assert widest(fitted(lines, 40)) <= 40


def test_confusions_of_many_classes_are_the_most_frequent():
    line = ThreatModel(pixels="float")
    rows = []
    for label in range(50):
        for prediction in range(50):
            k = 100 if label == prediction else label * (prediction == 0)
            one = replace(
                rate("confusion", k, 100), about={"label": f"class number {label}", "prediction": f"class number {prediction}"}
            )
            rows.append(row("m.safetensors", "digits:test", "clean", None, [one], line))
    text = report(rows, width=100).splitlines()
    assert max(map(len, text)) <= 100
    assert len(text) < 50
    assert text[2].split() == ["class", "number", "49", "class", "number", "0", "49"]


def statistics(sets):
    budgets = [float(one) for one in BUDGETS]
    counts = [
        {"set": name, "epsilon": eps, "n": 20, "never_attacked": 4, "failures": 10, "successes": 6}
        for name in sets
        for eps in budgets
    ]
    rows = [
        {"set": name, "epsilon": eps, "rows": "attacked", "of": "norm", "norm": norm, "n": 16, "mean": 0.25, "std": 0.0, "min": 0.1,
         "median": 0.2, "max": 0.3, "q05": 0.1}
        for name in sets for eps in budgets for norm in ("l0", "l1", "l2", "linf")
    ]  # fmt: skip
    return SimpleNamespace(counts=counts, rows=rows, folders=[f"{name}.stats" for name in sets])


@pytest.mark.parametrize("width", [60, 80, 160])
def test_statistics_of_many_sets_are_a_line_for_each_budget(width):
    text = statistics_table(statistics(SETS), width)
    assert widest(text) <= width
    assert "every table is in" in text
    assert len(re.findall(r"\b0\.25\b", text)) == 4 * len(SETS) * len(BUDGETS)
    one = statistics_table(statistics(SETS[:1]), width)
    assert widest(one) <= width
    assert "median" in one
    assert "shown" not in one


def test_the_narrowest_terminal_holds_every_table_of_statistics():
    groups = [("0.3", "attacked", of) for of in ("linf", "perturbations")] + [("0.3", "attacked images", "gradients")]
    rows = [
        {
            "set": "adversarial.h5",
            "epsilon": eps,
            "rows": kept,
            "of": of,
            "norm": None,
            "n": 1216,
            "mean": 0.050524,
            "std": 0.079006,
        }
        for eps, kept, of in groups
    ]
    counts = [{"set": "adversarial.h5", "epsilon": "0.3", "n": 20, "never_attacked": 1, "failures": 0, "successes": 19}]
    text = statistics_table(SimpleNamespace(counts=counts, rows=rows, folders=["adversarial.stats"]), 40)
    assert widest(text) <= 40
    assert "adversarial.h5 | epsilon 0.3" in text
    assert text.count("0.050524") == 3, "the mean of each row is shown once"


def test_the_width_is_that_of_the_terminal_or_of_columns_or_fixed(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert render.width() == 160
    monkeypatch.setenv("COLUMNS", "77")
    assert render.width() == 77
    monkeypatch.setenv("COLUMNS", "3")
    assert render.width() == 40


def test_columns_that_just_fit_stay_in_one_table():
    lines = [{"model": "m", **{name: name * 9 for name in "abcdef"}}] * 2
    (whole,) = _pieces(lines, 500)
    assert list(_pieces(lines, widest(whole))) == [whole]
    assert len(list(_pieces(lines, widest(whole) - 1))) == 2

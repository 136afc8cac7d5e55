"""What a Python program hears of a run: progress in a notebook, warnings everywhere."""

import io
import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import advcli
from advcli.runtime import printing_reporter
from advcli.runtime.printing_reporter import PrintingReporter, WarningReporter, in_notebook, reporter_for_python


def test_progress_is_one_line_that_is_written_over():
    out, now = io.StringIO(), iter([0.0, 0.05, 0.2])
    reporter = PrintingReporter(out, clock=lambda: next(now))
    reporter.note("on digits")
    with reporter.progress("pgd", 10, "images") as tick:
        tick(5, "80% fooled")
        tick(1, "too soon to be drawn")
        tick(3, "7% fooled")
    reporter.warn("lo\x1bok")
    lines = out.getvalue().split("\n")
    states = lines[1].split("\r")
    assert lines[0] == "on digits"
    assert states[0] == ""
    assert states.pop(1) == f"pgd [{'.' * 30}] 0/10 images"
    assert states[1] == f"pgd [{'#' * 15}{'.' * 15}] 5/10 images 80% fooled"
    assert states[2].rstrip() == f"pgd [{'#' * 27}{'.' * 3}] 9/10 images 7% fooled"
    assert len(states[2]) == len(states[1]), "what was there before is covered"
    assert (states[3], lines[2]) == (states[2], "warning: lo\\x1bok")


def test_a_notebook_shows_progress_and_elsewhere_warnings_are_pythons(monkeypatch):
    assert isinstance(reporter_for_python(), WarningReporter)
    shell = type("ZMQInteractiveShell", (), {})()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert in_notebook()
    assert isinstance(reporter_for_python(), PrintingReporter)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    assert not in_notebook()


def test_a_call_in_memory_says_what_must_not_be_overlooked(capsys, monkeypatch):
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    x, labels = torch.rand(4, 1, 2, 2), torch.zeros(4, dtype=torch.int64)
    with pytest.warns(UserWarning, match="its images are of 1 of 2 classes"):
        advcli.attack(net, (x, labels), method="fgsm")
    monkeypatch.setattr(printing_reporter, "in_notebook", lambda: True)
    advcli.attack(net, (x, labels), method="fgsm")
    seen = capsys.readouterr().err
    assert "warning: memory:test: its images are of 1 of 2 classes" in seen
    assert "4/4 images" in seen
    advcli.attack(net, (x, labels), method="fgsm", reporter=advcli.PrintingReporter(sys.stdout))
    assert "4/4 images" in capsys.readouterr().out

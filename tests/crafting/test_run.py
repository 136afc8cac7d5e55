"""One resolved attack command: what its set says of itself is made from the run, once."""

from dataclasses import fields, replace
from pathlib import Path

import torch

from advcli.catalog import discovery
from advcli.crafting.run import Run
from advcli.files.imageset_reader import ImageSet
from advcli.search.job import UNBOUNDED, Job
from conftest import Halfspace, in_memory


def a_run() -> Run:
    x = torch.rand(2, 1, 3, 4, generator=torch.Generator().manual_seed(0))
    job = Job(Halfspace(), discovery.spec("attack", "pgd").bind({}), "linf", (UNBOUNDED,), None, "true", 0, torch.device("cpu"))
    return Run(job, in_memory(x, torch.zeros(2, dtype=torch.int64), 2), {"verb": "attack"}, {"classes": ["a", "b"]}, 2, 1)


def test_a_header_is_no_second_copy_of_what_a_run_knows():
    assert not [one.name for one in fields(Run) if one.name == "header"]
    run = replace(a_run(), made={"verb": "attack", "fit": 1})
    found = run.header(unrepresentable=3)
    assert (found["made"], found["unrepresentable"], found["classes"]) == ({"verb": "attack", "fit": 1}, 3, ["a", "b"])


def test_the_set_of_every_kind_of_run_says_how_the_command_came_about(run, model):
    small = ["--limit", "6", "--fit-limit", "60", "--no-perturbations"]
    commands = {
        "s.h5": ["--method", "substitute", "--rounds", "1", "--epochs", "1", *small],
        "u.h5": ["--method", "universal", "--epochs", "1", *small],
        "a.h5": ["--apply", "u.universal.h5", "--limit", "6", "--no-perturbations"],
    }
    for name, words in commands.items():
        ran = run("attack", *words, "-o", name)
        assert ran.code == 0, ran.err
    made = {}
    for name in commands:
        with ImageSet(Path(name)) as opened:
            made[name] = opened.header
    for name, beside in (("s.h5", "fit"), ("u.h5", "fit")):
        assert made[name]["made"][beside]["name"] == "digits"
        assert made[name]["fitted"]["images"] == 60
    assert [one["role"] for one in made["a.h5"]["made"]["parents"]] == ["model", "apply"]
    assert made["a.h5"]["epsilon"] == made["u.h5"]["epsilon"]
    assert made["a.h5"]["source"] == made["u.h5"]["victim"]

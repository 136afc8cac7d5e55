"""Masked networks are caught, each by a check that names the cause."""

import json
from pathlib import Path

import pytest

from masked_networks import disguised

CAUGHT = [("saturated", "zero-gradients"), ("saturated", "saturation"), ("shifted", "repeated-answers")]


@pytest.mark.parametrize(("name", "check"), CAUGHT)
def test_a_masked_network_is_caught_by_a_check_that_names_the_cause(run, model, name, check):
    disguised(name, model, Path("masked.safetensors"))
    ran = run("attack", "--model", "masked.safetensors", "--limit", "40", "--eps", "0.1")
    assert ran.code == 0, ran.err
    shown = json.loads(run("evaluate", "--model", "masked.safetensors", "adversarial.h5", "--json").out)
    found = {one["check"]: one for one in shown["checks"]}
    assert found[check]["status"] == "FAIL"
    assert found[check]["advice"]

"""Masked networks are caught, each by a check that names the cause."""

import json
from pathlib import Path

import pytest

from masked_networks import disguised

CAUGHT = [("cut", "zero-gradients", "FAIL"), ("saturated", "saturation", "WARN"), ("shifted", "repeated-answers", "FAIL")]


@pytest.mark.parametrize(("name", "check", "status"), CAUGHT)
def test_a_masked_network_is_caught_by_a_check_that_names_the_cause(run, model, name, check, status):
    disguised(name, model, Path("masked.safetensors"))
    ran = run("attack", "--model", "masked.safetensors", "--limit", "40", "--eps", "0.1")
    assert ran.code == 0, ran.err
    shown = json.loads(run("evaluate", "--model", "masked.safetensors", "adversarial.h5", "--json").out)
    found = {one["check"]: one for one in shown["checks"]}
    assert found[check]["status"] == status
    assert found[check]["advice"]

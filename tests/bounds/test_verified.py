"""The metric `verified`, from the command line."""

import json

import pytest


def rows(ran):
    assert ran.code == 0, ran.err
    return json.loads(ran.out)["rows"]


@pytest.fixture
def mlp(run, folder):
    assert run("train", "--arch", "mlp", "--epochs", "8").code == 0


def test_the_share_that_is_proved_falls_with_the_budget_and_stays_below_the_attacked_one(run, mlp):
    assert run("attack", "--method", "pgd", "--eps", "0.01,0.03", "--limit", "100").code == 0
    asked = ("evaluate", "adversarial.h5", "--metric", "verified", "--metric", "accuracy", "--json")
    found = {(row["metric"], row["epsilon"]): row for row in rows(run(*asked)) if row["kind"] == "adversarial"}
    for eps in (0.01, 0.03):
        proved, attacked = found["verified", eps], found["accuracy", eps]
        assert 0 < proved["k"] <= attacked["k"]
        assert proved["n"] == 100
        assert proved["low"] < proved["value"] < proved["high"]
    assert found["verified", 0.03]["k"] < found["verified", 0.01]["k"]
    line = found["verified", 0.01]["threat"]
    assert (line["attack"], line["norm"], line["epsilon"], line["certified"]) == (None, "linf", "0.01", True)


def test_around_clean_images_the_budgets_are_those_asked_for(run, mlp):
    asked = ("evaluate", "--data", "digits", "--limit", "60", "--metric", "verified", "--metric", "accuracy")
    none, some, all_, accuracy = rows(run(*asked, "--eps", "0,3/100,1", "--json"))
    assert [row["epsilon"] for row in (none, some, all_)] == [0, 0.03, 1]
    assert accuracy["k"] == none["k"] > some["k"] > all_["k"] == 0
    told = run(*asked, "--eps", "1/100", "--norm", "l2").out
    assert "proved, l2: no attack within eps exists" in told
    assert run(*asked, "--eps", "8").code == 2


def test_the_methods_prove_more_and_more_and_say_which_they_are(run, mlp):
    asked = ("evaluate", "--data", "digits", "--limit", "100", "--metric", "verified", "--eps", "0.04", "--json", "--bounds")
    found = [rows(run(*asked, *how))[0] for how in (("interval",), ("crown",), ("optimized", "--iterations", "8"))]
    assert found[0]["k"] < found[1]["k"] <= found[2]["k"]
    assert [row["threat"]["bounds"] for row in found] == ["interval", "crown", "optimized"]
    assert found[2]["threat"]["iterations"] == 8
    assert "iterations" not in found[1]["threat"]
    assert "(optimized bounds, 8 iterations)" in run(*asked[:-2], "--bounds", "optimized", "--iterations", "8").out


def test_the_balls_of_an_attacked_set_are_around_its_originals(run, mlp):
    run("attack", "--method", "pgd", "--eps", "0.02", "--limit", "50")
    (attacked,) = rows(run("evaluate", "adversarial.h5", "--metric", "verified", "--eps", "0.005", "--json"))
    (clean,) = rows(run("evaluate", "--data", "digits", "--limit", "50", "--metric", "verified", "--eps", "0.005", "--json"))
    assert attacked["k"] == clean["k"]
    assert attacked["n"] == clean["n"]


def test_a_model_that_cannot_be_read_is_refused_in_one_line(run, mlp):
    run("defend", "--method", "squeeze")
    ran = run("evaluate", "--model", "defended.safetensors", "--data", "digits", "--metric", "verified")
    assert ran.code == 3
    assert "defended.safetensors: verified: no bounds for a model behind a defense" in ran.err

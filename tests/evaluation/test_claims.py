"""`--fail-under` fails closed: noise, transfer, static sets and masked gradients support no claim, whatever they left standing."""

import json
from pathlib import Path

import pytest

from advcli.errors import CommandError
from advcli.evaluation.claims import bar, verdict
from advcli.evaluation.decisions import rate
from advcli.evaluation.rows import row
from advcli.evaluation.threat_model import ThreatModel
from advcli.networks import model_file
from advcli.numerics.intervals import exact_interval
from masked_networks import disguised

CLAIM = ("--fail-under", "robust_accuracy=0.05", "--bar", "estimate")


def refused(ran, *words):
    """The answer is no; the reason stands after the table, and in the JSON."""
    assert ran.code == 1, ran.err + ran.out
    assert "accuracy" in ran.out
    reason = " ".join(ran.err.split())
    assert "advcli: robust_accuracy" in reason
    assert all(word in reason for word in words), reason


def test_noise_alone_supports_no_claim(run, model):
    run("attack", "--method", "noise", "--limit", "40", "--eps", "0.1", "-o", "noise.h5")
    refused(run("evaluate", "noise.h5", *CLAIM), "nobody attacked model.safetensors itself", "noise")


def test_transfer_alone_supports_no_claim(run, model):
    run("train", "--arch", "mlp", "--epochs", "4", "--quiet", "-o", "mlp.safetensors")
    run("attack", "--limit", "40", "--eps", "0.1", "-o", "other.h5")
    refused(run("evaluate", "other.h5", "--model", "mlp.safetensors", *CLAIM), "mlp.safetensors itself", "transfer")
    both = run("evaluate", "other.h5", "--model", "model.safetensors", "--model", "mlp.safetensors", *CLAIM)
    refused(both, "mlp.safetensors itself")


def test_a_static_set_supports_no_claim_of_a_defended_model(run, model):
    run("defend", "--method", "squeeze", "--bits", "2")
    run("attack", "--limit", "40", "--eps", "0.1", "-o", "plain.h5")
    refused(run("evaluate", "plain.h5", "--model", "defended.safetensors", *CLAIM), "static")
    run("attack", "--model", "defended.safetensors", "--limit", "40", "--eps", "0.05", "--steps", "5", "-o", "adaptive.h5")
    assert run("evaluate", "adaptive.h5", "--model", "defended.safetensors", *CLAIM).code == 0


@pytest.mark.parametrize("strong", [("--eps", "0.02"), ("--norm", "l2", "--eps", "0.1")])
def test_an_attack_on_the_model_supports_no_claim_at_another_budget_or_in_another_norm(run, model, strong):
    """A pgd of two grey levels says nothing of what noise alone was tried on at a tenth of the range."""
    run("attack", "--limit", "40", *strong, "-o", "weak.h5")
    run("attack", "--method", "noise", "--limit", "40", "--eps", "0.1", "-o", "noise.h5")
    refused(run("evaluate", "weak.h5", "noise.h5", *CLAIM), "nobody attacked model.safetensors itself at linf 0.1", "noise")
    at = "robust_accuracy@0.02=0.05" if "0.02" in strong else "robust_accuracy=0.05"
    run("attack", "--limit", "40", "--eps", "0.1", "--steps", "5", "-o", "strong.h5")
    assert run("evaluate", "weak.h5", "noise.h5", "strong.h5", "--fail-under", at, "--bar", "estimate").code == 0


def test_a_set_of_a_masked_model_supports_no_claim_until_another_attack_does(run, model):
    disguised("cut", model, Path("masked.safetensors"))
    run("attack", "--model", "masked.safetensors", "--method", "fgsm", "--limit", "40", "--eps", "0.05", "-o", "fgsm.h5")
    words = ("evaluate", "--model", "masked.safetensors", *CLAIM)
    refused(run(*words, "fgsm.h5"), "in doubt", "FAIL zero-gradients")
    search = ("--method", "square", "--max-queries", "30", "--eps", "0.05", "--limit", "40")
    run("attack", "--model", "masked.safetensors", *search, "-o", "square.h5")
    assert run(*words, "fgsm.h5", "square.h5").code == 0


def test_the_same_weights_with_another_normalisation_or_order_are_another_model(run, model):
    assert run("export", "model.safetensors").code == 0
    brought = ("import", "model.pt", "--arch", "cnn", "--input", "1x8x8")
    names = ",".join(model_file.read("model.safetensors").classes)
    assert run(*brought, "--classes", names, "-o", "same.safetensors").code == 0
    assert run(*brought, "--classes", names, "--mean", "0.3", "--std", "0.5", "-o", "scaled.safetensors").code == 0
    assert run(*brought, "--classes", ",".join(reversed(names.split(","))), "-o", "turned.safetensors").code == 0
    run("attack", "--limit", "20", "--eps", "0.1", "-o", "set.h5")
    known = {}
    for name in ("same", "scaled", "turned"):
        ran = run("evaluate", "set.h5", "--model", f"{name}.safetensors", "--json")
        known[name] = json.loads(ran.out)["rows"][0]["threat"]["knowledge"]
    assert known == {"same": "white-box", "scaled": "transfer", "turned": "transfer"}
    refused(run("evaluate", "set.h5", "--model", "scaled.safetensors", "--fail-under", "robust_accuracy=0"), "transfer")


def test_the_lower_end_of_the_interval_counts_unless_the_estimate_is_asked_for(run, model):
    run("attack", "--method", "fgsm", "--limit", "40", "--eps", "0.05", "-o", "set.h5")
    row = next(one for one in json.loads(run("evaluate", "set.h5", "--json").out)["rows"] if one["metric"] == "accuracy")
    low = exact_interval(row["k"], row["n"])[0]
    assert low < row["value"] - 0.02
    for given, least, code in (("low", low - 0.01, 0), ("low", low + 0.01, 1), ("estimate", low + 0.01, 0)):
        assert run("evaluate", "set.h5", "--fail-under", f"robust_accuracy={least}", "--bar", given).code == code
    assert run("evaluate", "set.h5", "--fail-under", f"robust_accuracy={low + 0.01}").code == 1, "low is the default"


def test_a_budget_of_choice(run, model):
    run("attack", "--method", "fgsm", "--limit", "40", "--eps", "0.02,0.3", "-o", "set.h5")
    assert run("evaluate", "set.h5", "--fail-under", "robust_accuracy@2/100=0.6").code == 0
    refused(run("evaluate", "set.h5", "--fail-under", "robust_accuracy@0.3=0.6"), "robust_accuracy@0.3")
    assert run("evaluate", "set.h5", "--fail-under", "robust_accuracy=0.6").code == 1
    assert run("evaluate", "set.h5", "--fail-under", "robust_accuracy@0.1=0.6").code == 2


def test_the_json_carries_every_verdict(run, model):
    run("attack", "--method", "fgsm", "--limit", "40", "--eps", "0.3", "-o", "set.h5")
    ran = run(
        "evaluate", "set.h5", "--data", "digits", "--json", "--fail-under", "accuracy=0.5", *CLAIM[:1], "robust_accuracy=0.9"
    )
    assert ran.code == 1
    found = json.loads(ran.out)
    assert found["passed"] is False
    assert [(one["metric"], one["least"], one["of"], one["passed"]) for one in found["verdicts"]] == [
        ("accuracy", 0.5, "low", True),
        ("robust_accuracy", 0.9, "low", False),
    ]
    assert "below 90.0%" in found["verdicts"][1]["reason"]
    assert json.loads(run("evaluate", "set.h5", "--json").out)["passed"] is True


def test_a_figure_that_is_exactly_the_bar_reaches_it(run, model):
    (row,) = json.loads(run("evaluate", "--data", "digits", "--limit", "64", "--json").out)["rows"]
    for bar_, code in ((row["value"], 0), (row["value"] + 1e-9, 1)):
        words = ("--fail-under", f"accuracy={bar_!r}", "--bar", "estimate")
        assert run("evaluate", "--data", "digits", "--limit", "64", *words).code == code


@pytest.mark.parametrize("text", ["accuracy@0.1=0.5", "robust_accuracy@x=0.5", "robust_accuracy=1.1", "robust_accuracy", "top=1"])
def test_a_bar_that_is_none_is_refused(text):
    with pytest.raises(CommandError, match="fail-under"):
        bar(text)


@pytest.mark.parametrize(("arch", "method"), [("tree", "fgsm"), ("knn", "apgd"), ("forest", "universal"), ("tree", "cw")])
def test_an_attack_along_gradients_is_refused_where_there_is_none(run, folder, arch, method):
    run("train", "--arch", arch, *(["--count", "5"] if arch == "forest" else []), "--quiet")
    ran = run("attack", "--method", method, "--limit", "20")
    assert ran.code == 3
    assert "no gradient" in ran.err
    assert all(word in ran.err for word in ("square", "hopskipjump", "substitute"))
    assert not Path("adversarial.h5").exists()


def test_of_a_random_model_the_lowest_draw_counts():
    each = [rate("robust_accuracy", k, 100) for k in (80, 60, 90)]
    drawn = row("m", "a + b", "worst case", "0.1", each, ThreatModel(attack="pgd", norm="linf", epsilon="0.1"))
    assert verdict(bar("robust_accuracy=0.7"), [drawn], [], "estimate").reason == "robust_accuracy of m is 60.0%; below 70.0%"
    assert verdict(bar("robust_accuracy=0.55"), [drawn], [], "low").found == exact_interval(60, 100)[0]

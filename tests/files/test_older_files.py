"""Files of the first version: their headers had fewer keys, and every verb reads them as it reads today's."""

import json
import shutil

import pytest

from forged import forge

HEADER = {"access", "classes", "epsilon", "kind", "made", "norm", "range", "repeated", "split", "tolerance", "victim"}
MADE = {"data", "environment", "method", "options", "parameters", "parents", "program", "verb"}
OPTIONS = {"early_stop", "eps", "label", "limit", "precision", "quantize", "restarts", "rounding", "seed", "static"}
COLUMNS = {"images", "labels", "index", "originals", "original", "target", "epsilon", "success", "prediction",
           "clean_prediction", "queries", "gradients"}  # fmt: skip


def first(header, columns):
    """A set as the first version wrote it: the victim was named by the digest of its weights alone."""
    header = {key: value for key, value in header.items() if key in HEADER}
    header["made"] = {key: value for key, value in header["made"].items() if key in MADE}
    header["made"]["options"] = {key: value for key, value in header["made"]["options"].items() if key in OPTIONS}
    header["victim"] = {**header["victim"], "weights": "5" * 64}
    del header["victim"]["network"]
    return header, {name: values for name, values in columns.items() if name in COLUMNS}


@pytest.fixture
def old(run, model):
    assert run("attack", "--method", "fgsm", "--eps", "0.1,0.2", "--per-class", "2", "-o", "today.h5").code == 0
    return forge("today.h5", first, "old.h5")


def rows(ran):
    assert ran.code == 0, ran.err
    return json.loads(ran.out)["rows"]


def test_every_verb_reads_a_set_of_the_first_version(run, old):
    for words in (["show"], ["show", "--json"], ["verify"], ["stats"], ["evaluate"], ["defend"]):
        ran = run(*words, old)
        assert ran.code == 0, (words, ran.err)
    assert run("verify", "old.filtered.h5").code == 0
    assert run("export", old, "-o", "old.npz").code == 0
    assert run("attack", "--method", "fgsm", "--data", old, "-o", "next.h5").code == 0


def test_what_it_says_of_its_model_counts_where_that_is_the_very_file(run, old):
    mine, today = (rows(run("evaluate", name, "--json")) for name in (old, "today.h5"))
    assert [(row["k"], row["n"], row["threat"]["knowledge"]) for row in mine] == [
        (row["k"], row["n"], row["threat"]["knowledge"]) for row in today
    ]
    assert {row["threat"]["knowledge"] for row in mine} == {"white-box"}


def test_of_any_other_model_it_claims_no_knowledge(run, old):
    """The same network under a defense is static to a set of today; an older one cannot tell it from another network."""
    assert run("defend", "--bits", "2").code == 0
    knowledge = [
        {row["threat"]["knowledge"] for row in rows(run("evaluate", name, "--model", "defended.safetensors", "--json"))}
        for name in (old, "today.h5")
    ]
    assert knowledge == [{"transfer"}, {"static"}]


def test_a_lie_about_its_model_is_found_as_in_a_set_of_today(run, old):
    def change(header, columns):
        header["victim"]["defenses"] = [{"name": "jpeg", "parameters": {}}]

    shutil.copy(old, "kept.h5")
    ran = run("verify", forge("kept.h5", change))
    assert ran.code == 1
    assert "victim.defenses" in ran.out


def test_a_victim_without_network_and_weights_is_refused(run, old):
    def change(header, columns):
        del header["victim"]["weights"]

    ran = run("show", forge(old, change))
    assert ran.code == 3
    assert "victim.network" in ran.err


def test_a_claim_that_only_a_set_without_checks_supports_passes_with_a_note(run, old):
    """Its attack could not say whether the gradient was masked: the figure stands, and the doubt beside it."""
    claim = ("--fail-under", "robust_accuracy=0", "--json")
    ran = run("evaluate", old, *claim)
    assert ran.code == 0, ran.err
    (verdict,) = json.loads(ran.out)["verdicts"]
    assert verdict["note"].startswith("robust_accuracy: old.h5: no trust checks")
    assert "no trust checks" in " ".join(ran.err.split())
    assert all("no trust checks" in " ".join(row["threat"]["notes"]) for row in rows(ran))
    for sets in (["today.h5"], ["today.h5", old]):
        ran = run("evaluate", *sets, *claim)
        assert ran.code == 0, ran.err
        assert json.loads(ran.out)["verdicts"][0]["note"] == "", "a set with checks supports it"


def first_images(header, columns):
    """The set of a limit when that took the first images of the split, whatever their classes."""
    header["made"]["data"]["limit"] = header["made"]["options"]["limit"] = 12
    return header, {name: values[:12] for name, values in columns.items()}


def test_a_limit_of_the_first_version_took_the_first_images(run, model):
    assert run("attack", "--method", "fgsm", "--eps", "0.1", "-o", "whole.h5").code == 0
    forge("whole.h5", first_images, "new.h5")
    forge("new.h5", first, "old.h5")
    ran = run("verify", "old.h5", "--json")
    assert ran.code == 0, ran.out
    assert any("of 12 images of digits:test" in one for one in json.loads(ran.out)["files"][0]["checked"])
    assert run("verify", "new.h5").code == 1, "a set of today takes every class in proportion to its size"
    forge("old.h5", lambda header, columns: (header, {**columns, "index": columns["index"] + 1}), "moved.h5")
    assert run("verify", "moved.h5").code == 1

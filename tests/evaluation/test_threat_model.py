"""The threat model that stands beside a figure: what the attacker knew, and every note, word by word."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from advcli.catalog import discovery
from advcli.cli import report
from advcli.evaluation import cells
from advcli.evaluation.decisions import rate
from advcli.evaluation.rows import row
from advcli.evaluation.threat_model import UNCHECKED, ThreatModel, threat_model

STATIC = "static: made without the defense in view, no robustness claim"
STOPPED = "stopped at first success: weak for transfer"
FILTERED = "static: filtered after the attack, no robustness claim"
SQUEEZE, JPEG = {"name": "squeeze", "parameters": {"bits": 1}}, {"name": "jpeg", "parameters": {}}


def model(*defenses, network="w", digest="d", members=()):
    found = {"path": Path("m.safetensors"), "network": network, "digest": digest, "metadata": {"members": [*members]}}
    return SimpleNamespace(**found, defenses=list(defenses))


def header(*defenses, network="w", static=False, stop=True, repeated=True, data="digits", access="gradient", **more):
    victim = {"digest": "d", "network": network, "defenses": list(defenses), "static": static}
    options = {"early_stop": stop, "restarts": 1, "label": "true", "quantize": False, "seed": 0}
    made = {"method": "pgd", "options": options, "parameters": {"steps": 10}, "data": {"name": data}}
    about = {"kind": "adversarial", "norm": "linf", "access": access, "repeated": repeated, "checks": [], **more}
    return {**about, "victim": victim, "made": made}


def older(*defenses, **more):
    """A header of a version that had no trust checks."""
    return {key: value for key, value in header(*defenses, **more).items() if key != "checks"}


CASES = {
    "white-box": (header(), model(), "white-box", ()),
    "adaptive": (header(SQUEEZE), model(SQUEEZE), "adaptive", ()),
    "static by its own word": (header(SQUEEZE, static=True), model(SQUEEZE), "static", (STATIC, STOPPED)),
    "static for a defense put on later": (header(), model(SQUEEZE), "static", (STATIC, STOPPED)),
    "static at full strength": (header(stop=False), model(SQUEEZE), "static", (STATIC,)),
    "static in one step": (header(repeated=False), model(SQUEEZE), "static", (STATIC,)),
    "another network": (header(network="v"), model(), "transfer", (STOPPED,)),
    "another network at full strength": (header(network="v", stop=False), model(), "transfer", ()),
    "another defense": (header(SQUEEZE), model(JPEG), "transfer", (STOPPED,)),
    "a defense less": (header(SQUEEZE), model(), "transfer", (STOPPED,)),
    "the same members": (header(SQUEEZE), model(SQUEEZE, members=["a"]), "adaptive", ()),
    "other members": (header(SQUEEZE), model(SQUEEZE, members=["b"], digest="e"), "transfer", (STOPPED,)),
    "unchecked": (older(), model(), "white-box", (UNCHECKED,)),
    "unchecked and adaptive": (older(SQUEEZE), model(SQUEEZE), "adaptive", (UNCHECKED,)),
    "unchecked and static": (older(), model(SQUEEZE), "static", (STATIC, STOPPED)),
    "unchecked noise": (older(access="none"), model(), "none", ()),
    "nothing seen": (header(access="none"), model(SQUEEZE), "none", ()),
    "from a file": (header(data="file"), model(), "white-box", ("starts from a file: distances are to its images",)),
    "no 8-bit image": (header(unrepresentable=3), model(), "white-box",
                         ("3 rows have no 8-bit image in their budget and hold the original",)),
    "everything": (header(data="file", unrepresentable=2), model(SQUEEZE), "static",
                   ("starts from a file: distances are to its images",
                    "2 rows have no 8-bit image in their budget and hold the original", STATIC, STOPPED)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_knowledge_and_notes_word_by_word(case):
    of, against, knowledge, notes = CASES[case]
    line = threat_model(of, against, "0.1", "float")
    assert (line.knowledge, line.notes) == (knowledge, notes)


def test_what_is_filtered_after_the_attack_makes_no_claim():
    made = {"method": "gaussian", "parameters": {}}
    line = threat_model({"kind": "filtered", "of": header(), "made": made}, model(), "0.1", "float")
    assert (line.knowledge, line.filtered, line.notes) == ("static", "gaussian", (FILTERED,))
    clean = threat_model({"kind": "filtered", "of": {"kind": "clean"}, "made": made}, model(), None, "float")
    assert (clean.attack, clean.knowledge, clean.filtered, clean.notes) == (None, "none", "gaussian", ())


def test_a_limit_of_queries_stands_where_it_ends_the_search():
    of = header(access="scores")
    assert "10 steps" in cells.threat(threat_model(of, model(), "0.1", "float"))
    of["made"]["options"]["max_queries"] = 500
    line = threat_model(of, model(), "0.1", "float")
    assert line.document()["queries"] == 500
    told = cells.threat(line)
    assert "at most 500 queries" in told
    assert "steps" not in told


def test_a_substitute_is_seen_through_by_its_own_attack():
    of = header(access="labels", source={"digest": "s", "network": "pupil", "defenses": [], "static": False})
    of["made"]["parameters"] = {"attack": "pgd:steps=5"}
    own, victim = (threat_model(of, model(network=one), "0.1", "float") for one in ("pupil", "w"))
    assert (own.knowledge, own.access) == ("white-box", "gradient")
    assert (victim.knowledge, victim.access) == ("transfer", "labels")
    assert "decisions only" not in cells.threat(own)
    assert "transfer, decisions only" in cells.threat(victim)


def test_filters_and_defenses_stand_with_what_is_not_their_default():
    narrow, wide = ({"kind": "filtered", "of": header(), "made": {"method": "gaussian", "parameters": {"sigma": sigma}}}
                    for sigma in (0.5, 2.0))  # fmt: skip
    bits = {"name": "squeeze", "parameters": {"bits": 2, "median": None}}
    own = {"name": "mine:blur", "parameters": {"width": 3}}
    told = [cells.threat(threat_model(of, model(bits, own), "0.1", "float")) for of in (narrow, wide)]
    assert told[0] != told[1]
    assert "filtered by gaussian:sigma=0.5, behind squeeze:bits=2 + mine:blur:width=3" in told[0]
    clean = threat_model({"kind": "clean"}, model(bits), None, "float")
    assert cells.threat(clean) == "clean, behind squeeze:bits=2"
    assert clean.document()["defenses"] == ["squeeze:bits=2"]
    assert "defenses" not in threat_model({"kind": "clean"}, model(), None, "float").document()
    usual = {option.name: option.default for option in discovery.spec("defense", "jpeg").options}
    assert (
        cells.threat(threat_model({"kind": "clean"}, model({"name": "jpeg", "parameters": usual}), None, "float"))
        == "clean, behind jpeg"
    )


def test_a_wide_table_says_where_a_metric_counts_other_images():
    clean = ThreatModel(pixels="float")
    figures = (rate("accuracy", 9, 10), rate("success", 7, 8), rate("top-1", 9, 10))
    head, line = report.report([row("m", "s", "clean", None, [one], clean) for one in figures], wide=True).splitlines()
    assert head.split()[3:6] == ["accuracy", "success", "top-1"]
    assert line.count("n=") == 1
    assert "87.5% 47.3-99.7 n=8" in line

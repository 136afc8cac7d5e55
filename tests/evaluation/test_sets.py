"""What `evaluate` makes of the files that it is given."""

import json
from pathlib import Path


def test_perturbations_beside_other_sets_are_left_out_with_a_note(run, model):
    run("attack", "--method", "fgsm", "--limit", "20", "--eps", "0.1")
    run("attack", "--method", "universal", "--limit", "20", "--eps", "0.1", "-o", "u.h5")
    names = sorted(str(one) for one in Path().glob("*.h5"))
    assert names == ["adversarial.h5", "perturbations.h5", "u.h5", "u.perturbations.h5", "u.universal.h5"]
    ran = run("evaluate", *names, "--json")
    assert ran.code == 0, ran.err
    assert {row["set"] for row in json.loads(ran.out)["rows"] if row["kind"] != "worst case"} == {"adversarial.h5", "u.h5"}
    for name in ("perturbations.h5", "u.perturbations.h5", "u.universal.h5"):
        assert ran.err.splitlines().count(f"{name}: holds perturbations, not images: left out") == 1
    ran = run("evaluate", "perturbations.h5", "--data", "digits", "--json")
    assert ran.code == 0
    assert "perturbations.h5: holds perturbations, not images: left out" in ran.err
    ran = run("evaluate", "perturbations.h5", "u.universal.h5")
    assert ran.code == 3
    assert "perturbations.h5: holds perturbations; evaluate the set that they were made with" in ran.err

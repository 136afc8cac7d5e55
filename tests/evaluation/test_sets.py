"""What `evaluate` makes of the files that it is given."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from advcli.evaluation import sets
from advcli.files.imageset_reader import ImageSet


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


def test_distances_are_computed_of_a_few_rows_at_a_time(run, model, monkeypatch):
    """All rows at once would hold all pictures of a set in memory."""
    run("attack", "--method", "fgsm", "--limit", "10", "--eps", "0.1")
    asked = []
    with ImageSet("adversarial.h5") as file:
        subject = sets.from_file(file, "adversarial.h5")
        plain = subject.distances(("linf", "l2"))

        def pictures(start, stop):
            asked.append((start, stop))
            return subject.pictures(start, stop)

        monkeypatch.setattr(sets, "STEP", 4)
        found = replace(subject, pictures=pictures).distances(("linf", "l2"))
    assert asked == [(0, 4), (4, 8), (8, 10)]
    np.testing.assert_array_equal(found, plain)

"""Every image counts once: repeated or missing rows are refused, and several rows of one image are no independent trials."""

import json

import numpy as np
import pytest

from advcli.datasets.digits import digits
from advcli.evaluation.decisions import Decisions, Verdicts
from advcli.files.imageset_reader import ImageSet
from advcli.numerics.intervals import exact_interval
from forged import forge


def rows_again(kept, times):
    """Keep some rows and repeat them."""

    def change(header, found):
        places = np.tile(np.flatnonzero(kept(found)), times)
        return header, {key: value if key == "originals" else value[places] for key, value in found.items()}

    return change


def unbroken(found):
    return found["prediction"] == found["labels"]


def new_originals(header, found):
    """Every row with an original of its own, of the same image."""
    places = np.tile(np.arange(len(found["images"])), 2)
    found = {key: value[places] for key, value in found.items() if key != "originals"} | {"originals": found["originals"]}
    found["originals"] = found["originals"][found["original"]]
    return header, {**found, "original": np.arange(len(places))}


def new_places(header, found):
    """Every image twice, under a place of its own."""
    twice = {key: np.concatenate([value, value]) for key, value in found.items()}
    count = len(found["images"])
    twice["index"][count:] += 300
    twice["original"][count:] += len(found["originals"])
    return header, twice


def another_index(header, found):
    found["index"][3] += 1


def another_label(header, found):
    found["labels"][3] = (found["labels"][3] + 1) % 10


def fewer(header, found):
    keep = np.ones(len(found["images"]), bool)
    keep[3] = False
    return header, {key: value if key == "originals" else value[keep] for key, value in found.items()}


def originals_without_rows(header, found):
    keep = found["original"] > 1
    return header, {key: value if key == "originals" else value[keep] for key, value in found.items()}


CASES = {
    "unbroken rows twenty times": (rows_again(unbroken, 20), "repeats row"),
    "new originals": (new_originals, "under another original"),
    "new places": (new_places, "original 12 has the same pixels as original 0; 12 of 24 images are repeated"),
    "another index": (another_index, "row 3 gives original 1 the /index"),
    "another label": (another_label, "row 3 gives original 1 the /labels"),
    "a row left out": (fewer, "original 1 has 1 rows, expected 2 (2 budgets, 1 targets"),
    "images left out": (originals_without_rows, "original 0 has no row (2 of 12 originals have none)"),
}


@pytest.fixture
def sweep(run, model):
    assert run("attack", "--method", "fgsm", "--eps", "0.02,0.1", "--limit", "12").code == 0
    return "adversarial.h5"


@pytest.mark.parametrize("case", CASES)
def test_repeated_and_missing_rows_are_refused_and_found(case, run, sweep):
    change, said = CASES[case]
    forged = forge(sweep, change)
    ran = run("evaluate", forged)
    assert ran.code == 3, ran.out
    assert said in ran.err
    found = run("verify", forged)
    assert found.code == 1
    assert said in found.out
    assert run("evaluate", sweep).code == 0
    assert run("verify", sweep).code == 0


def test_the_first_repeated_row_is_named(run, sweep):
    forged = forge(sweep, rows_again(lambda found: found["original"] < 5, 3))
    assert "row 10 repeats row 0 (same original, target and budget)" in run("evaluate", forged).err


def test_a_filtered_set_is_looked_at_as_the_set_that_it_was_made_of(run, sweep):
    run("defend", sweep, "--method", "gaussian", "-o", "filtered.h5")
    forged = forge("filtered.h5", rows_again(unbroken, 3))
    assert "repeats row" in run("evaluate", forged).err
    assert run("evaluate", "filtered.h5").code == 0


def test_plain_images_count_once_each(run, model):
    x, labels = digits("test").batch(0, 8)
    index = np.array([0, 1, 2, 3, 4, 5, 2, 7])
    np.savez("twice.npz", images=x.numpy(), labels=labels.numpy(), index=index, classes=np.array(list("0123456789")))
    ran = run("evaluate", "--data", "twice.npz")
    assert ran.code == 3
    assert "image 6 repeats image 2 (index 2)" in ran.err
    assert run("import", "twice.npz", "-o", "twice.h5").code == 0
    ran = run("evaluate", "twice.h5")
    assert ran.code == 3
    assert "row 6 has the same image as row 2 (index 2)" in ran.err
    assert run("verify", "twice.h5").code == 1


def test_an_adversarial_set_is_no_clean_data(run, sweep):
    ran = run("evaluate", "--data", sweep)
    assert ran.code == 3
    assert "without --data" in ran.err


def test_versions_of_an_image_are_one_image(run, sweep):
    """What was attacked again holds several originals of one image: they count once, and stand together or fall."""
    assert run("attack", "--method", "fgsm", "--data", sweep, "--eps", "0.05", "-o", "again.h5").code == 0
    (accuracy,) = (
        row
        for row in json.loads(run("evaluate", "again.h5", "--metric", "accuracy", "--json").out)["rows"]
        if row["metric"] == "accuracy"
    )
    with ImageSet("again.h5") as opened:
        right = opened.column("prediction") == opened.column("labels")
        index = opened.column("index")
    assert len(right) == 24
    assert (accuracy["k"], accuracy["n"]) == (sum(right[index == one].all() for one in set(index)), 12)
    assert run("verify", "again.h5").code == 0


def test_accuracy_and_success_over_all_targets_count_images(run, model):
    run("attack", "--method", "fgsm", "--target", "other", "--eps", "0.2", "--limit", "20")
    found = {row["metric"]: row for row in json.loads(run("evaluate", "adversarial.h5", "--json").out)["rows"]}
    with ImageSet("adversarial.h5") as opened:
        said, label, target, clean = (opened.column(name) for name in ("prediction", "labels", "target", "clean_prediction"))
    right = (said == label).reshape(20, 9)
    start = (clean == label).reshape(20, 9)[:, 0]
    won = (said == target).reshape(20, 9)
    accuracy, success, some = found["accuracy"], found["success"], found["success-any"]
    assert (accuracy["k"], accuracy["n"]) == (right.all(1).sum(), 20)
    assert accuracy["value"] < right.mean(), "else nothing was won by choosing the target"
    assert (success["hits"], success["rows"], success["n"]) == (won[start].sum(), 9 * start.sum(), start.sum())
    assert success["value"] == success["hits"] / success["rows"]
    assert success["k"] is None
    assert (some["k"], some["n"]) == (won[start].any(1).sum(), start.sum())
    low, high = exact_interval(success["value"] * success["n"], success["n"])
    assert (success["low"], success["high"]) == pytest.approx((low, high))
    assert f"{success['hits']}/{success['rows']} ({success['n']} images)" in run("evaluate", "adversarial.h5").out


def verdicts(labels, predictions, image, confidence=None):
    said = Decisions(
        predictions, (predictions != labels).astype(int), np.full(len(labels), 0.5) if confidence is None else confidence
    )
    return Verdicts(classes=("0", "1"), labels=labels, said=said, image=image)


def test_the_interval_of_rows_is_that_of_their_images():
    image = np.repeat(np.arange(10), 5)
    hits = image < 3
    given = verdicts(np.zeros(50, int), np.where(hits, 0, 1), image)
    one = given.share("x", hits)
    assert (one.value, one.n, one.k, one.about) == (0.3, 10, None, {"rows": 50, "hits": 15})
    assert (one.low, one.high) == pytest.approx(exact_interval(3, 10))
    among = given.share("x", hits, image < 6)
    assert (among.value, among.n, among.about["rows"]) == (0.5, 6, 30)
    uneven = given.share("x", hits, (np.arange(50) % 5 == 0) | (image == 0))  # one image has five rows, nine have one
    assert (uneven.value, uneven.n) == (7 / 14, 10)
    effective = 14**2 / (25 + 9)
    assert (uneven.low, uneven.high) == pytest.approx(exact_interval(effective / 2, effective))
    single = given.share("x", hits, np.arange(50) % 5 == 0)
    assert (single.k, single.n, single.about) == (3, 10, {})


def test_the_widest_case_is_covered():
    """Images whose rows all agree: the interval over rows holds the true share as often as it says."""
    rng, held = np.random.default_rng(0), 0
    for _ in range(400):
        hits = np.repeat(rng.random(30) < 0.2, 9)
        one = verdicts(np.zeros(270, int), np.zeros(270, int), np.repeat(np.arange(30), 9)).share("x", hits)
        held += one.low <= 0.2 <= one.high
    assert held >= 0.95 * 400

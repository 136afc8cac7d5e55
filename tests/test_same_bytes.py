"""The comparison of two records: what differs is named, and equal ones say nothing."""

from copy import deepcopy

import pytest

from same_bytes import compare

RECORD = {
    "attack --method pgd": {
        "exit": 0,
        "stdout": "adversarial.h5\n",
        "stderr": "attack: pgd\n",
        "files": {
            "adversarial.h5": {"sha256": "a", "parts": {"images": "1", "labels": "2"}, "show": {"header": {"made": {"seed": 0}}}},
            "stats/norms.csv": {"sha256": "b"},
        },
        "gone": [],
    }
}


def changed(*path, value):
    found = deepcopy(RECORD)
    place = found["attack --method pgd"]
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return found


def test_equal_records_say_nothing():
    assert compare(RECORD, deepcopy(RECORD)) == []


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("exit",), 2, "exit: 0 -> 2"),
        (("files", "stats/norms.csv", "sha256"), "c", "stats/norms.csv: other bytes"),
        (("stdout",), "other.h5\n", "+ other.h5"),
        (("gone",), ["model.safetensors"], "gone"),
    ],
)
def test_what_differs_is_named(path, value, words):
    (found,) = compare(RECORD, changed(*path, value=value))
    assert found.startswith("attack --method pgd")
    assert words in found


def test_a_changed_key_of_the_header_is_told_from_changed_images():
    after = changed("files", "adversarial.h5", "sha256", value="z")
    after["attack --method pgd"]["files"]["adversarial.h5"]["show"]["header"]["made"]["seed"] = 1
    (found,) = compare(RECORD, after)
    assert "only the header" in found
    assert "header.made.seed: 0 -> 1" in found
    after["attack --method pgd"]["files"]["adversarial.h5"]["parts"]["images"] = "9"
    assert "adversarial.h5: other images" in compare(RECORD, after)[0]


def test_a_command_line_of_one_record_alone_is_named():
    assert compare(RECORD, {}) == ["attack --method pgd\n  only in the first"]

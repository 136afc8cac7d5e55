"""The comparison of two records: what differs is named, and equal ones say nothing."""

from copy import deepcopy

import pytest

from command_lines import cases
from same_bytes import compare, steady

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


METHODS = {
    "attacks": [
        {
            "name": "new",
            "kind": "budget",
            "options": [
                {"name": "steps", "type": "int", "default": 100, "choices": []},
                {"name": "norm", "type": "str", "default": "linf", "choices": ["linf", "l2", "l1"]},
                {"name": "lambda_", "type": "float", "default": 0.5, "choices": []},
                {"name": "rescale", "type": "bool", "default": True, "choices": []},
            ],
        }
    ],
    **{kind: [] for kind in ("defenses", "recipes", "architectures", "metrics")},
}


def test_a_new_method_joins_with_every_choice_and_another_value_of_every_option():
    found = [one for one in cases(METHODS) if one.startswith("attack --method new --limit 16 --steps 5")]
    for more in ("--norm l2", "--norm l1", "--lambda 0.25", "--no-rescale", "--target 3"):
        assert f"attack --method new --limit 16 --steps 5 {more}" in found
    assert not [one for one in found if "--norm linf" in one or one.count("--steps") > 1]
    assert "attack --method new --help" in cases(METHODS)


def test_every_case_is_a_line_and_none_is_there_twice():
    found = list(cases(METHODS))
    assert all(one.strip() and one == one.strip() and " | " not in one for one in found)
    assert len({*found}) == len(found)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"epoch": 1, "seconds": 0.2, "val": {"k": 1, "seconds": 3}}', '{"epoch": 1, "val": {"k": 1}}'),
        ("16 rows, 14 kB, about 0.024 seconds", "16 rows, 14 kB, about N seconds"),
        ('{"epoch":1}', '{"epoch":1}'),
        ("accuracy 87.4% of 500", "accuracy 87.4% of 500"),
    ],
)
def test_seconds_are_left_out_and_nothing_else(before, after):
    assert steady(before) == after

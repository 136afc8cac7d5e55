"""What a header must say, key by key: the last value that is believed, and the first that is refused."""

import math

import h5py
import numpy as np
import pytest

from advcli.errors import InputError
from advcli.files import header, header_schema, imageset_schema

FOUND = {"threshold": 0.5, "unit": 0.1, "n": 60, "rejected": 2}


def detector(**found):
    return [{"name": "squeeze-detector", "parameters": {}, "found": {**FOUND, **found}}]


def test_the_threshold_of_a_detector_is_believed():
    header_schema.defenses(detector(), "x")
    header_schema.defenses(detector(threshold=-1e300, unit=5e-324), "x")


@pytest.mark.parametrize(
    "found",
    [{"unit": 0.0}, {"unit": -0.1}, {"unit": math.inf}, {"unit": math.nan}, {"threshold": math.nan}, {"threshold": -math.inf},
     {"threshold": 1}, {"n": 60.0}, {"rejected": None}],
    ids=str,
)  # fmt: skip
def test_the_unit_of_a_detector_is_positive_and_all_of_it_finite(found):
    with pytest.raises(InputError, match=r"no valid defenses\.found"):
        header_schema.defenses(detector(**found), "x")


def test_a_stack_has_an_end():
    one = {"name": "jpeg", "parameters": {}}
    header_schema.defenses([one] * 64, "x")
    with pytest.raises(InputError, match="at most 64 defenses"):
        header_schema.defenses([one] * 65, "x")


@pytest.mark.parametrize(
    ("found", "wrong"),
    [
        (["a", "b"], ""),
        (["x" * 255], ""),
        (["x" * 256], "class name"),
        (["é" * 127 + "x"], ""),
        (["é" * 128], "class name"),
        ([], "list of classes"),
        ("ab", "list of classes"),
        (["a", 1], "list of classes"),
        (["a", "a"], "list of classes (one is named twice)"),
        (["a", ""], "class name ''"),
        (["a", "."], "class name '.'"),
        (["a", ".."], "class name '..'"),
        (["a", "..."], ""),
        (["a/b"], "class name 'a/b'"),
        (["a\\b"], "class name"),
        (["a\nb"], "class name"),
    ],
    ids=str,
)
def test_class_names_could_each_be_a_folders(found, wrong):
    said = header_schema.wrong_classes(found)
    assert said.startswith(wrong)
    assert bool(said) == bool(wrong)


def test_there_are_no_more_than_a_hundred_thousand_classes():
    names = [str(number) for number in range(100_001)]
    assert header_schema.wrong_classes(names[:-1]) == ""
    assert "more than 100000" in header_schema.wrong_classes(names)


def model(**changed):
    made = {
        "verb": "train",
        "method": "standard",
        "parameters": {},
        "options": {},
        "parents": [],
        "environment": {},
        "data": None,
    }
    metadata = {"format": "advcli/model/1", "arch": {"name": "mlp", "parameters": {}}, "input": [1, 8, 8], "classes": ["a", "b"],
              "normalize": {"mean": [0.0], "std": [1.0]}, "defenses": [], "data": None, "made": made}  # fmt: skip
    return {**metadata, **changed}


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"input": [3, 1, 65536], "normalize": {"mean": [0, 0, 0], "std": [1, 1, 1]}},
        {"normalize": {"mean": [-999_999.0], "std": [1.1e-12]}},
        {"data": {"name": "digits"}},
        {"members": [model()]},
    ],
    ids=str,
)
def test_metadata_is_believed(changed):
    header_schema.model(model(**changed), "x")


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"format": "advcli/model/2"}, "format"),
        ({"arch": {"name": "mlp"}}, "arch"),
        ({"input": [1, 8]}, "input"),
        ({"input": [1, 8, 0]}, "input"),
        ({"input": [1, 8, 65537]}, "input"),
        ({"input": [1, 8, 8.0]}, "input"),
        ({"input": [3, 8, 8]}, "normalize"),
        ({"normalize": {"mean": [0.0, 0.0], "std": [1.0]}}, "normalize"),
        ({"normalize": {"mean": [0.0], "std": [1e-12]}}, "normalize"),
        ({"normalize": {"mean": [0.0], "std": [1e6]}}, "normalize"),
        ({"normalize": {"mean": [-1e6], "std": [1.0]}}, "normalize"),
        ({"normalize": {"mean": [True], "std": [1.0]}}, "normalize"),
        ({"normalize": {"mean": [0.0], "std": [math.nan]}}, "normalize"),
        ({"normalize": {"mean": 0.0, "std": [1.0]}}, "normalize"),
        ({"data": "digits"}, "data"),
        ({"data": {"name": 1}}, "data"),
        ({"members": {}}, "members"),
        ({"members": [1]}, "members"),
        ({"members": [model(members=[])]}, "members"),
        ({"members": [model(input=[1, 9, 9])]}, "members"),
        ({"members": [model(classes=["b", "a"])]}, "members"),
        ({"members": [model()] * 1000}, "members"),
    ],
    ids=lambda one: one if isinstance(one, str) else str(one)[:60],
)
def test_metadata_that_is_odd_is_refused_by_the_name_of_the_key(changed, what):
    with pytest.raises(InputError, match=f"no valid {what}"):
        header_schema.model(model(**changed), "x")


MADE = model()["made"]
DIGEST = "0" * 64


@pytest.mark.parametrize(
    "changed",
    [
        {"method": None},
        {"method": "m" * 255},
        {"parents": [{"role": "model", "digest": DIGEST}]},
        {"data": {"name": "digits", "split": "test"}},
        {"data": {"name": "file", "split": "test", "digest": DIGEST}},
        {"fit": {"name": "digits", "split": "train"}},
        {"options": {"arch": "mlp"}},
    ],
    ids=str,
)
def test_how_a_file_was_made_is_believed(changed):
    header_schema.provenance({**MADE, **changed}, "x")


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"verb": "show"}, "made.verb"),
        ({"method": 0}, "made.method"),
        ({"method": "m" * 256}, "made.method"),
        ({"method": "a\nb"}, "made.method"),
        ({"options": {"a b": 1}}, "option names"),
        ({"parameters": {"--x": 1}}, "option names"),
        ({"parents": [{"role": "model"}]}, "made.parents"),
        ({"parents": [{"role": "friend", "digest": DIGEST}]}, "made.parents"),
        ({"parents": [{"role": "model", "digest": DIGEST + "0"}]}, "made.parents"),
        ({"parents": [{"role": "model", "digest": "g" * 64}]}, "made.parents"),
        ({"data": {"name": "digits"}}, "made.data"),
        ({"data": {"name": "file", "split": "test"}}, "made.data"),
        ({"data": {"name": "folder", "split": "test"}}, "made.data"),
        ({"data": 0}, "made.data"),
        ({"fit": None}, "made.fit"),
        ({"options": {"arch": 1}}, "made.options.arch"),
        ({"parameters": {"arch": 1}}, "made.options.arch"),
    ],
    ids=str,
)
def test_how_a_file_was_made_is_refused_by_the_name_of_the_key(changed, what):
    with pytest.raises(InputError, match=f"no valid {what}"):
        header_schema.provenance({**MADE, **changed}, "x")


@pytest.mark.parametrize("found", [[], ["0.1"], ["8/255", "0.1"], ["0." + "1" * 253]], ids=lambda one: str(one)[:30])
def test_budgets_are_believed(found):
    header_schema.budgets(found, "x")


@pytest.mark.parametrize(
    "found",
    [["0.1", "0.10"], "0.1", [0.1], ["x"], ["1/0"], ["0." + "1" * 254], [None], ["9" * 60]],
    ids=lambda one: str(one)[:30],
)
def test_budgets_that_are_none_or_equal_are_refused(found):
    with pytest.raises(InputError, match="no valid epsilon"):
        header_schema.budgets(found, "x")


@pytest.mark.parametrize(
    ("shape", "kind", "hint"),
    [
        ((2, 1, 2, 2), "<f8", "; store float32"),
        ((2, 2, 2), "<f4", "(N, C, H, W)"),
        ((2, 1, 2, 2), "<i4", "set\n"),
        ((4, 4), "<f4", "set\n"),
    ],
)
def test_pictures_in_other_tools_form_are_refused_with_a_way_on(shape, kind, hint, tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        data = file.create_dataset("images", data=np.zeros(shape, kind))
        with pytest.raises(InputError) as refused:
            imageset_schema._dataset("images", data, tmp_path, 4096)
    assert hint in f"{refused.value}\n"


@pytest.mark.parametrize("text", ['{"a": "\\ud800"}', '{"\\udfff": 1}'])
def test_half_a_character_is_no_text(text):
    """It cannot be printed or written as UTF-8."""
    with pytest.raises(InputError, match="broken text"):
        header.parse(text.encode(), "x")
    assert header.parse(b'{"a": "\\ud83d\\ude00"}', "x") == {"a": "\N{GRINNING FACE}"}

"""One number for each channel, as --mean and --std spell them."""

import pytest

from advcli.errors import CommandError
from advcli.training.channels import numbers


@pytest.mark.parametrize(
    ("text", "count", "found"),
    [
        ("0.5", 3, [0.5, 0.5, 0.5]),
        ("0.5", 1, [0.5]),
        ("0.1,1/5,0.3", 3, [0.1, 0.2, 0.3]),
        ("2", 1, [2.0]),
        (None, 2, [0.25, 0.25]),
    ],
)
def test_one_number_stands_for_every_channel(text, count, found):
    assert numbers(text, count, 0.25, "mean") == pytest.approx(found)


def test_what_is_known_already_stays():
    assert numbers(None, 3, [0.1, 0.2, 0.3], "mean") == [0.1, 0.2, 0.3]


@pytest.mark.parametrize(
    ("text", "name", "complaint"),
    [
        ("0.1,0.2", "mean", "expected 3 positive numbers"),
        ("", "mean", "--mean"),
        ("x", "std", "--std"),
        ("0", "std", "expected 3 positive numbers"),
        ("1,-1,1", "std", "expected 3 positive numbers"),
        ("1e-12", "std", "expected 3 positive numbers"),
        ("1000000", "std", "below 1,000,000"),
        ("-1000000", "mean", "below 1,000,000"),
    ],
)
def test_what_is_no_list_of_channels_is_refused(text, name, complaint):
    with pytest.raises(CommandError, match=complaint):
        numbers(text, 3, 0.0, name)


@pytest.mark.parametrize(
    ("text", "name", "advice"),
    [
        ("123.675,116.28,103.53", "mean", "divided by 255: --mean 0.485,0.456,0.406"),
        ("58.395,57.12,57.375", "std", "divided by 255: --std 0.229,0.224,0.225"),
        ("-3", "mean", "expected -1 to 2"),
        ("999999", "mean", "expected -1 to 2"),
        ("999999", "std", "expected 1e-06 to 10"),
        ("1e-7", "std", "expected 1e-06 to 10"),
        ("nan", "mean", "not a number"),
        ("inf", "std", "not a number"),
    ],
)
def test_what_no_pixels_can_have_is_refused_with_the_remedy(text, name, advice):
    with pytest.raises(CommandError, match=f"--{name}.*{advice}"):
        numbers(text, 3, 0.0, name)


def test_deviations_of_pixels_in_bytes_and_shorts_are_possible():
    assert numbers("1/255", 1, 1.0, "std") == [1 / 255]
    assert numbers("1/65535", 1, 1.0, "std") == [1 / 65535]


def test_a_mean_may_be_negative_or_nothing():
    assert numbers("-1,0,1", 3, 0.0, "mean") == [-1, 0, 1]

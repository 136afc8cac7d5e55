"""Chance and permuted classes, from labels and predictions alone."""

import numpy as np
import pytest
from scipy.stats import binom

from advcli.evaluation.clean_accuracy import CleanAccuracy, permutation
from advcli.numerics.chance import is_chance

NAMES = ("a", "b", "c", "d")
LABELS = np.arange(100) % 4


def answers(labels, share, moved=None, seed=0):
    """Predictions with this share right, up to a permutation; the others are spread over all classes."""
    draw = np.random.default_rng(seed)
    table = np.arange(4) if moved is None else np.array(moved)
    found = table[labels].copy()
    lost = draw.random(len(labels)) > share
    found[lost] = draw.integers(0, 4, int(lost.sum()))
    return found


@pytest.mark.parametrize("n", [20, 60, 333])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_chance_is_the_exact_binomial_test(n, share):
    most = round(share * n)
    for right in range(0, n + 1, 7):
        assert is_chance(right, n, most) == (binom.sf(right - 1, n, most / n) > 0.05)


@pytest.mark.parametrize("moved", [(1, 0, 2, 3), (1, 2, 3, 0), (3, 2, 1, 0)])
def test_a_permutation_is_found_whatever_moves(moved):
    clean = CleanAccuracy.of(LABELS, answers(LABELS, 0.9, moved), NAMES)
    order = [""] * 4
    for label, one in enumerate(moved):
        order[one] = NAMES[label]
    assert clean.order == tuple(order)
    assert f"--classes {','.join(order)}" in clean.doubt()
    assert clean.reordered > 0.85


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 1.0])
def test_a_model_that_is_right_or_guesses_is_not_permuted(share):
    for seed in range(50):
        assert permutation(LABELS, answers(LABELS, share, seed=seed)) is None


def test_a_model_that_gives_one_class_is_chance_and_not_permuted():
    labels = np.repeat([0, 1], [30, 70])
    clean = CleanAccuracy.of(labels, np.zeros(100, np.int64), NAMES)
    assert clean.order is None
    assert "no better than chance (always the most frequent class: 70.0%)" in clean.doubt()


def test_a_swap_among_many_classes_names_the_outputs_that_move():
    labels = np.arange(900) % 30
    predictions = labels.copy()
    predictions[labels == 4], predictions[labels == 7] = 7, 4
    doubt = CleanAccuracy.of(labels, predictions, tuple(f"k{k}" for k in range(30))).doubt()
    assert "the order of its outputs: k7 as output 4, k4 as output 7" in doubt
    assert "no better than chance" not in doubt


@pytest.mark.parametrize(
    ("labels", "predictions"),
    [
        (np.full(100, -1), np.zeros(100, np.int64)),  # unlabelled
        (np.arange(19) % 2, np.zeros(19, np.int64)),  # too few
        (np.ones(100, np.int64), np.zeros(100, np.int64)),  # one class
        (np.arange(100) % 2, np.full(100, -1)),  # rejected
        (np.zeros(0, np.int64), np.zeros(0, np.int64)),
    ],
)
def test_nothing_is_said_of_what_says_nothing(labels, predictions):
    assert CleanAccuracy.of(labels, predictions, NAMES).doubt() is None

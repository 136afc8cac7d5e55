"""Metrics against scikit-learn and SciPy, moments against NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import binomtest
from sklearn import metrics as oracle

from advcli import catalog
from advcli.errors import CommandError
from advcli.figures.moments import Moments
from advcli.interval import exact_interval
from advcli.verdicts import Verdicts


def verdicts(labels, predictions, classes=3, **more):
    return Verdicts(tuple(map(str, range(classes))), labels, predictions, np.zeros(len(labels), np.int64), **more)


def figures(name, given, **options):
    return list(catalog.spec("metric", name).bind(options)(given))


@pytest.mark.parametrize(("k", "n"), [(0, 10), (10, 10), (1, 10), (489, 491), (0, 1), (5000, 10000)])
def test_intervals_are_clopper_and_pearsons(k, n):
    exact = binomtest(k, n).proportion_ci(0.95, "exact")
    np.testing.assert_allclose(exact_interval(k, n), (exact.low, exact.high), atol=1e-12)


def test_nothing_of_nothing_is_zero_with_the_whole_interval():
    assert exact_interval(0, 0) == (0.0, 1.0)
    (one,) = figures("accuracy", verdicts(np.zeros(0, np.int64), np.zeros(0, np.int64)))
    assert (one.value, one.n, one.about) == (0.0, 0, {"undefined": True})


def test_figures_equal_scikit_learns_on_a_thousand_random_vectors():
    """S4-X2."""
    rng = np.random.default_rng(0)
    for _ in range(1000):
        classes = int(rng.integers(2, 6))
        labels, said = rng.integers(0, classes, (2, int(rng.integers(1, 30))))
        found = {(f.metric, f.about.get("class")): f for f in figures("per-class", verdicts(labels, said, classes))}
        p, r, f, _ = oracle.precision_recall_fscore_support(labels, said, labels=range(classes), zero_division=0)
        for k in range(classes):
            assert found["precision", str(k)].value == pytest.approx(p[k])
            assert found["recall", str(k)].value == pytest.approx(r[k])
            assert found["f1", str(k)].value == pytest.approx(f[k])
            assert found["precision", str(k)].about.get("undefined", False) == (not (said == k).any())
        assert found["f1", "mean"].value == pytest.approx(f.mean())
        matrix = oracle.confusion_matrix(labels, said, labels=range(classes))
        assert [one.k for one in figures("confusion", verdicts(labels, said, classes))] == matrix.ravel().tolist()
        assert figures("accuracy", verdicts(labels, said))[0].value == pytest.approx(oracle.accuracy_score(labels, said))


def test_one_positive_class_can_be_chosen():
    found = figures("per-class", verdicts(np.array([0, 1, 1]), np.array([1, 1, 0]), 2), positive="1")
    assert {(f.metric, f.value) for f in found} == {("precision", 0.5), ("recall", 0.5), ("f1", 0.5)}
    with pytest.raises(CommandError, match="--positive 7"):
        figures("per-class", verdicts(np.array([0]), np.array([0]), 2), positive="7")


def test_success_counts_initially_correct_images_only():
    labels, clean = np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 1])
    untargeted = verdicts(labels, np.array([1, 0, 1, 1, -1]), clean=clean, targets=np.full(5, -1))
    (one,) = figures("success", untargeted)
    assert (one.k, one.n) == (1, 4)
    targeted = verdicts(labels, np.array([2, 1, 2, 2, 1]), clean=clean, targets=np.array([2, 2, 2, 1, 2]))
    (one,) = figures("success", targeted)
    assert (one.k, one.n) == (1, 3)


def test_top_k_counts_ranks():
    given_ = verdicts(np.zeros(4, np.int64), np.zeros(4, np.int64))
    ranked = Verdicts(given_.classes, given_.labels, given_.predictions, np.array([0, 1, 2, 0]))
    assert [(f.metric, f.value) for f in figures("top", ranked, top="1,2,3")] == [("top-1", 0.5), ("top-2", 0.75), ("top-3", 1)]


@settings(max_examples=100, deadline=None)
@given(arrays(np.float64, st.integers(1, 60), elements=st.floats(-1e3, 1e3)), st.integers(1, 60))
def test_streaming_moments_equal_numpys(values, cut):
    found = Moments()
    for start in range(0, len(values), cut):
        found.add(values[start : start + cut])
    row = found.row()
    assert row["n"] == len(values)
    assert row["mean"] == pytest.approx(values.mean(), abs=1e-9)
    assert row["std"] == pytest.approx(values.std(), abs=1e-6)
    assert (row["min"], row["max"]) == (values.min(), values.max())


def test_moments_do_not_cancel():
    values = 1e6 + np.random.default_rng(0).normal(size=60_000)
    found = Moments()
    for part in np.split(values, 60):
        found.add(part)
    assert found.row()["std"] == pytest.approx(values.std(), rel=1e-9)


def test_confidence_and_overconfidence_are_what_numpy_says():
    rng = np.random.default_rng(0)
    sure, labels, said = rng.random(101).astype(np.float32), rng.integers(0, 3, 101), rng.integers(0, 3, 101)
    found = {f.metric: f.value for f in figures("confidence", verdicts(labels, said, confidence=sure))}
    assert found["confidence"] == pytest.approx(sure.mean(), abs=1e-6)
    assert found["confidence-median"] == pytest.approx(np.median(sure), abs=1e-6)
    assert found["overconfidence"] == pytest.approx(sure.mean() - (labels == said).mean(), abs=1e-6)

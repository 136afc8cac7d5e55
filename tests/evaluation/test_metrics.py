"""Metrics against scikit-learn and SciPy, moments against NumPy."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest, norm
from sklearn import metrics as oracle

from advcli.errors import CommandError
from advcli.evaluation.decisions import AttackedVerdicts, Distances, Verdicts
from advcli.metrics.roc import area_interval
from advcli.numerics.intervals import exact_interval
from judged import figures, said, verdicts


@pytest.mark.parametrize(("k", "n"), [(0, 10), (10, 10), (1, 10), (489, 491), (0, 1), (5000, 10000)])
def test_intervals_are_clopper_and_pearsons(k, n):
    exact = binomtest(k, n).proportion_ci(0.95, "exact")
    np.testing.assert_allclose(exact_interval(k, n), (exact.low, exact.high), atol=1e-12)


def test_nothing_of_nothing_is_zero_with_the_whole_interval():
    assert exact_interval(0, 0) == (0.0, 1.0)
    (one,) = figures("accuracy", verdicts(np.zeros(0, np.int64), np.zeros(0, np.int64)))
    assert (one.value, one.n, one.about) == (0.0, 0, {"undefined": True})


def test_figures_equal_scikit_learns_on_a_thousand_random_vectors():
    """S4-X2: to 1e-9; 0/0 is 0 and says so."""
    rng = np.random.default_rng(0)
    for _ in range(1000):
        classes = int(rng.integers(2, 6))
        labels, said = rng.integers(0, classes, (2, int(rng.integers(1, 30))))
        found = {(f.metric, f.about.get("class")): f for f in figures("per-class", verdicts(labels, said, classes))}
        p, r, f, _ = oracle.precision_recall_fscore_support(labels, said, labels=range(classes), zero_division=0)
        for k in range(classes):
            assert found["precision", str(k)].value == pytest.approx(p[k], abs=1e-9)
            assert found["recall", str(k)].value == pytest.approx(r[k], abs=1e-9)
            assert found["f1", str(k)].value == pytest.approx(f[k], abs=1e-9)
            assert found["precision", str(k)].about.get("undefined", False) == (not (said == k).any())
            assert found["recall", str(k)].about.get("undefined", False) == (not (labels == k).any())
            assert found["f1", str(k)].about.get("undefined", False) == (not ((said == k) | (labels == k)).any())
        assert [found[name, "mean"].value for name in ("precision", "recall", "f1")] == pytest.approx(
            [p.mean(), r.mean(), f.mean()], abs=1e-9
        )
        matrix = oracle.confusion_matrix(labels, said, labels=range(classes))
        assert [one.k for one in figures("confusion", verdicts(labels, said, classes))] == matrix.ravel().tolist()
        assert figures("accuracy", verdicts(labels, said))[0].value == pytest.approx(oracle.accuracy_score(labels, said))


def test_one_positive_class_can_be_chosen():
    """S4-X1, S4-X2: --positive 7, of two classes; what the model rejects is not positive."""
    rng = np.random.default_rng(1)
    for _ in range(100):
        count = int(rng.integers(1, 12))
        labels, answers = rng.integers(0, 2, count), rng.integers(-1, 2, count)
        found = figures("per-class", verdicts(labels, answers, 2), positive="1")
        assert [f.metric for f in found] == ["precision", "recall", "f1"]
        truth, given_ = labels == 1, answers == 1
        *wanted, _ = oracle.precision_recall_fscore_support(truth, given_, average="binary", zero_division=0)
        assert [f.value for f in found] == pytest.approx(wanted, abs=1e-9)
        empty = [not (answers == 1).any(), not (labels == 1).any(), not ((answers == 1) | (labels == 1)).any()]
        assert [f.about.get("undefined", False) for f in found] == empty
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
    ranked = verdicts(np.zeros(4, np.int64), np.zeros(4, np.int64), rank=np.array([0, 1, 2, 0]))
    assert [(f.metric, f.value) for f in figures("top", ranked, top="1,2,3")] == [("top-1", 0.5), ("top-2", 0.75), ("top-3", 1)]


def test_confidence_and_overconfidence_are_what_numpy_says():
    rng = np.random.default_rng(0)
    sure, labels, said = rng.random(101).astype(np.float32), rng.integers(0, 3, 101), rng.integers(0, 3, 101)
    found = {f.metric: f.value for f in figures("confidence", verdicts(labels, said, confidence=sure))}
    assert found["confidence"] == pytest.approx(sure.mean(), abs=1e-6)
    assert found["confidence-median"] == pytest.approx(np.median(sure), abs=1e-6)
    assert found["overconfidence"] == pytest.approx(sure.mean() - (labels == said).mean(), abs=1e-6)


def random_scores(rng, ties):
    """Scores of attacked and clean images, some of them equal."""
    count, clean = int(rng.integers(5, 80)), int(rng.integers(5, 300))
    found = rng.normal(1, 1, count), rng.normal(0, 1, clean)
    return tuple(np.round(one, 1) if ties else one for one in found)


@pytest.mark.parametrize("ties", [False, True])
def test_roc_equals_scikit_learns(ties):
    rng = np.random.default_rng(0)
    for _ in range(60):
        positive, negative = random_scores(rng, ties)
        rows, labels = len(positive), np.zeros(len(positive), np.int64)
        original = rng.integers(0, len(negative), rows)
        seen = np.unique(original)  # the negatives are the distinct originals
        fooled, attacked = rng.random(rows) < 0.6, rng.random(rows) < 0.8
        before = said(np.zeros(rows, np.int64), score=negative[original])
        given_ = AttackedVerdicts(classes=("0", "1"), labels=labels, said=said(fooled.astype(np.int64), score=positive),
                                  before=before, original=original, targets=np.full(rows, -1), attacked=attacked)  # fmt: skip
        found = {(f.metric, f.about["positives"]): f for f in figures("roc", given_)}
        for name, kept in (("all", attacked), ("successful", attacked & fooled)):
            if not kept.any():
                assert found["auc", name].about["undefined"]
                continue
            truth = np.r_[np.ones(kept.sum()), np.zeros(len(seen))]
            scores = np.r_[positive[kept], negative[seen]]
            assert found["auc", name].value == pytest.approx(oracle.roc_auc_score(truth, scores))
            false, true, _ = oracle.roc_curve(truth, scores, drop_intermediate=False)
            for metric, rate in (("tpr@1%", 0.01), ("tpr@5%", 0.05)):
                assert found[metric, name].value == pytest.approx(true[false <= rate].max())
            assert found["auc", name].low <= found["auc", name].value <= found["auc", name].high


@pytest.mark.parametrize(("m", "n", "apart"), [(20, 20, 1.0), (30, 60, 2.0), (100, 50, 0.5), (40, 40, 3.0)])
def test_the_interval_of_an_area_holds_the_true_one(m, n, apart):
    """The area under two normal curves is known; 0.917 is three deviations of 400 draws below 0.95."""
    rng, true = np.random.default_rng(1), norm.cdf(apart / 2**0.5)
    held = 0
    for _ in range(400):
        high, low = rng.normal(apart, 1, m), rng.normal(0, 1, n)
        bottom, top = area_interval(float((high[:, None] > low).mean()), m, n)
        held += bottom <= true <= top
    assert held >= 0.917 * 400


def test_a_rejected_image_is_neither_right_nor_won():
    labels = np.array([0, 0, 0, 1, 1])
    answers, score = np.array([0, 0, 1, 1, 0]), np.array([-1.0, 2.0, -0.5, 0.1, 3.0])  # row 1 and 3 are right, but rejected
    given_ = verdicts(labels, answers, 2, clean=labels, score=score, rank=(answers != labels).astype(np.int64))
    assert given_.predictions.tolist() == [0, -1, 1, -1, -1]
    assert [(f.metric, f.k, f.n) for f in figures("coverage", given_)] == [
        ("coverage", 2, 5),
        ("accuracy-accepted", 1, 2),
        ("undetected", 1, 5),
    ]
    assert [(f.k, f.n) for name in ("accuracy", "success") for f in figures(name, given_)] == [(1, 5), (1, 5)]
    assert figures("top", given_, top="1")[0].k == 1
    assert sum(f.k for f in figures("confusion", given_) if f.about["prediction"] == "rejected") == 3
    assert figures("confidence", given_)[0].n == 2
    assert [(f.metric, f.k, f.n) for f in figures("selective", given_, coverage="1")] == [("accuracy@100%", 1, 2)]


@pytest.mark.parametrize("by", ["logit", "probability"])
def test_accuracy_at_coverage_keeps_the_most_confident_and_whoever_ties(by):
    """S4-X3: confidence >= sorted[int(c n) - 1], more coverage keeps more, and all of them is plain accuracy."""
    rng = np.random.default_rng(3)
    shares = (0.01, 0.29, 0.5, 0.8, 1)
    for _ in range(100):
        count = int(rng.integers(1, 60))
        labels, predictions = rng.integers(0, 3, (2, count))
        sure = np.round(rng.normal(size=count) if by == "logit" else rng.random(count), 1)  # many tie
        other = rng.random(count)
        answers = said(
            predictions, **({"logit": sure, "confidence": other} if by == "logit" else {"logit": other, "confidence": sure})
        )
        given_ = Verdicts(classes=("0", "1", "2"), labels=labels, said=answers)
        found = figures("selective", given_, coverage=",".join(map(str, shares)), confidence=by)
        for one, share in zip(found, shares, strict=True):
            kept = sure >= np.sort(sure)[::-1][max(1, int(round(100 * share) * count // 100)) - 1]
            assert (one.n, one.k) == (kept.sum(), (kept & (labels == predictions)).sum())
            assert one.value == pytest.approx(oracle.accuracy_score(labels[kept], predictions[kept]), abs=1e-9)
            assert one.n >= int(round(100 * share) * count // 100)
        assert [one.n for one in found] == sorted(one.n for one in found)
        assert found[-1].value == figures("accuracy", given_)[0].value


def test_a_coverage_is_a_share_of_the_images():
    for wrong in ("0", "1.2", "x"):
        with pytest.raises(CommandError, match="--coverage"):
            figures("selective", verdicts(np.zeros(2, np.int64), np.zeros(2, np.int64)), coverage=wrong)


def test_recovered_counts_the_victims_mistakes():
    """S0-D3, worked by hand: of rows 1 to 4, which the victim has wrong, the defense has 1 and 3 right."""
    labels, victim = np.array([0, 1, 1, 2, 2, -1]), np.array([0, 0, 2, -1, 0, 1])
    given_ = verdicts(labels, np.array([1, 1, 0, 2, 0, 0]), clean=labels.clip(0), asked_victim=victim)
    (one,) = figures("recovered", given_)
    assert (one.k, one.n, one.about) == (2, 4, {"victim": "stored"})


def test_transfer_leaves_out_what_the_model_had_wrong_anyway():
    labels, attacked = np.zeros(4, np.int64), np.array([True, True, True, False])
    given_ = verdicts(labels, np.array([1, 0, 2, 0]), clean=np.array([0, 0, 1, 0]), attacked=attacked,
                      asked_distance=Distances(np.array([0.1, 0.2, 0.3, 0.0]), np.array([1.0, 2, 3, 0])))  # fmt: skip
    (one,) = figures("transfer", given_)
    assert (one.k, one.n) == (1, 3)
    assert one.about == {"linf": pytest.approx(0.2), "l2": pytest.approx(2.0)}


def test_selective_ranks_by_the_largest_logit_unless_told_otherwise():
    """S4-X3: a large logit beside another large one is confident by the paper, and unsure by its probability."""
    labels = np.array([0, 0, 0, 0])
    answers = said([0, 0, 1, 1], confidence=np.array([0.9, 0.5, 0.8, 0.7]), logit=np.array([1.0, 9.0, 8.0, 2.0]))
    given_ = Verdicts(classes=("0", "1"), labels=labels, said=answers)
    (one,) = figures("selective", given_, coverage="0.5")
    assert (one.k, one.n) == (1, 2)
    (other,) = figures("selective", given_, coverage="0.25")
    assert (other.k, other.n) == (1, 1)
    (by_probability,) = figures("selective", given_, coverage="0.5", confidence="probability")
    assert (by_probability.k, by_probability.n) == (1, 2)
    (first,) = figures("selective", replace(given_, said=replace(answers, answers=np.array([0, 1, 1, 1]))), coverage="0.25")
    assert (first.k, first.n) == (0, 1)


def test_selective_takes_the_worst_row_of_every_image():
    labels, image = np.zeros(6, np.int64), np.array([0, 0, 0, 1, 1, 1])
    answers = said([0, 1, 0, 0, 0, 0], logit=np.arange(6.0))
    (one,) = figures("selective", Verdicts(classes=("0", "1"), labels=labels, said=answers, image=image), coverage="1")
    assert (one.k, one.n) == (1, 2)


def test_an_area_without_positives_is_any_and_says_so():
    from advcli.metrics.roc import _area

    one = _area(np.zeros(0), np.arange(3.0), 0, "all")
    assert (one.value, one.low, one.high) == (0.0, 0.0, 1.0)
    assert one.about["undefined"]

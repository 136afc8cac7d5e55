"""The losses by their formulas in NumPy, and where their denominators vanish."""

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, logsumexp, softmax

from advcli.numerics import losses

LOGITS = torch.randn(40, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3
LABEL = torch.arange(40) % 5


def parts(logits, label):
    """The logit of the class, the others, and all in falling order."""
    z, rows = logits.numpy(), np.arange(len(label))
    others = np.array([np.delete(one, k) for one, k in zip(z, label.tolist(), strict=True)])
    return z[rows, label.numpy()], others, -np.sort(-z, 1)


def expected(name, logits, label):
    own, others, top = parts(logits, label)
    rows, margin = (np.arange(len(label)), label.numpy()), others.max(1) - own
    return {
        "cross_entropy": lambda: -log_softmax(logits.numpy(), 1)[rows],
        "log_odds": lambda: logsumexp(others, 1) - own,
        "logit": lambda: -own,
        "prob": lambda: -softmax(logits.numpy(), 1)[rows],
        "margin": lambda: margin,
        "dlr": lambda: margin / (top[:, 0] - top[:, 2]),
        "dlr_towards": lambda: margin / (top[:, 0] - (top[:, 2] + top[:, 3]) / 2),
    }[name]()


NAMES = ("cross_entropy", "log_odds", "logit", "prob", "margin", "dlr", "dlr_towards")


@pytest.mark.parametrize("name", NAMES)
def test_a_loss_is_its_formula(name):
    np.testing.assert_allclose(getattr(losses, name)(LOGITS, LABEL), expected(name, LOGITS, LABEL), rtol=1e-9)


@pytest.mark.parametrize(("name", "classes"), [("dlr", 3), ("dlr_towards", 4)])
def test_the_fewest_classes_of_a_ratio(name, classes):
    """One class fewer has no third or fourth logit, and the margin alone stands there."""
    logits, label = LOGITS[:, :classes], LABEL % classes
    np.testing.assert_allclose(getattr(losses, name)(logits, label), expected(name, logits, label), rtol=1e-9)
    fewer, label = LOGITS[:, : classes - 1], LABEL % (classes - 1)
    np.testing.assert_allclose(getattr(losses, name)(fewer, label), expected("margin", fewer, label), rtol=1e-9)


@pytest.mark.parametrize("name", ["dlr", "dlr_towards"])
def test_a_ratio_whose_denominator_vanishes_keeps_its_sign(name):
    """Four equal logits above the class: the model decides against it, as far as a number can say."""
    logits = torch.tensor([[1.0, 1.0, 1.0, 1.0, 0.0]])
    found = getattr(losses, name)(logits, torch.tensor([4]))
    assert torch.isfinite(found).all()
    assert float(found) > 1e6
    assert float(getattr(losses, name)(logits, torch.tensor([0]))) == 0


def test_no_scale_of_the_logits_changes_a_ratio():
    for loss in (losses.dlr, losses.dlr_towards):
        torch.testing.assert_close(loss(1000 * LOGITS, LABEL), loss(LOGITS, LABEL))


def test_the_divergence_is_that_of_the_answers():
    other = LOGITS.flip(0)
    p, q = (softmax(one.numpy(), 1) for one in (LOGITS, other))
    np.testing.assert_allclose(losses.divergence(LOGITS, other), (p * np.log(p / q)).sum(1), rtol=1e-9)


def test_the_names_on_the_command_line_are_these_losses():
    by_name = {"xent": losses.cross_entropy, "logit": losses.logit, "prob": losses.prob, "margin": losses.margin}
    assert {**by_name, "dlr": losses.dlr} == losses.LOSSES
    assert {**by_name, "dlr": losses.dlr_towards} == losses.TOWARDS

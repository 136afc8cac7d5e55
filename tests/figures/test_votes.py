"""The votes of random models for one image, and the entropy of the votes of all."""

import numpy as np
import pytest
import torch
from scipy.stats import beta, entropy
from torch import nn

import attacked_set
from advcli.errors import CommandError
from advcli.evaluation.judge import Judge
from advcli.evaluation.selected_rows import SelectedRows, select
from advcli.figures.votes import votes
from advcli.files.imageset_reader import ImageSet
from advcli.networks.classifier import Dropout
from advcli.networks.voting import stochastic_logits
from advcli.numerics.rng import Purpose, SampleRNG
from judged_modules import affine, judge_of

CLASSES = ("a", "b", "c")


def chosen(opened: ImageSet, rows: str | None = None) -> SelectedRows:
    return select(opened, of=None, by="none", where=None, rows=rows)


@pytest.fixture
def pairs(folder) -> tuple[np.ndarray, np.ndarray]:
    """Ten images under two budgets: originals and attacked ones, row by row."""
    draw = np.random.default_rng(0)
    clean, place = draw.random((10, 1, 3, 3), dtype=np.float32), np.repeat(np.arange(10), 2)
    moved = draw.random((20, 1, 3, 3), dtype=np.float32)
    given = {"images": moved, "originals": clean, "original": place, "index": place + 7, "labels": place % 3,
             "clean_prediction": place % 3, "epsilon": np.tile(np.array([0.1, 0.2], np.float32), 10)}  # fmt: skip
    attacked_set.write("a.h5", given, norm="linf", epsilon=["0.1", "0.2"])
    return clean[place], moved


def dropping() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(9, 40), nn.ReLU(), Dropout(0.5), nn.Linear(40, 3))


def recounted(judge: Judge, x: np.ndarray, passes: int) -> np.ndarray:
    """The votes, by the defense's own function of one pass."""
    draws = SampleRNG(judge.seed, torch.repeat_interleave(torch.arange(10), 2) + 7, (Purpose.EVALUATE, "0"))
    one_pass = getattr(judge.module, "one_pass", None) or judge.module.noisy
    with torch.no_grad():
        found = stochastic_logits(one_pass, torch.from_numpy(x), draws, passes).argmax(2).numpy()
    return np.stack([(found == k).sum(1) for k in range(3)], 1)


@pytest.mark.parametrize(
    ("defense", "passes"),
    [(("dropout-vote", {"passes": 60}), 60), (("smoothing", {"samples": 25, "sigma": 0.5}), 25)],
    ids=["dropout", "noise"],
)
def test_the_votes_are_those_that_the_defense_counts(pairs, defense, passes):
    """S0-F5: two bar charts on the same classes, whose counts sum to the number of passes."""
    judge = judge_of(dropping(), (1, 3, 3), CLASSES, defense)
    judge.batch = 6
    with ImageSet("a.h5") as opened:
        found = votes(chosen(opened), judge, index=12)
    counts = {name: recounted(judge, x, passes) for name, x in zip(("original", "adversarial"), pairs, strict=True)}
    for name, each in counts.items():
        mine = [row for row in found.rows if row["of"] == "votes" and row["image"] == name]
        assert [row["votes"] for row in mine] == each[10].tolist()
        assert sum(row["votes"] for row in mine) == passes
        assert {(row["row"], row["index"], row["epsilon"]) for row in mine} == {(10, 12, "0.1")}
        for row in mine:
            k = row["votes"]
            assert row["low"] == pytest.approx(beta.ppf(0.025, k, passes - k + 1) if k else 0, abs=1e-9)
            assert row["high"] == pytest.approx(beta.ppf(0.975, k + 1, passes - k) if k < passes else 1, abs=1e-9)
        for budget, start in (("0.1", 0), ("0.2", 1)):
            (row,) = [r for r in found.rows if r["of"] == "mean entropy" and (r["image"], r["epsilon"]) == (name, budget)]
            assert row["entropy"] == pytest.approx(entropy(each[start::2], axis=1).mean(), abs=1e-9)
            assert row["rows"] == 10
    upper, lower = found.figure.axes
    assert upper.get_xlim() == lower.get_xlim()
    assert upper.get_ylim() == lower.get_ylim()
    assert [text.get_text() for text in lower.get_xticklabels()] == list(CLASSES)


def test_a_random_filter_votes_by_its_draws(pairs):
    judge = judge_of(dropping(), (1, 3, 3), CLASSES, ("resize-pad", {"smallest": 0.3}), ("squeeze", {"bits": 3}))
    judge.rounds = 9
    with ImageSet("a.h5") as opened:
        found = [row for row in votes(chosen(opened), judge).rows if row["of"] == "votes"]
    ids = np.repeat(np.arange(10), 2) + 7
    for name, x in zip(("original", "adversarial"), pairs, strict=True):
        answers = [int(judge.logits(torch.from_numpy(x[:1]), ids[:1], turn).argmax()) for turn in range(9)]
        assert [row["votes"] for row in found if row["image"] == name] == np.bincount(answers, minlength=3).tolist()


def test_of_many_classes_those_with_votes_are_drawn(folder):
    names = [f"{k}-{'n' * 57}" for k in range(100)]
    attacked_set.write("b.h5", {"images": np.random.default_rng(0).random((2, 1, 3, 3)), "labels": np.arange(2)}, classes=names)
    judge = judge_of(nn.Sequential(nn.Flatten(), nn.Linear(9, 100)), (1, 3, 3), names, ("smoothing", {"samples": 20}))
    with ImageSet("b.h5") as opened:
        found = votes(chosen(opened), judge)
    voted = {row["class"] for row in found.rows if row["of"] == "votes" and row["votes"]}
    ticks = [text.get_text() for text in found.figure.axes[1].get_xticklabels()]
    assert len(ticks) == len(voted) < 41
    assert max(map(len, ticks)) == 16


def test_what_has_no_votes_says_so(pairs):
    judge, _, _ = affine((1, 3, 3), CLASSES)
    random = judge_of(dropping(), (1, 3, 3), CLASSES, ("dropout-vote", {"passes": 3}))
    with ImageSet("a.h5") as opened:
        with pytest.raises(CommandError, match="decides without a draw"):
            votes(chosen(opened), judge)
        with pytest.raises(CommandError, match="--index 3: no selected row"):
            votes(chosen(opened), random, index=3)
        assert votes(chosen(opened, "failures"), random).rows == []

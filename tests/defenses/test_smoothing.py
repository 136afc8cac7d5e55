"""Randomized smoothing and its certificates, against a linear model on which the truth is known."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import ndtr
from torch import nn

from advcli.catalog import discovery
from advcli.defenses.smoothing import Smoothed
from advcli.evaluation import noise_votes
from advcli.evaluation.decisions import Certificate, Decisions, Noise, Verdicts
from advcli.evaluation.sets import Subject
from advcli.metrics.certified import certify
from advcli.networks import voting
from advcli.networks.voting import majority_logits
from advcli.numerics.intervals import lower_bound
from advcli.numerics.rng import SampleRNG
from advcli.runtime.reporter import SILENT
from conftest import Halfspace, attacked
from small_networks import Small

SIGMA, ALPHA, COPIES = 0.1, 0.001, 100_000
DISTANCES = np.linspace(0.25, 3, 12)  # in sigmas


class Shaped:
    """What is asked of a model file."""

    shape, path, classes = (1, 2, 2), "linear.safetensors", ("0", "1")


def subject_of(x):
    """Pictures as a set; their places are their ids."""
    header = {"kind": "clean", "classes": ["0", "1"], "split": "test", "epsilon": None}
    return Subject("x", header, len(x), np.arange(len(x)), np.zeros(len(x), np.int64), lambda a, b: x[a:b], False)


def noise_of(model, x, seed=1):
    return noise_votes.noise(Shaped(), model, subject_of(x), seed, torch.device("cpu"), SILENT)


def test_a_certified_radius_is_nearly_the_distance_and_hardly_ever_more():
    """Done when: median ratio at least 0.95 with 100,000 copies, through the path that `evaluate` takes."""
    plane = Halfspace(4).requires_grad_(False)
    way = (plane.w / plane.w.norm()).view(1, 2, 2)
    x = 0.5 - torch.tensor(DISTANCES * SIGMA, dtype=torch.float32).view(-1, 1, 1, 1) * way
    np.testing.assert_allclose(plane.distance(x, "l2").numpy(), DISTANCES * SIGMA, rtol=1e-5)
    assert x.min() > 0
    assert x.max() < 1
    top, radius = certify(noise_of(Smoothed(plane, SIGMA, 1), x), 1000, COPIES, ALPHA)
    assert (top == 0).all()
    ratio = radius / (DISTANCES * SIGMA)
    assert np.median(ratio) >= 0.95
    assert (ratio <= 1).all(), "one of twelve would be an accident of one in eighty"
    assert (ratio > 0.9).all()


def test_violations_stay_within_the_binomial_bound():
    """On a plane the count of a class is binomial: certificates in numbers, each wrong with probability alpha at most."""
    rng, each = np.random.default_rng(0), 20_000
    far = rng.uniform(0.25, 3, each)

    def count(rows, purpose, copies):
        k = rng.binomial(copies, ndtr(far[rows]))
        return np.stack([k, copies - k], 1)

    for copies in (100, COPIES):
        top, radius = certify(Noise(1.0, np.arange(each), count), 100, copies, ALPHA)
        wrong = int(((radius > far) & (top == 0)).sum() + ((radius > 0) & (top == 1)).sum())
        assert wrong <= stats.binom.ppf(0.999, each, ALPHA)
    assert wrong > 0, "twenty are expected: a bound that never fails is not at its level"
    assert np.median(radius / far) >= 0.95


def test_the_lower_bound_is_clopper_and_pearsons():
    k = np.array([0, 1, 50, 99, 100])
    wanted = [stats.binomtest(int(one), 100, alternative="greater").proportion_ci(1 - ALPHA, "exact").low for one in k]
    np.testing.assert_allclose(lower_bound(k, 100, ALPHA), wanted, atol=1e-12)


def test_a_coin_abstains():
    fair = Noise(1.0, np.arange(3), lambda rows, purpose, copies: np.full((len(rows), 2), copies // 2))
    assert certify(fair, 100, COPIES, ALPHA)[1].tolist() == [0, 0, 0]


def test_figures_of_a_worked_case():
    """Four images: far, near, wrong, undecided."""
    counts = np.array([[1000, 0], [900, 100], [0, 1000], [510, 490]])
    said = Decisions(np.zeros(5, np.int64), np.zeros(5, np.int64), np.ones(5))
    given = Verdicts(classes=("0", "1"), labels=np.zeros(5, np.int64), said=said)
    given.labels[4] = -1  # unlabelled: left out
    ask = Noise(0.5, np.arange(5), lambda rows, purpose, copies: counts[rows])

    found = list(discovery.spec("metric", "certified").bind({"radii": "0,0.5,1"})(replace(given, asked_noise=ask)))
    far, near = 0.5 * stats.norm.ppf(ALPHA ** (1 / 1000)), 0.5 * stats.norm.ppf(stats.beta.ppf(ALPHA, 900, 101))
    assert 0.5 < near < 1 < far
    assert [(f.metric, f.about.get("epsilon"), f.k, f.n) for f in found if f.k is not None] == [
        ("certified", 0, 2, 4), ("certified", 0.5, 2, 4), ("certified", 1, 1, 4), ("certified-abstained", None, 1, 4),
    ]  # fmt: skip
    median = next(f for f in found if f.metric == "certified-radius-median")
    assert median.value == pytest.approx(near / 2)
    assert found[0].certificate == Certificate("l2", alpha=0.001, copies=1000, first_copies=100, sigma=0.5, epsilon="0")


def test_the_noise_is_normal_unclipped_and_its_own_for_every_copy():
    seen = []

    class Spy(Halfspace):
        def forward(self, x, draws=None):
            seen.append(x.clone())
            return super().forward(x)

    x = torch.ones(2, 3, 2, 2)
    Smoothed(Spy(), 0.3, 2000)(x, SampleRNG(0, torch.arange(2)))
    found = torch.cat([one.view(2, -1, 12) for one in seen], 1) - 1
    assert found.shape == (2, 2000, 12)
    assert stats.kstest((found / 0.3).flatten().numpy(), "norm").pvalue > 1e-3
    assert len(torch.unique(found[:, :, 0])) > 3990


@pytest.mark.parametrize("most", [1, 7, 64, 4096])
def test_votes_and_gradients_do_not_depend_on_how_many_copies_are_taken_at_once(most, monkeypatch):
    model, x = Smoothed(Halfspace().requires_grad_(False), 0.2, 40), torch.full((3, 3, 2, 2), 0.5).requires_grad_()
    draws = SampleRNG(4, torch.arange(3), turn=torch.tensor([2, 0, 7]))

    def asked():
        logits = model(x, draws)
        return logits.detach(), torch.autograd.grad(logits[:, 0].sum(), x)[0], model.votes(x.detach(), draws, 40)

    whole = asked()
    monkeypatch.setattr(voting, "MOST", most)
    for one, other in zip(asked(), whole, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    assert whole[2].sum(1).tolist() == [40, 40, 40]
    assert torch.equal(whole[0].argmax(1), whole[2].argmax(1))


def test_counting_asks_image_by_image_for_draws_of_their_own():
    x = torch.full((7, 1, 2, 2), 0.5)
    ask = noise_of(Smoothed(Halfspace(4).requires_grad_(False), SIGMA, 1), x)
    whole = ask.votes("count", 1500)
    assert (whole == ask[np.array([0, 1, 2, 3, 4, 5, 6]) == 3].votes("count", 1500)).all(1).tolist().count(True) == 1
    assert (ask[np.arange(7) % 2 == 0].votes("count", 1500) == whole[::2]).all()
    assert (ask.votes("first", 1500) != whole).any(), "another purpose has other draws"
    assert noise_of(Smoothed(Halfspace(4), SIGMA, 1), x[:0]).votes("count", 5).shape[0] == 0


def test_evaluate_reports_certificates_and_refuses_what_has_none(run, model):
    run("defend", "--method", "smoothing", "--sigma", "0.05", "--samples", "10")
    asked = (
        "evaluate",
        "--metric",
        "certified",
        "--data",
        "digits",
        "--limit",
        "8",
        "--certify-samples",
        "60",
        "--radii",
        "0,1/50",
    )
    rows = json.loads(run(*asked, "--model", "defended.safetensors", "--json").out)["rows"]
    assert [(row["metric"], row["epsilon"]) for row in rows[:2]] == [("certified", 0), ("certified", 0.02)]
    assert rows[0]["k"] >= rows[1]["k"] > 0
    line = rows[1]["threat"]
    assert (line["certified"], line["norm"], line["alpha"], line["copies"], line["epsilon"]) == (True, "l2", 0.001, 60, "1/50")
    told = run(*asked, "--model", "defended.safetensors").out
    assert "certified, l2, alpha 0.001, noise 0.05, 60 copies after 100" in told
    assert (
        run(*asked, "--model", "defended.safetensors", "--json").out
        == run(*asked, "--model", "defended.safetensors", "--json").out
    )
    ran = run(*asked)
    assert ran.code == 3
    assert "advcli defend --method smoothing --model model.safetensors" in ran.err
    run("defend", "--method", "squeeze", "--model", "defended.safetensors", "-o", "outer.safetensors")
    assert run(*asked, "--model", "outer.safetensors").code == 3


def test_an_adversarial_set_has_no_certificates(run, model):
    run("defend", "--method", "smoothing", "--samples", "5")
    run("attack", "--method", "fgsm", "--model", "defended.safetensors", "--limit", "6", "--eps", "0.1")
    asked = ("evaluate", "adversarial.h5", "--model", "defended.safetensors", "--metric", "certified", "--metric", "accuracy")
    rows = json.loads(run(*asked, "--certify-samples", "20", "--json").out)["rows"]
    assert {row["metric"] for row in rows} == {"accuracy"}


def test_smoothing_filters_no_files(run, model):
    run("attack", "--method", "fgsm", "--limit", "4")
    ran = run("defend", "adversarial.h5", "--method", "smoothing")
    assert ran.code == 2
    assert "not a filter" in ran.err


def test_noise_in_training_is_normal_and_the_samples_own(run, folder):
    from advcli.training.augmentation import augmentations, augmented

    words = augmentations("flip,noise:0.3")
    x = torch.zeros(500, 1, 4, 4)
    drawn = augmented(x, words, SampleRNG(0, torch.arange(500)))
    assert stats.kstest((drawn / 0.3).flatten().numpy(), "norm").pvalue > 1e-3
    assert torch.equal(drawn[3:5], augmented(x[3:5], words, SampleRNG(0, torch.arange(3, 5))))
    assert run("train", "--augment", "noise:0.2", "--epochs", "1", "--limit", "100").code == 0
    for wrong in ("noise", "noise:", "noise:x", "noise:-1", "crop:2"):
        ran = run("train", "--augment", wrong, "-o", "other.safetensors")
        assert (ran.code, "noise:SIGMA" in ran.err) == (2, True), ran.err


def test_a_vote_decides_by_count_and_climbs_by_the_mean():
    """Two of three looks see class 1, a little; the third sees class 0, very much. A draw goes to the lowest."""
    z = torch.tensor(
        [[[0.0, 1.0, -9.0], [0.0, 1.0, -9.0], [50.0, 0.0, -9.0]], [[0.0, 3.0, 0.0], [2.0, 1.0, 0.0], [0.0, 1.0, 2.0]]]
    )
    z.requires_grad_()
    found = majority_logits(z)
    assert found.argmax(1).tolist() == [1, 0]
    torch.testing.assert_close(found[0], torch.tensor([-1.0, 1.0, -10.0]))  # the second best leads, of three
    torch.testing.assert_close(found[1], torch.tensor([-1 + 2e-3, -1.0, -2.0]))
    label = torch.tensor([0, 1])
    loss = nn.functional.cross_entropy(found, label, reduction="none")
    slope = torch.autograd.grad(loss.sum(), z)[0]
    wanted = (found.softmax(1) - nn.functional.one_hot(label, 3))[:, None].expand(-1, 3, -1) / 3
    torch.testing.assert_close(slope, wanted.detach(), atol=1e-6, rtol=0)


def test_an_attack_through_the_noise_is_stronger_than_one_past_it():
    base = Small((1, 8, 8), 5).eval().requires_grad_(False)
    x = torch.rand(80, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    model = Smoothed(base, 0.5, 40).eval()
    draws, kept = SampleRNG(7, torch.arange(80)), {}
    label = model(x, draws).argmax(1)
    for knowledge, victim in {"static": base, "adaptive": model}.items():
        made = attacked("pgd", victim, x, label, "0.25", options={"steps": 20}, early_stop=False, random_model=True)
        with torch.no_grad():
            kept[knowledge] = int((model(torch.from_numpy(made["images"]), draws).argmax(1) == label).sum())
    assert kept["adaptive"] < kept["static"] < 60

"""Models that may refuse: how they answer, how their threshold is set, and how they are attacked."""

import json
import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from advcli.catalog import discovery
from advcli.defending.threshold import threshold_at, threshold_place
from advcli.errors import InputError
from advcli.files.imageset_reader import ImageSet
from advcli.networks import model_file
from advcli.networks.classifier import Classifier
from advcli.networks.rejection import decision, split
from advcli.numerics.rng import SampleRNG
from advcli.search.goal import Goal
from conftest import Halfspace, attacked, near_the_plane
from small_networks import Bright, Small


def test_a_rejection_is_the_largest_logit_exactly_beyond_the_threshold(halfspace):
    x = near_the_plane(50)
    model = Bright(halfspace, 0.525)
    logits = model(x)
    beyond = x.flatten(1).mean(1) > 0.525
    assert 5 < beyond.sum() < 45
    assert torch.equal(decision(logits, rejects=True) == -1, beyond)
    assert torch.equal(decision(logits, rejects=True)[~beyond], halfspace(x).argmax(1)[~beyond])
    torch.testing.assert_close(split(logits, rejects=True)[1], (x.flatten(1).mean(1) - 0.525) / 0.1, atol=1e-5, rtol=0)


def test_of_several_detectors_any_one_is_enough(halfspace):
    x = near_the_plane(50)
    both = Bright(Bright(halfspace, 0.53), 0.52)
    said = decision(both(x), rejects=True)
    assert torch.equal(said == -1, x.flatten(1).mean(1) > 0.52)
    assert both(x).shape == (50, 3)


def test_a_goal_is_reached_only_by_an_accepted_picture():
    logits = torch.tensor([[1.0, 2.0, 0.0], [1.0, 2.0, 3.0], [3.0, 2.0, 0.0], [3.0, 2.0, 4.0]])
    leave = Goal(torch.zeros(4, dtype=torch.int64), rejects=True)
    reach = Goal(torch.ones(4, dtype=torch.int64), targeted=True, rejects=True)
    for goal in (leave, reach):
        assert goal.reached(logits).tolist() == [True, False, False, False]
        assert goal.met(decision(logits, rejects=True)).tolist() == [True, False, False, False]


@pytest.mark.parametrize("targeted", [False, True])
def test_what_is_won_of_the_two_is_climbed_no_further(targeted):
    """Rows: both won, the class alone, the detector alone, neither."""
    logits = torch.tensor([[1.0, 2.5, 0.0], [1.0, 2.5, 3.5], [3.0, 2.0, 0.0], [3.0, 2.0, 4.0]], requires_grad=True)
    goal = Goal(torch.full((4,), int(targeted)), targeted, rejects=True)
    climbed = goal.loss("xent")(logits)
    torch.testing.assert_close(climbed, torch.tensor([1.5 + 0.1, 1.5 - 1.0, -1.0 + 0.1, -1.0 - 1.0]))
    classes, detector = torch.tensor([-1.0, 1.0, 0.0]), torch.tensor([0.0, 0.0, -1.0])
    largest = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])  # the excess is the last logit beyond the largest other
    wanted = [0 * classes, detector + largest[0], classes, classes + detector + largest[1]]
    torch.testing.assert_close(torch.autograd.grad(climbed.sum(), logits)[0], torch.stack(wanted))


def test_an_untouched_detector_accepts_everything(halfspace):
    model = Bright(halfspace, -1e9, unit=0.0)
    assert (decision(model(near_the_plane()), rejects=True) >= 0).all()


@pytest.mark.parametrize("target", [None, "next"])
def test_an_attack_evades_the_detector_that_it_goes_through(halfspace, target):
    """Bright pictures are refused, and brightening is what the plain attack does: the adaptive one finds another way."""
    x = near_the_plane(20) * 0.9
    label = halfspace(x).argmax(1)
    x, label = x[label == 0], label[label == 0]
    model = Bright(halfspace, float(x.flatten(1).mean(1).max()) + 2e-4, unit=0.01)
    far = float(halfspace.distance(x, "linf").max())
    options = {"rejects": True, "target": target}
    plain = attacked("fgsm", halfspace, x, label, f"{1.5 * far:.6f}")
    assert plain["success"].all()
    refused = decision(model(torch.from_numpy(plain["images"])), rejects=True) == -1
    assert refused.any()
    made = attacked("pgd", model, x, label, f"{3 * far:.6f}", options={"steps": 100, "step_size": "eps/20"}, **options)
    assert made["success"].all()
    assert (made["prediction"] == 1).all()


def test_a_threshold_keeps_its_promise_on_new_images():
    """With n scores and the ceil((n + 1)(1 - a))-th as threshold, false alarms among m new ones are beta-binomial."""
    n, m, a = 200, 500, 0.05
    place = threshold_place(n, a)
    law = stats.betabinom(m, n - place, place + 1)
    low, high = law.ppf(0.005), law.ppf(0.995)
    draw, inside, shares = np.random.default_rng(0), 0, []
    for _ in range(400):
        threshold = np.sort(draw.normal(size=n))[place]
        alarms = int((draw.normal(size=m) > threshold).sum())
        shares.append(alarms / m)
        inside += low <= alarms <= high
    assert np.mean(shares) < a
    assert inside >= stats.binom(400, 0.99).ppf(0.001)


@pytest.mark.parametrize(("count", "place"), [(19, 18), (20, 19), (99, 94), (100, 95), (10, 10)])
def test_which_score_is_the_threshold(count, place):
    assert threshold_place(count, 0.05) == place


def test_a_detector_is_fitted_kept_and_measured(run, model):
    ran = run("defend", "--method", "squeeze-detector", "--squeezers", "bits:3,median:3", "--fpr", "0.1")
    assert ran.code == 0, ran.err
    kept = model_file.read("defended.safetensors")
    found = kept.metadata["defenses"][0]["found"]
    assert found["n"] == 130
    assert found["rejected"] <= 13
    said = json.loads(run("show", "defended.safetensors", "--json").out)[0]["command"]
    first = kept.path.read_bytes()
    kept.path.unlink()
    assert run(*said.split()[1:]).code == 0
    assert kept.path.read_bytes() == first
    assert run("attack", "--model", "defended.safetensors", "--eps", "0.1", "--steps", "5", "--limit", "100").code == 0
    with ImageSet("adversarial.h5") as made:
        assert (made.column("clean_prediction") == -1).any()
        assert not made.column("success")[made.column("clean_prediction") == -1].any()
        assert (made.column("prediction")[made.column("success") == 1] >= 0).all()
    assert run("verify", "adversarial.h5").code == 0
    assert run("attack", "--model", "defended.safetensors", "--static", "--eps", "0.1", "--limit", "20", "-o", "s.h5").code == 0


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--data", "digits:test"], 3, "clean images of the train or val split"),
        (["--fpr", "0.001"], 3, "130 images are too few"),
        (["--fpr", "0"], 2, "outside"),
        (["--squeezers", "bits:9"], 2, "none of bits:N"),
        (["--squeezers", "median:0"], 2, "not a window"),
        (["--epochs", "3"], 2, "has no option --epochs"),
        (["--member", "model.safetensors"], 2, "has no option --member"),
    ],
)
def test_what_cannot_be_fitted_is_refused(run, model, words, code, says):
    ran = run("defend", "--method", "squeeze-detector", *words)
    assert ran.code == code, ran.err
    assert says in ran.err


def test_a_threshold_at_the_end_of_the_scores_is_no_defense_and_says_so(run, model):
    """The digits are squeezed out of recognition, so that natural images score as high as anything can."""
    ran = run("defend", "--method", "squeeze-detector")
    assert ran.code == 0
    share = model_file.read("defended.safetensors").metadata["defenses"][0]["found"]["threshold"] / 2
    assert share > 0.9
    assert f"{share:.1%} of the largest score there can be (2)" in ran.err
    ran = run("defend", "--method", "squeeze-detector", "--squeezers", "bits:5", "-o", "d.safetensors")
    assert ran.code == 0
    assert "of the largest score" not in ran.err


@pytest.mark.parametrize(("score", "passes", "highest"), [("entropy", 50, math.log(10)), ("entropy", 4, math.log(4)), ("share", 50, 0.9), ("share", 4, 0.75), ("classes", 50, 10), ("classes", 4, 4)])  # fmt: skip
def test_the_largest_score_of_a_vote_is_that_of_votes_for_all_classes(score, passes, highest):
    model = Classifier(discovery.spec("architecture", "cnn").bind({})((1, 8, 8), 10), [0.0], [1.0], shape=(1, 8, 8), classes=10)
    detector = discovery.spec("defense", "dropout-detector").bind({"passes": passes, "score": score})(model)
    assert detector.highest(10) == pytest.approx(highest)


def test_a_detector_may_not_be_a_member(run, model):
    assert run("defend", "--method", "squeeze-detector", "-o", "d.safetensors").code == 0
    ran = run("defend", "--method", "vote", "--member", "d.safetensors", "-o", "v.safetensors")
    assert (ran.code, "cannot be a member" in ran.err) == (3, True)


def test_a_threshold_lies_on_no_score_that_many_images_have():
    counted = np.array([0.0, 0.0, 0.25, 0.25, 0.25, 0.75, 1.0])
    assert [threshold_at(counted, place) for place in (1, 2, 4, 5, 6)] == [0.125, 0.5, 0.5, 0.75, 1.0]
    assert threshold_at(np.array([0.0, 1.0, 1.0]), 2) == 1.0, "nothing lies beyond"


def test_what_a_detector_that_counts_votes_accepts_is_a_success(run, model):
    """A score that is the threshold itself would be accepted by no margin: no success, and yet wrong."""
    assert run("defend", "--method", "dropout-detector", "--model", "model.safetensors", "--passes", "10").code == 0
    ran = run("attack", "--model", "defended.safetensors", "--eps", "0.15", "--steps", "10", "--eot", "2", "--limit", "200")
    assert ran.code == 0, ran.err
    with ImageSet("adversarial.h5") as made:
        names = ("labels", "prediction", "clean_prediction", "success")
        label, decided, clean, success = (made.column(name) for name in names)
    fooled = (clean == label) & (decided != label) & (decided >= 0)
    assert fooled.sum() > 20
    assert (success.astype(bool) == fooled).all()


@pytest.mark.parametrize("found", [{}, {"threshold": "1"}, {"threshold": True, "unit": 1.0, "n": 1, "rejected": 0}, {"threshold": 0.5, "unit": 0.0, "n": 1, "rejected": 0}])  # fmt: skip
def test_metadata_with_nonsense_for_a_threshold_is_refused(run, model, found):
    assert run("defend", "--method", "squeeze-detector").code == 0
    kept = model_file.read("defended.safetensors")
    metadata = {**kept.metadata, "defenses": [{**kept.metadata["defenses"][0], "found": found}]}
    kept.path.write_bytes(model_file.packed(metadata, kept.tensors))
    with pytest.raises(InputError):
        model_file.read(kept.path)


def test_draws_reach_the_model_under_a_detector():
    class Drawing(nn.Module):
        def forward(self, x, draws=None):
            return Halfspace()(x) + draws.fork("noise").normal(2)

    x, draws = near_the_plane(4), SampleRNG(0, torch.arange(4))
    model = Bright(Drawing(), 0.0)
    assert torch.equal(model(x, draws), model(x, draws))
    assert not torch.equal(model(x, draws), model(x, SampleRNG(1, torch.arange(4))))


def test_the_binary_detector_sees_every_plain_attack_and_is_broken_by_one_that_goes_through_it(run, folder):
    """S0-D2, on the digits."""
    assert run("train").code == 0
    assert (
        run("defend", "--method", "detector", "--against", "fgsm:eps=0.1", "--epochs", "20", "-o", "seen.safetensors").code == 0
    )
    budget = ("--eps", "0.2", "--limit", "200")
    assert run("attack", "--method", "pgd", *budget, "-o", "static.h5").code == 0
    through = ("--model", "seen.safetensors", "--method", "apgd", "--steps", "100")
    assert run("attack", *through, *budget, "-o", "adaptive.h5").code == 0
    said = run("evaluate", "--model", "seen.safetensors", "static.h5", "adaptive.h5", "--metric", "success", "--json")
    static, adaptive = (row["value"] for row in json.loads(said.out)["rows"] if row["metric"] == "success")
    assert static < 0.02
    assert adaptive > 0.5


def test_a_detector_without_a_unit_is_one_below_every_image():
    x = torch.rand(3, 1, 2, 2)
    logits = Bright(Small((1, 2, 2), 3), 0.5, unit=0.0)(x)
    torch.testing.assert_close(logits[:, 3], logits[:, :3].amax(1) - 1)

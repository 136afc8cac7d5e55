"""Detectors that measure features: their formulas against other libraries, what is kept in a file, and attacks through them."""

import json

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.neighbors import KernelDensity
from torch import nn

from advcli.catalog import discovery
from advcli.defenses.kde import Density, log_density
from advcli.defenses.lid import log_lid
from advcli.defenses.mahalanobis import Ellipsoids
from advcli.errors import CommandError, InputError
from advcli.files.imageset_reader import ImageSet
from advcli.networks import build, model_file
from advcli.networks.classifier import Classifier
from advcli.networks.feature_detector import FeatureDetector
from advcli.numerics import reduction
from advcli.numerics.reduction import fitted, reduced, wanted
from advcli.numerics.rng import SampleRNG
from recipe_losses import DRAWS, LABEL, loss_of

METHODS = ["kde", "mahalanobis", "lid"]
SMALL = {"kde": [], "mahalanobis": [], "lid": ["--references", "200"]}


def features(count: int = 200, width: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    """Three classes around three points, spread most along the first directions."""
    draw = torch.Generator().manual_seed(0)
    label = torch.arange(count) % 3
    return torch.randn(count, width, generator=draw) * torch.linspace(3, 0.2, width) + label[:, None] * 1.5, label


def classifier(*layers: nn.Module, classes: int = 3) -> Classifier:
    return Classifier(nn.Sequential(*layers), [0.0], [1.0], shape=(1, 4, 4), classes=classes).eval()


def around(name: str, model: nn.Module, **options: object) -> FeatureDetector:
    """A detector around a model, fitted on features of random images."""
    found = build.wrap(discovery.spec("defense", name).bind(options), model, [], (1, 4, 4), 3)
    x, label = torch.rand(60, 1, 4, 4), torch.arange(60) % 3
    with torch.no_grad():
        seen, _ = found.measured(x, lambda: found.model(x))
    found.learned.adopt(found.learned.fit(seen, label, 0)[0], "here")
    found.adopt({"threshold": 0.0, "unit": 1.0, "layers": found.layers})
    return found.eval()


def test_a_density_of_one_dimension_integrates_to_one():
    """S2-D3: of every class, with the bandwidth that the fit chooses; other numbers of references for each class."""
    f, label = features()
    label = torch.where(label == 2, torch.where(torch.arange(len(label)) < 60, 2, 1), label)
    density = Density(wanted("pca:1"), 500, 3)
    tensors, figures = density.fit([f], label, 0)
    density.adopt(tensors, "here")
    assert figures["dimensions"] == 1
    assert len(set(tensors["count"].tolist())) == 3
    line = torch.linspace(-40, 40, 4001)
    points = line[:, None] * density.first + density.centre
    for k in range(3):
        held = (-density.score([points], torch.full((4001,), k))).double().exp()
        assert float(torch.trapezoid(held, line.double())) == pytest.approx(1, abs=1e-3)


def test_the_density_is_scikit_learns():
    r, known = torch.randn(7, 4), torch.randn(30, 4)
    wanted_ = KernelDensity(bandwidth=0.6).fit(known.numpy()).score_samples(r.numpy())
    padded = torch.cat([known, torch.full((5, 4), 0.1)])[None].expand(7, -1, -1)
    found = log_density(r, padded, torch.full((7,), 30.0), torch.tensor([0.6]))
    np.testing.assert_allclose(found.numpy(), wanted_, rtol=1e-4)


def test_far_from_all_references_a_density_still_has_a_gradient():
    r = torch.full((1, 4), 500.0, requires_grad=True)
    log_density(r, torch.zeros(1, 3, 4), torch.tensor([3.0]), torch.tensor([0.1])).sum().backward()
    assert torch.isfinite(r.grad).all()
    assert (r.grad < 0).all()


@pytest.mark.parametrize("share", [0.68, 0.7, 0.72, 0.9])
def test_components_keep_the_share_of_variance_that_scikit_learn_counts(share):
    """S2-D3: the share is selectable."""
    f, _ = features()
    tensors, kept = fitted(f, wanted(f"pca:{share}"), 0)
    theirs = PCA().fit(f.numpy()).explained_variance_ratio_.cumsum()
    assert len(tensors["first"]) == 1 + int((theirs < share).sum())
    assert kept == pytest.approx(theirs[len(tensors["first"]) - 1], abs=1e-5)
    back = reduced(f, tensors) @ tensors["first"] + tensors["centre"]
    assert kept == pytest.approx(1 - float((f - back).square().sum() / (f - f.mean(0)).square().sum()), abs=1e-4)


def test_an_autoencoder_stops_at_its_share_and_a_wider_one_keeps_more(monkeypatch):
    """S2-D3: 68 to 72 %."""
    monkeypatch.setattr(reduction, "STEPS", 200)
    f, _ = features()
    before = torch.get_rng_state()
    tensors, kept = fitted(f, wanted("ae:0.7"), 0)
    assert torch.equal(before, torch.get_rng_state())
    assert 0.68 <= kept <= 0.72
    assert reduced(f, tensors).shape == (200, len(tensors["second"]))
    again, same = fitted(f, wanted("ae:0.7"), 0)
    assert kept == same
    assert all(torch.equal(again[name], tensors[name]) for name in tensors)
    assert fitted(f, wanted("ae:10"), 0)[1] > kept


@pytest.mark.parametrize("text", ["pca", "pca:0", "pca:1.5", "ae:-1", "svd:3", "", "pca:nan"])
def test_a_reduction_is_a_kind_and_a_number(text):
    with pytest.raises(CommandError, match="--reduce"):
        discovery.spec("defense", "kde").bind({"reduce": text})(classifier(nn.Flatten(), nn.Linear(16, 3)), (1, 4, 4), 3)


def test_the_distance_of_mahalanobis_is_that_of_its_formula():
    f, label = features()
    one = Ellipsoids(0.1, 3)
    one.adopt(one.fit([f], label, 0)[0], "here")
    x, means = f.double().numpy(), np.stack([f[label == k].double().mean(0).numpy() for k in range(3)])
    centred = x - means[label.numpy()]
    spread = centred.T @ centred / len(x)
    inverse = np.linalg.inv(0.9 * spread + 0.1 * np.trace(spread) / 12 * np.eye(12))
    far = np.einsum("nkd,de,nke->nk", x[:, None] - means, inverse, x[:, None] - means).min(1) / 12
    np.testing.assert_allclose(one.score([f], label).numpy(), far, rtol=1e-3, atol=1e-4)


def test_the_dimensionality_is_that_of_its_formula_and_of_the_plane_that_the_references_fill():
    draw = torch.Generator().manual_seed(0)
    for size in (2, 6):
        known = torch.cat([torch.rand(3000, size, generator=draw), torch.zeros(3000, 4)], 1)
        x = known[:50] + 1e-3
        far = np.sort(np.linalg.norm(x.numpy()[:, None] - known.numpy(), axis=2), 1)[:, :100]
        by_hand = -1 / np.log(far / far[:, -1:]).mean(1)
        found = log_lid(x, known, 100).exp().numpy()
        np.testing.assert_allclose(found, by_hand, rtol=1e-2)
        assert 0.6 * size < np.median(found) < 1.3 * size


@pytest.mark.parametrize("name", METHODS)
def test_a_score_depends_on_no_other_image_and_has_a_gradient(name):
    model = around(name, classifier(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3)))
    x = torch.rand(9, 1, 4, 4, requires_grad=True)
    whole = model.score(x)[0]
    alone = torch.cat([model.score(x[k : k + 1])[0] for k in range(9)])
    torch.testing.assert_close(whole, alone, rtol=1e-4, atol=1e-4)
    slope = torch.autograd.grad(whole.sum(), x)[0]
    assert torch.isfinite(slope).all()
    assert (slope.flatten(1).abs().sum(1) > 0).all()


@pytest.mark.parametrize("name", METHODS)
def test_the_last_layer_may_be_a_convolution(name):
    model = around(name, classifier(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Conv2d(6, 3, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    assert model.layers == (["2"] if name == "kde" else ["0", "2"])
    assert model.learned.widths[-1] == 6


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(16, 3))

    def forward(self, x):
        return x.flatten(1) @ self.w


@pytest.mark.parametrize("name", METHODS)
def test_a_model_without_features_is_refused_by_name(name):
    with pytest.raises(CommandError, match=r"\(Functional\) has no features"):
        around(name, Classifier(Functional(), [0.0], [1.0], shape=(1, 4, 4), classes=3))


def test_above_a_defense_that_runs_the_network_several_times_it_is_refused_and_below_it_works():
    net = classifier(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))
    voting = build.wrap(discovery.spec("defense", "average").bind({"samples": 3}), net, [], (1, 4, 4), 3)
    detector = build.wrap(discovery.spec("defense", "kde").bind({}), voting, [], (1, 4, 4), 3)
    draws = SampleRNG(0, torch.arange(2))
    with pytest.raises(CommandError, match="directly around the network"):
        detector(torch.rand(2, 1, 4, 4), draws)
    above = build.wrap(discovery.spec("defense", "squeeze-detector").bind({}), around("kde", net), [], (1, 4, 4), 3)
    assert above(torch.rand(2, 1, 4, 4), draws).shape == (2, 4)


@pytest.mark.parametrize("name", METHODS)
def test_it_is_kept_in_its_file_attacked_through_and_broken(run, model, name):
    """S2-D3 and the two beside it, on the digits: the same bytes again, the same answers, and an attack that goes through it."""
    ran = run("defend", "--method", name, *SMALL[name], "--limit", "600")
    assert ran.code == 0, ran.err
    assert "features: the input of layer" in ran.err
    kept = model_file.read("defended.safetensors")
    found, first = kept.metadata["defenses"][0]["found"], kept.path.read_bytes()
    assert found["n"] == 130
    if name == "kde":
        assert 0.68 <= found["explained"] <= 0.85
        assert f"keep {found['explained']:.1%} of its variance" in ran.err
    said = json.loads(run("show", "defended.safetensors", "--json").out)[0]["command"]
    x = torch.rand(5, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(kept.module()(x), model_file.read(kept.path).module()(x))
    kept.path.unlink()
    assert run(*said.split()[1:]).code == 0
    assert kept.path.read_bytes() == first
    budget = ("--eps", "0.2", "--limit", "60", "--steps", "20", "--no-perturbations")
    assert run("attack", *budget, "-o", "static.h5").code == 0
    assert run("attack", "--model", "defended.safetensors", *budget, "-o", "adaptive.h5").code == 0
    assert run("verify", "adaptive.h5").code == 0
    rows = run("evaluate", "--model", "defended.safetensors", "static.h5", "adaptive.h5", "--metric", "success", "--json").out
    static, adaptive = (row["value"] for row in json.loads(rows)["rows"])
    assert adaptive >= max(static, 0.5)


@pytest.mark.parametrize("name", METHODS)
def test_statistics_of_a_file_that_do_not_fit_are_refused(run, model, name):
    assert run("defend", "--method", name, *SMALL[name], "--limit", "600").code == 0
    kept = model_file.read("defended.safetensors")
    mine = max(one for one in kept.tensors if one.startswith("defense/0/"))
    entry = kept.metadata["defenses"][0]
    for tensors, found in (
        ({one: tensor for one, tensor in kept.tensors.items() if one != mine}, {}),
        ({**kept.tensors, mine: kept.tensors[mine][:1]}, {}),
        ({**kept.tensors, mine: kept.tensors[mine].double()}, {}),
        ({**kept.tensors, "defense/0/more": torch.zeros(1)}, {}),
        (kept.tensors, {"layers": [3]}),
        (kept.tensors, {"layers": ["nowhere"] * len(entry["found"]["layers"])}),
    ):
        changed = {**kept.metadata, "defenses": [{**entry, "found": {**entry["found"], **found}}]}
        kept.path.write_bytes(model_file.packed(changed, tensors))
        with pytest.raises(InputError):
            model_file.read(kept.path).module()(torch.zeros(1, 1, 8, 8))


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["kde", "--data", "digits:test"], 3, "trained on clean images of the train split"),
        (["kde", "--limit", "9"], 3, "has 0 images to fit on"),
        (["lid", "--limit", "15"], 3, "too few for 20 neighbours"),
        (["lid", "--references", "10"], 2, "larger than --neighbours"),
        (["mahalanobis", "--against", "fgsm"], 2, "has no option --against"),
    ],
)
def test_what_features_cannot_be_fitted_on_is_refused(run, model, words, code, says):
    ran = run("defend", "--method", *words)
    assert ran.code == code, ran.err
    assert says in ran.err


def test_the_confidence_recipe_adds_the_density_of_the_true_class():
    """S2-D3, its regularising form."""
    net = classifier(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))
    student = classifier(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))
    teacher, x = around("kde", net), torch.rand(6, 1, 4, 4)
    teacher.adopt({"threshold": 0.0, "unit": 2.5, "layers": teacher.layers})
    found = loss_of("kde-confidence", student, x, LABEL, teacher=teacher, lambda_=0.3)
    inner = student.network[:3](x)
    beside = nn.functional.cross_entropy(student(x), LABEL, reduction="none")
    torch.testing.assert_close(found, beside + 0.3 * teacher.learned.score([inner], LABEL) / 2.5)
    found.sum().backward()
    assert student.network[1].weight.grad.abs().sum() > 0
    assert loss_of("kde-confidence", student, x, LABEL, teacher=teacher, lambda_=0.0).equal(beside)
    with pytest.raises(CommandError, match="not a model behind kde"):
        loss_of("kde-confidence", student, x, LABEL, teacher=net)
    assert len(DRAWS.ids) == len(x)


def test_training_with_the_density_makes_features_more_natural_and_needs_a_kde(run, model):
    """S2-D3, its regularising form, on the digits."""
    assert run("defend", "--method", "kde", "--limit", "600", "-o", "kde.safetensors").code == 0
    quick = ["train", "--epochs", "4", "--limit", "400"]
    for teacher in ("model.safetensors", "nowhere.safetensors"):
        ran = run(*quick, "--recipe", "kde-confidence", "--teacher", teacher, "-o", "no.safetensors")
        assert (ran.code, teacher in ran.err) == (3, True)
    taught = ["--recipe", "kde-confidence", "--teacher", "kde.safetensors"]
    density, scores = model_file.read("kde.safetensors").module(), []
    for words in (["--lambda", "0"], ["--lambda", "1"]):
        assert run(*quick, *taught, *words, "-o", "new.safetensors", "--force").code == 0
        new = model_file.read("new.safetensors").module()
        x = discovery_digits()
        with torch.no_grad():
            seen = new.network[:-1](x)
            scores.append(float(density.learned.score([seen], new(x).argmax(1)).median()))
    assert scores[1] < scores[0]
    assert "--teacher kde.safetensors" in run("show", "new.safetensors").out


def discovery_digits() -> torch.Tensor:
    return discovery.spec("source", "digits").load()("val").pictures(0, 100)


def test_an_image_set_made_through_a_detector_states_its_victim(run, model):
    assert run("defend", "--method", "mahalanobis", "--limit", "600").code == 0
    assert run("attack", "--model", "defended.safetensors", "--method", "fgsm", "--limit", "10").code == 0
    with ImageSet("adversarial.h5") as made:
        assert made.header["victim"]["defenses"][0]["found"]["layers"] == ["9", "12"]

"""Attacks that read a model's structure: exact on a tree and on a linear model, verified on a forest and on neighbours."""

import itertools
import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from advcli.catalog import discovery
from advcli.datasets.digits import digits
from advcli.errors import CommandError, InputError
from advcli.networks.classifier import Classifier
from advcli.networks.scikit_learn import LINEAR
from advcli.networks.structure import structure_of
from advcli.numerics.balls import distance
from advcli.training.inner_attack import inner_attack
from conftest import Halfspace, attacked, near_the_plane
from small_networks import Affine, Small, pictures

SHAPE, CLASSES = (1, 2, 3), 3
NORMS = ("l2", "linf", "l1", "l0")


@cache
def random_tree(seed: int, arch: str = "tree", **options: int) -> Classifier:
    """A small tree or forest that was fitted to noise."""
    draw = np.random.default_rng(seed)
    network = discovery.spec("architecture", arch).bind(options)(SHAPE, CLASSES)
    network.fit(draw.random((40, 6)).astype(np.float32), np.arange(40) % CLASSES, seed)
    return Classifier(network, [0.0], [1.0], shape=SHAPE, classes=CLASSES).eval()


def some_images(count: int = 12) -> torch.Tensor:
    return torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(7))


def by_recursion(arrays, node, low, high):
    """Every leaf under a node, as (low, high, shares, length of the path)."""
    if arrays["left"][node] < 0:
        yield low, high, arrays["share"][node], 0
        return
    f, t = int(arrays["feature"][node]), arrays["threshold"][node].item()
    left, right = high.copy(), low.copy()
    left[f], right[f] = min(high[f], t), max(low[f], t)
    for child, a, b in ((arrays["left"][node], low, left), (arrays["right"][node], right, high)):
        for one in by_recursion(arrays, int(child), a, b):
            yield (*one[:3], one[3] + 1)


def nearest_by_force(model, x, label, norm):
    """The least distance to a leaf of another class, and the longest path of the tree."""
    arrays = dict(model.network.named_buffers())
    leaves = list(by_recursion(arrays, 0, np.full(6, -np.inf), np.full(6, np.inf)))
    least = np.inf
    for low, high, share, _ in leaves:
        if int(share.argmax()) == label or (low >= 1).any() or (high < 0).any():
            continue
        change = np.abs(np.clip(x.numpy().ravel().astype(float), low, high) - x.numpy().ravel())
        change = np.where(x.numpy().ravel() <= low, np.maximum(change, 1e-9), change)  # low itself is not in the leaf
        size = {"linf": change.max(), "l2": np.linalg.norm(change), "l1": change.sum(), "l0": (change > 0).sum()}[norm]
        least = min(least, size)
    return least, max(length for *_, length in leaves)


@pytest.mark.parametrize("norm", NORMS)
def test_on_a_tree_the_nearest_leaf_of_another_class_is_found(norm):
    """S2-A6: success on every image of its own tree, at the least distance that all leaves give, along one path."""
    x = some_images()
    for seed in range(6):
        model = random_tree(seed)
        label = model(x).argmax(1)
        made = attacked("tree", model, x, label, options={"norm": norm})
        images = torch.from_numpy(made["images"])
        found = distance(images, x, norm).numpy()
        least = [nearest_by_force(model, one, own, norm) for one, own in zip(x, label, strict=True)]
        np.testing.assert_allclose(found, [far for far, _ in least], atol=1e-6, rtol=1e-6)
        assert made["success"].all()
        assert ((images != x).flatten(1).sum(1) <= least[0][1]).all()
        assert images.min() >= 0
        assert images.max() <= 1


def test_on_a_tree_a_target_is_reached_too():
    model, x = random_tree(1), some_images()
    made = attacked("tree", model, x, model(x).argmax(1), target="next")
    assert made["success"].all()
    assert (model(torch.from_numpy(made["images"])).argmax(1).numpy() == made["target"]).all()


def test_a_leaf_that_no_image_reaches_is_no_success():
    """S2-A6: within [0, 1] there may be no leaf of another class; the row holds the original."""
    model = Classifier(discovery.spec("architecture", "tree").bind({})(SHAPE, 2), [0.0], [1.0], shape=SHAPE, classes=2)
    x = np.full((8, 6), 0.5, np.float32)
    x[:4, 2] = -3  # images that were never clipped: the threshold lies below black
    model.network.fit(x, np.arange(8) // 4, 0)
    inside = some_images()
    assert set(model(inside).argmax(1).tolist()) == {1}
    made = attacked("tree", model, inside, torch.ones(12, dtype=torch.int64))
    assert not made["success"].any()
    assert (made["images"] == inside.numpy()).all()


@pytest.mark.parametrize("norm", NORMS)
def test_on_a_forest_the_forest_itself_decides(norm):
    x = some_images()
    model = random_tree(3, "forest", count=9)
    label = model(x).argmax(1)
    made = attacked("tree", model, x, label, options={"norm": norm})
    images, won = torch.from_numpy(made["images"]), torch.from_numpy(made["success"]).bool()
    assert won.float().mean() >= 0.9
    assert (model(images).argmax(1) != label)[won].all()


def exact_on_a_forest(model, x, label):
    """The least l2 distance at which a small forest decides otherwise: all combinations of its leaves."""
    arrays = dict(model.network.named_buffers())
    bounds = np.full(6, -np.inf), np.full(6, np.inf)
    trees = [list(by_recursion(arrays, int(root), *bounds)) for root in arrays["root"]]
    flat, least = x.numpy().ravel().astype(float), np.inf
    for each in itertools.product(*trees):
        low, high = np.max([one[0] for one in each], 0), np.min([one[1] for one in each], 0)
        share = torch.stack([one[2] for one in each]).mean(0)
        first, second = share.topk(2).values
        if (low < high).all() and (low < 1).all() and (high >= 0).all() and share.argmax() != label and first > second + 1e-4:
            least = min(least, np.linalg.norm(np.clip(flat, low, high) - flat))
    return least


def test_on_a_small_forest_the_best_found_is_near_the_least():
    x, ratios = some_images(), []
    for seed in range(4):
        model = random_tree(seed, "forest", count=3, depth=3)
        label = model(x).argmax(1)
        made = attacked("tree", model, x, label)
        assert made["success"].all()
        found = distance(torch.from_numpy(made["images"]), x, "l2").numpy()
        exact = np.array([exact_on_a_forest(model, one, own) for one, own in zip(x, label, strict=True)])
        assert (found >= exact - 1e-6).all()
        ratios += (found / exact.clip(1e-6)).tolist()
    assert np.median(ratios) <= 1.05


@cache
def neighbours(count: int = 5) -> Classifier:
    data = digits("train").selected(None, 200, None)
    network = discovery.spec("architecture", "knn").bind({"neighbours": count})(data.shape, 10)
    network.fit(data.batch(0, 200)[0].flatten(1).numpy(), data.labels, 0)
    return Classifier(network, [0.0], [1.0], shape=data.shape, classes=10).eval()


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("count", [1, 4, 5])
def test_neighbours_are_outvoted_within_the_budget(norm, count):
    """S2-A6: a smooth distance is followed where the vote itself has no gradient."""
    model, data = neighbours(count), digits("test").selected(None, 20, None)
    x = data.batch(0, 20)[0]
    label = model(x).argmax(1)
    eps = {"linf": 0.3, "l2": 1.6, "l1": 10}[norm]
    made = attacked("knn", model, x, label, str(eps), options={"norm": norm})
    images = torch.from_numpy(made["images"])
    assert made["success"].mean() >= 0.9
    assert (distance(images, x, norm) <= eps + 1e-5).all()
    once = attacked("knn", model, x, label, str(eps), options={"norm": norm, "steps": 1, "step_size": "eps"})
    assert 0 < once["success"].mean() <= made["success"].mean()
    towards = attacked("knn", model, x, label, str(2 * eps), options={"norm": norm}, target="next")
    assert towards["success"].mean() >= 0.5


def test_one_neighbour_is_beaten_at_the_bisecting_plane():
    """With one reference of each class the boundary is the plane between them; the attack wins just beyond it."""
    network = discovery.spec("architecture", "knn").bind({"neighbours": 1})(SHAPE, 2)
    a, b = torch.full((6,), 0.2), torch.full((6,), 0.8)
    network.fit(torch.stack([a, b]).numpy(), np.array([0, 1]), 0)
    model = Classifier(network, [0.0], [1.0], shape=SHAPE, classes=2).eval()
    x = 0.3 + 0.05 * some_images()
    far = (0.5 - x).flatten(1).mean(1)  # in linf
    for k, one in enumerate(far.tolist()):
        for share, wins in ((1.01, True), (0.99, False)):
            made = attacked("knn", model, x[k : k + 1], torch.zeros(1, dtype=torch.int64), f"{share * one:.7f}")
            assert bool(made["success"][0]) == wins


@pytest.mark.parametrize("norm", ["l2", "linf", "l1"])
def test_a_linear_machine_of_two_classes_is_as_far_as_its_formula_says(norm):
    """S2-A6: |w x + b| / ||w|| of the dual norm, for scikit-learn's linear machine."""
    draw = np.random.default_rng(0)
    x = (0.4 + 0.2 * draw.random((80, 6))).astype(np.float32)
    label = (x @ np.linspace(-1, 1, 6) > 0).astype(int)
    network = discovery.spec("architecture", "svm").bind({"inverse_penalty": 100.0})(SHAPE, 2)
    network.fit(x, label, 0)
    assert set(network.kinds) == set(LINEAR)
    w = network.weight[1] - network.weight[0]
    score = torch.from_numpy(x) @ w + network.bias[1] - network.bias[0]
    exact = (score.abs() / w.norm({"l2": 2, "linf": 1, "l1": torch.inf}[norm])).double()
    images = torch.from_numpy(x).view(-1, *SHAPE)
    model = Classifier(network, [0.0], [1.0], shape=SHAPE, classes=2).eval()
    made = attacked("svm", model, images, (score > 0).long(), options={"norm": norm})
    assert made["success"].all()
    ratio = distance(torch.from_numpy(made["images"]), images, norm) / exact
    free = exact < 0.3  # no pixel meets black or white there
    assert free.sum() > 20
    assert (ratio[free] >= 1 - 1e-5).all()
    assert (ratio[free] <= 1.001).all()


def test_an_overshoot_lengthens_the_perturbation():
    model, x = Halfspace(), near_the_plane()
    label = model(x).argmax(1)
    once, twice = (attacked("svm", model, x, label, options={"overshoot": v})["images"] - x.numpy() for v in (0.0, 1.0))
    np.testing.assert_allclose(twice, 2 * once, atol=1e-6)


def test_more_classes_than_are_looked_at_together_are_all_compared():
    model, x = Affine((1, 3, 4), 25), pictures((1, 3, 4))
    label = model(x).argmax(1)
    made = attacked("svm", model, x, label)
    ratio = distance(torch.from_numpy(made["images"]), x, "l2") / model.distance(x, label, "l2")
    assert made["success"].all()
    assert (ratio <= 1.001).all()


@pytest.mark.parametrize(
    ("method", "model"), [("tree", random_tree(2)), ("tree", random_tree(2, "forest", count=5)), ("knn", None)]
)
def test_a_result_does_not_depend_on_the_batch(method, model):
    model, x = model or neighbours(), some_images(9) if model else digits("test").batch(0, 9)[0]
    label = model(x).argmax(1)
    made = [attacked(method, model, x, label, "0.2", batch=size) for size in (1, 4, 9)]
    for other in made[1:]:
        assert (other["success"] == made[0]["success"]).all()
        np.testing.assert_allclose(other["images"], made[0]["images"], atol=1e-6)
    wrong = attacked(method, model, x, (label + 1) % 3, "0.2")
    assert wrong["queries"].sum() == 0
    assert not wrong["success"].any()


@pytest.mark.parametrize("arch", ["tree", "forest", "knn"])
def test_the_structure_is_in_pixels_behind_a_normalisation(arch):
    """A model that normalises is attacked as the same model that does not."""
    draw, x, made = np.random.default_rng(0), some_images(), []
    seen = draw.random((40, 6)).astype(np.float32)
    for mean, std in ((0.0, 1.0), (0.4, 0.25)):
        network = discovery.spec("architecture", arch).bind({"count": 5} if arch == "forest" else {})(SHAPE, CLASSES)
        network.fit((seen - np.float32(mean)) / np.float32(std), np.arange(40) % CLASSES, 0)
        model = Classifier(network, [mean], [std], shape=SHAPE, classes=CLASSES).eval()
        made.append(attacked("knn" if arch == "knn" else "tree", model, x, model(x).argmax(1), "0.3"))
    assert made[0]["success"].sum() >= 3
    assert (made[0]["success"] == made[1]["success"]).all()
    np.testing.assert_allclose(made[1]["images"], made[0]["images"], atol=1e-4)


def test_a_model_of_another_kind_is_refused_inside_another_method_too():
    model, x = Small(SHAPE, 3), some_images()
    assert structure_of(model) is None
    for method, words in (("tree", "leaves"), ("knn", "references")):
        with pytest.raises(InputError, match=words):
            attacked(method, model, x, model(x).argmax(1))
    with pytest.raises(CommandError, match="models of one kind"):
        inner_attack("knn:eps=0.1", 1)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A tree and neighbours of the embedded digits."""
    from advcli.cli.app import main

    root = tmp_path_factory.mktemp("models")
    for arch in ("tree", "knn", "svm"):
        more = ["--references", "200"] if arch == "knn" else []
        assert main(["train", "--arch", arch, *more, "-o", str(root / f"{arch}.safetensors"), "--quiet"]) == 0
    return root


@pytest.mark.parametrize("method", ["tree", "knn", "svm"])
def test_on_its_own_model_it_is_white_box_and_on_others_transfer(method, models, run, folder):
    """S2-A6, S2-S3: each is a source of the matrix, and supports a claim about its own model only."""
    names = ("tree", "knn", "svm")
    words = [] if method != "knn" else ["--eps", "0.3"]
    ran = run("attack", "--method", method, "--model", models / f"{method}.safetensors", "--limit", "30", *words)
    assert ran.code == 0, ran.err
    given = [word for name in names for word in ("--model", models / f"{name}.safetensors")]
    ran = run("evaluate", "adversarial.h5", *given, "--metric", "transfer", "--json")
    rows = json.loads(ran.out)["rows"]
    own = [row for row in rows if Path(row["model"]).stem == method]
    assert {row["threat"]["knowledge"] for row in own} == {"white-box"}
    assert {row["threat"]["knowledge"] for row in rows if row not in own} == {"transfer"}
    assert all(row["value"] >= 0.9 for row in own)
    bar = ["evaluate", "adversarial.h5", "--fail-under", "robust_accuracy=0", *([] if words else ["--eps", "0.3"])]
    assert run(*bar, "--model", models / f"{method}.safetensors").code == 0
    assert run(*bar, "--model", models / f"{'svm' if method == 'tree' else 'tree'}.safetensors").code == 1
    assert run("verify", "adversarial.h5", "--model", models / f"{method}.safetensors").code == 0


@pytest.mark.parametrize(
    ("method", "arch", "words"),
    [("tree", "knn", "not a decision tree"), ("knn", "tree", "not a vote of nearest"), ("svm", "tree", "not a linear model")],
)
def test_a_model_of_another_kind_is_refused_in_one_line(method, arch, words, models, run, folder):
    ran = run("attack", "--method", method, "--model", models / f"{arch}.safetensors", "--limit", "10")
    assert ran.code == 3
    assert words in ran.err
    assert not list(folder.iterdir())


def test_a_defense_hides_the_structure(models, run, folder):
    assert run("defend", "--method", "squeeze", "--model", models / "tree.safetensors").code == 0
    ran = run("attack", "--method", "tree", "--model", "defended.safetensors", "--limit", "10")
    assert ran.code == 3
    assert "--static" in ran.err
    assert run("attack", "--method", "tree", "--model", "defended.safetensors", "--limit", "10", "--static").code == 0


def test_who_has_no_gradient_is_told_of_the_attack_on_its_structure(models, run, folder):
    for arch, method in (("tree", "tree"), ("knn", "knn")):
        ran = run("attack", "--method", "apgd", "--model", models / f"{arch}.safetensors", "--limit", "10")
        assert ran.code == 3
        assert f"--method {method}," in ran.err

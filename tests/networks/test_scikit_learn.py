"""scikit-learn's families: the module answers as the estimator does, and no estimator is stored."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from advcli.catalog import discovery
from advcli.datasets.digits import digits
from advcli.errors import AdvcliError, InputError
from advcli.images.dataset import stratified
from advcli.networks import model_file, scikit_trees

FAMILIES = {
    "logreg": ({}, lambda: LogisticRegression(C=0.1, max_iter=100, tol=1e-3, random_state=0)),
    "svm": ({}, lambda: LinearSVC(C=0.01, dual=False, tol=1e-3, random_state=0)),
    "tree": ({}, lambda: DecisionTreeClassifier(random_state=0)),
    "forest": ({"count": 20}, lambda: RandomForestClassifier(20, random_state=0)),
    "knn": ({"references": 500}, lambda: KNeighborsClassifier(5)),
}


def flat(split):
    data = digits(split)
    return data.batch(0, len(data))[0].flatten(1).numpy(), data.labels


def fitted(name, options=None, classes=10):
    module = discovery.spec("architecture", name).bind(options or {})((1, 8, 8), classes)
    x, label = flat("train")
    keep = label < classes
    module.fit(x[keep], label[keep], 0)
    return module.eval()


def differing(module, wanted, x):
    """Images on which the answers differ beyond the last bits of single precision."""
    with torch.no_grad():
        logits = module(torch.from_numpy(x).view(len(x), 1, 8, 8))
    top = logits.topk(2, 1).values
    close = (top[:, 0] - top[:, 1]) < 1e-5 * logits.abs().amax(1).clamp_min(1)
    return np.flatnonzero((logits.argmax(1).numpy() != wanted) & ~close.numpy())


@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_module_answers_as_scikit_learn_does(name, classes):
    options, estimator = FAMILIES[name]
    x, label = flat("train")
    keep = label < classes
    x, label = x[keep], label[keep]
    if name == "knn":
        chosen = np.flatnonzero(stratified(label, min(500, len(label)), "knn/0"))
        oracle = estimator().fit(x[chosen], label[chosen])
    else:
        oracle = estimator().fit(x, label)
    test, _ = flat("test")
    assert not len(differing(fitted(name, options, classes), oracle.predict(test), test))


@pytest.mark.parametrize("classes", [2, 10])
def test_the_gaussian_machine_has_scikit_learns_scores(classes):
    x, label = flat("train")
    x, label = x[label < classes], label[label < classes]
    module, (test, _) = fitted("svm", {"kernel": "rbf", "gamma": 0.1}, classes), flat("test")
    wanted = [SVC(C=5.0, gamma=0.1, random_state=0).fit(x, label == k).decision_function(test) for k in range(classes)]
    with torch.no_grad():
        np.testing.assert_allclose(module(torch.from_numpy(test)).numpy(), np.stack(wanted, 1), atol=2e-4)


@pytest.mark.parametrize("name", [*FAMILIES, "svm --kernel rbf"])
def test_trained_stored_loaded_attacked_evaluated(name, run, folder):
    command = ["train", "--arch", *name.split(), *(["--count", "10"] if name == "forest" else [])]
    ran = run(*command)
    assert ran.code == 0, ran.err
    data = Path("model.safetensors").read_bytes()
    assert b"sklearn" not in data
    ran = run("evaluate", "--fail-under", "accuracy=0.7")
    assert ran.code == 0, ran.err + ran.out
    differentiable = name.split()[0] in ("logreg", "svm")
    ran = run("attack", "--method", "fgsm" if differentiable else "square", "--eps", "0.2", "--limit", "60")
    assert ran.code == 0, ran.err
    assert run("verify", "adversarial.h5").code == 0
    model = model_file.read("model.safetensors").module()
    x = torch.rand(3, 1, 8, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(model(x).sum(), x)
    assert bool(gradient.abs().sum() > 0) == differentiable
    before = data
    assert run(*command, "-o", "again.safetensors").code == 0
    assert Path("again.safetensors").read_bytes() == before


def test_options_of_the_loop_are_refused(run, folder):
    for option in (["--lr", "1"], ["--augment", "flip"], ["--schedule", "cosine"], ["--epochs", "3"], ["--optimizer", "sgd"]):
        ran = run("train", "--arch", "tree", *option)
        assert ran.code == 2
        assert option[0] in ran.err
    assert not list(folder.iterdir())


def test_thresholds_part_the_same_numbers_in_single_precision():
    draw = np.random.default_rng(0)
    thresholds = draw.random(2000)
    x = np.concatenate(
        [thresholds.astype(np.float32), np.nextafter(thresholds.astype(np.float32), np.float32(2)), draw.random(2000, np.float32)]
    )
    single = scikit_trees.rounded_down(thresholds)
    for x_one in x[::7]:
        np.testing.assert_array_equal(x_one <= thresholds, x_one <= single)


@pytest.mark.parametrize("change", [
    ("left", lambda t: t.clone().fill_(0)), ("right", lambda t: t * 0), ("feature", lambda t: t + 64), ("feature", lambda t: t - 65),
    ("left", lambda t: t.clamp_min(10**6)), ("root", lambda t: t - 1), ("root", lambda t: t + 10**9), ("root", lambda t: t[:0]),
    ("share", lambda t: t[:, :3]), ("threshold", lambda t: t[:-1]), ("threshold", lambda t: t.double()), ("left", lambda t: t.float()),
])  # fmt: skip
def test_a_tree_that_would_not_end_is_refused(change):
    name, to = change
    module = fitted("tree")
    arrays = dict(module.state_dict())
    fresh = discovery.spec("architecture", "tree").bind({})((1, 8, 8), 10)
    fresh.adopt(arrays, "x")
    with pytest.raises(InputError, match="arrays"):
        discovery.spec("architecture", "tree").bind({})((1, 8, 8), 10).adopt({**arrays, name: to(arrays[name])}, "x")


@pytest.mark.skipif("ADVCLI_TEST_SHARED" not in os.environ, reason="needs MNIST")
@pytest.mark.parametrize("name", FAMILIES)
def test_module_and_estimator_agree_on_all_of_mnists_test_split(name, capsys):
    """Learned from 10,000 training images. Answers that differ must be ties to the last bits, and are listed."""
    from advcli.datasets.mnist import mnist
    from advcli.images.downloads import Library

    where = Library(Path(os.environ["ADVCLI_TEST_SHARED"]))
    train, test = mnist("train", where), mnist("test", where)
    kept = np.flatnonzero(stratified(train.labels, 10_000, "knn/0"))
    x, label = train.read(kept).flatten(1).numpy(), train.labels[kept]
    options, estimator = FAMILIES[name]
    module = discovery.spec("architecture", name).bind({k: v for k, v in options.items() if name != "knn"})((1, 28, 28), 10)
    module.fit(x, label, 0)
    asked = test.batch(0, 10_000)[0]
    wanted = estimator().fit(x, label).predict(asked.flatten(1).numpy())
    with torch.no_grad():
        logits = torch.cat([module(asked[i : i + 500]) for i in range(0, 10_000, 500)])
    other = np.flatnonzero(logits.argmax(1).numpy() != wanted)
    top = logits[other].topk(2, 1).values
    with capsys.disabled():
        print(f"\n{name}: {len(other)} of 10,000 differ{': images ' + ', '.join(map(str, other)) if len(other) else ''}")
    assert len(other) <= 20
    assert bool(((top[:, 0] - top[:, 1]) < 1e-5 * top[:, 0].abs().clamp_min(1)).all())


@pytest.mark.parametrize("name", [*FAMILIES, "svm:kernel=rbf"])
def test_a_class_without_images_never_wins(name):
    spec, typed = discovery.parse_method("architecture", name)
    module = spec.bind(typed)((1, 8, 8), 10)
    x, label = flat("train")
    keep = ~np.isin(label, (0, 5, 9))
    module.fit(x[keep], label[keep], 0)
    test, truth = flat("test")
    seen = torch.cat([torch.from_numpy(test), torch.rand(200, 64), torch.zeros(1, 64), torch.ones(1, 64)]).view(-1, 1, 8, 8)
    with torch.no_grad():
        decided = module.eval()(seen).argmax(1).numpy()
    assert not np.isin(decided, (0, 5, 9)).any()
    among = ~np.isin(truth, (0, 5, 9))
    assert (decided[: len(test)][among] == truth[among]).mean() > 0.7


def test_images_of_one_class_are_refused_in_words():
    module = discovery.spec("architecture", "logreg").bind({})((1, 8, 8), 10)
    with pytest.raises(AdvcliError, match="scikit-learn cannot fit these 9 images"):
        module.fit(np.zeros((9, 64), np.float32), np.zeros(9, np.int64), 0)


def test_a_tree_of_images_of_one_pixel_reads_that_pixel_alone():
    """Also in its leaves, which compare nothing."""
    module = discovery.spec("architecture", "tree").bind({})((1, 1, 1), 2)
    x = np.linspace(0, 1, 8, dtype=np.float32)[:, None]
    module.fit(x, np.arange(8) // 4, 0)
    arrays = dict(module.named_buffers())
    assert len(arrays["feature"]) == 3
    assert (arrays["feature"] == 0).all()
    assert module(torch.from_numpy(x).view(-1, 1, 1, 1)).argmax(1).tolist() == [0] * 4 + [1] * 4


def test_a_fit_without_validation_images_counts_none(run, folder):
    x, label = flat("train")
    np.savez("some.npz", images=x[:40].reshape(-1, 1, 8, 8), labels=label[:40], split="train")
    assert run("import", "some.npz", "--split", "train", "-o", "some.h5").code == 0
    assert run("train", "--data", "some.h5", "--arch", "tree").code == 0
    (line,) = map(json.loads, Path("model.log.jsonl").read_text().splitlines())
    assert line["val"] == {"k": 0, "n": 0}

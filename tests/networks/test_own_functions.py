"""A function of the user's own as a model: asked for scores or labels, counted, kept under its limits, never guessed for."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from advcli.errors import InputError
from advcli.files.imageset_reader import ImageSet
from advcli.files.journal import Journal, key_of
from advcli.networks import model_file

OWN = '''
"""The nearest mean of the digits' classes, by a function that counts what it is asked, and fails where it is told to."""
import numpy as np
from sklearn.datasets import load_digits

asked = calls = most = 0
fails = None  # (how many pictures later, what it does then)
digits = load_digits()
means = np.stack([digits.data[digits.target == k].mean(0) / 16 for k in range(10)]).astype(np.float32)


def scores(pictures):
    global asked, calls, most
    asked, calls, most = asked + len(pictures), calls + 1, max(most, len(pictures))
    assert pictures.dtype == np.float32 and pictures.shape[1:] == (1, 8, 8) and 0 <= pictures.min() <= pictures.max() <= 1
    found = pictures.reshape(len(pictures), -1) @ means.T - (means**2).sum(1) / 2
    pictures[:] = 0  # what it does to its array is its own affair
    print("asked")
    return found if fails is None or asked < fails[0] else fails[1](found)


def labels(pictures):
    return scores(pictures).argmax(1)


def votes(pictures):
    return np.round(scores(pictures))  # of which several are often the largest


def random(pictures):
    return np.random.rand(len(pictures), 10)


def probability(pictures):
    return np.random.rand(len(pictures))
'''
FREE = ("boundary", "hopskipjump", "rays", "noise", "spatial")  # attacks that labels are enough for
COUNTED = ("square", "boundary", "hopskipjump", "rays")
LIMIT, QUERIES, CHECKS = 12, 40, 60  # images; queries of each; pictures that the trust checks ask about, at most


@pytest.fixture
def own(folder, monkeypatch):
    """The module `ownbox` in the folder that the test stands in, as nobody has asked it yet."""
    Path("ownbox.py").write_text(OWN)
    monkeypatch.syspath_prepend(folder)
    import ownbox

    ownbox.asked, ownbox.calls, ownbox.most, ownbox.fails = 0, 0, 0, None
    return ownbox


@pytest.fixture
def attack(run, own):
    """Attack the model of one of its functions, of which there is one."""

    def call(name: str, method: str, *more: object, code: int = 0):
        if not Path(f"{name}.safetensors").exists():
            made = run("import", f"ownbox:{name}", "--data", "digits", "--batch-size", "16", "-o", f"{name}.safetensors")
            assert made.code == 0, made.err
        own.asked = own.calls = own.most = 0
        limits = ["--max-queries", QUERIES] if method in COUNTED and "--max-queries" not in more else []
        words = ["--model", f"{name}.safetensors", "--method", method, "--allow", f"ownbox:{name}", "--limit", LIMIT]
        ran = run("attack", *words, *limits, "--no-perturbations", "-o", "a.h5", *more)
        assert ran.code == code, ran.err
        return ran

    return call


def told(text: str) -> tuple[int, int]:
    found = re.search(r"asked about ([\d,]+) pictures in ([\d,]+) calls", text)
    return int(found[1].replace(",", "")), int(found[2].replace(",", ""))


@pytest.mark.parametrize(
    ("name", "method"), [("scores", "square"), *((name, one) for name in ("scores", "labels") for one in FREE)]
)
def test_every_attack_without_gradients_asks_it_and_counts_to_the_call(name, method, attack, own):
    ran = attack(name, method)
    assert ran.out == "a.h5\n", "what the function prints is not the result"
    assert told(ran.err) == (own.asked, own.calls)
    assert own.most <= 16
    with ImageSet("a.h5") as made:
        queries, success, wrong = made.column("queries"), made.column("success"), made.column("clean_prediction")
        images, labels = made.rows("images", 0, len(made)).numpy(), made.column("labels")
        assert made.header["access"] in ("none", "labels", name)
    if method in COUNTED:
        assert 0 < queries.max() <= QUERIES
        assert own.asked <= CHECKS + LIMIT + queries.sum() + LIMIT
    assert np.array_equal(success == 1, (own.scores(images.copy()).argmax(1) != labels) & (wrong == labels))


@pytest.mark.parametrize("method", ["boundary", "hopskipjump", "rays"])
def test_a_tie_of_classes_is_not_taken_for_the_boundary(method, attack, own):
    assert "FAIL" not in attack("votes", method, "--max-queries", "200").err
    with ImageSet("a.h5") as made:
        assert (made.column("success") == (made.column("clean_prediction") == made.column("labels"))).all()


def test_a_substitute_is_trained_on_its_labels(attack, own):
    ran = attack("labels", "substitute", "--eps", "0.3", "--rounds", "2", "--epochs", "1", "--fit-limit", "20")
    assert told(ran.err) == (own.asked, own.calls)
    assert "trained on 40 labels" in ran.err


REFUSED = {
    ("scores", "pgd"): "it asks ownbox:scores, a function that gives scores;\nadvcli: attack its scores with --method square",
    ("labels", "autoattack"): "a function that gives labels;\nadvcli: attack its decisions with --method rays or hopskipjump",
    ("labels", "square"): "square: climbs scores, and ownbox:labels gives labels only",
}


@pytest.mark.parametrize(("name", "method"), REFUSED)
def test_what_it_cannot_give_is_refused_before_it_is_asked(name, method, attack, own):
    assert REFUSED[name, method] in attack(name, method, code=3).err
    assert own.asked == 0


def leave(found):
    raise SystemExit(0)


FAILURES = {
    "an exception": (lambda found: 1 / 0, r"failed on \d+ pictures \(ZeroDivisionError"),
    "an exit": (leave, r"failed on \d+ pictures \(SystemExit"),
    "not finite": (lambda found: found * np.nan, "returned numbers that are not finite"),
    "a row too few": (lambda found: found[1:], r"returned float32 of shape \d+x10; expected scores \(\d+, 10\)"),
    "words": (lambda found: found.astype(str), "returned <U"),
}


@pytest.mark.parametrize("how", FAILURES)
def test_a_failure_ends_the_run_and_a_rerun_asks_nothing_twice(how, attack, own, run):
    attack("scores", "square", "--eps", "0.1", "--batch-size", "8")
    whole, asked = Path("a.h5").read_bytes(), own.asked
    Path("a.h5").unlink()
    fail, words = FAILURES[how]
    own.fails = (asked * 2 // 3, fail)
    ran = attack("scores", "square", "--eps", "0.1", "--batch-size", "8", code=4)
    assert re.search(words, ran.err), ran.err
    assert "run the same command again when it works" in ran.err
    assert not Path("a.h5").exists()
    first, own.fails = own.asked, None
    attack("scores", "square", "--eps", "0.1", "--batch-size", "8")
    assert Path("a.h5").read_bytes() == whole
    again = CHECKS + 16  # the trust checks ask anew, and the call that failed is made again
    assert first + own.asked <= asked + again
    assert own.asked < asked, "the rerun had answers already"


def test_a_label_that_no_class_has_is_no_answer(attack, own):
    attack("labels", "rays")
    Path("a.h5").unlink()
    own.fails = (30, lambda found: np.concatenate([found, np.full((len(found), 1), 99)], 1))
    assert "returned label 10; expected labels" in attack("labels", "rays", code=4).err


WRONG = {
    "random": (("--data", "digits"), 3, "gives other scores when the same pictures are asked again"),
    "probability": (
        ("--data", "digits"),
        4,
        "returned float64 of shape 3 for 3 pictures; expected scores (3, classes) or labels",
    ),
    "nothing": (("--data", "digits"), 2, "module ownbox has no function 'nothing'"),
    "labels": (("--input", "1x8x8"), 2, "--classes: name the classes; ownbox:labels gives labels"),
    "scores": ((), 2, "--input: give channels, height and width"),
    "scores ": (("--input", "1x8x8", "--classes", "a,b"), 2, "--classes: has 2 classes, and ownbox:scores has 10 outputs"),
    "scores  ": (("--data", "digits", "--mean", "0.5"), 2, "--mean: is for files"),
    "labels ": (("--input", "1x8x8", "--classes", "a"), 2, "names one class"),
    "scores   ": (("--data", "digits", "--arch", "cnn"), 2, "--arch: is for files"),
}


@pytest.mark.parametrize("name", WRONG)
def test_import_tries_it_and_names_what_is_missing(name, run, own):
    more, code, words = WRONG[name]
    ran = run("import", f"ownbox:{name.strip()}", *more)
    assert ran.code == code, ran.err
    assert words in ran.err
    assert not Path("model.safetensors").exists()


def test_a_function_is_no_architecture_and_has_no_weights_and_no_bounds(run, own):
    assert "it is no architecture: advcli import ownbox:scores" in run("train", "--arch", "ownbox:scores").err
    run("import", "ownbox:scores", "--data", "digits", "--classes", ",".join("abcdefghij"))
    assert "has no weights to export" in run("export", "model.safetensors").err
    proved = run("evaluate", "--metric", "verified", "--eps", "0.1", "--allow", "ownbox:scores", "--data", "digits")
    assert proved.code == 3
    run("import", "ownbox:scores", "--data", "digits", "-o", "b.safetensors")
    proved = run("evaluate", "--model", "b.safetensors", "--metric", "verified", "--eps", "0.1", "--allow", "ownbox:scores")
    assert "no bounds for ownbox:scores, a function of your own" in proved.err
    shown = run("show", "b.safetensors").out
    assert "advcli import --data digits:train --input 1x8x8 -o b.safetensors ownbox:scores" in shown


@pytest.mark.parametrize(
    "change", [{"answers": "gradients"}, {"at_once": 0}, {"at_once": 2.5}, {"parameters": {"width": 3}}, {"name": "cnn"}], ids=str
)
def test_metadata_that_says_nonsense_of_a_function_is_refused(change, run, own):
    run("import", "ownbox:scores", "--data", "digits")
    found = model_file.read("model.safetensors")
    found.metadata["arch"] |= change
    Path("forged.safetensors").write_bytes(model_file.packed(found.metadata, found.tensors))
    with pytest.raises(InputError, match="its header has no valid arch"):
        model_file.read("forged.safetensors")


def test_it_is_the_network_that_it_asks(run, model, own, monkeypatch):
    """A function around a network is attacked like the network itself: the same verdicts on the same images."""
    inner = model_file.read(model).module()

    def network(pictures):
        with torch.no_grad():
            return inner(torch.from_numpy(pictures))

    monkeypatch.setattr(own, "network", network, raising=False)
    assert run("import", "ownbox:network", "--data", "digits", "-o", "box.safetensors").code == 0
    for method in ("square", "hopskipjump"):
        for name, more in (("model", ()), ("box", ("--allow", "ownbox:network"))):
            words = ["--method", method, "--limit", "16", "--max-queries", "60", "-o", f"{name}-{method}.h5", *more]
            assert run("attack", "--model", f"{name}.safetensors", *words).code == 0
        with ImageSet(f"model-{method}.h5") as ours, ImageSet(f"box-{method}.h5") as theirs:
            for column in ("success", "prediction", "clean_prediction", "queries"):
                assert np.array_equal(ours.column(column), theirs.column(column)), column


def test_a_journal_keeps_whole_records_only(folder):
    keys, answers = [key_of(np.full((1, 2, 2), k)) for k in range(3)], np.arange(6, dtype=np.float32).reshape(3, 2)
    first = Journal(Path("parts") / "answers-000.journal", 2)
    first.add(keys, answers)
    first.close()
    data = first.path.read_bytes()
    for broken in (data[:-3], data[:-1] + b"\0", data + b"\0" * 9):
        first.path.write_bytes(broken)
        again = Journal(first.path, 2)
        kept = 3 if len(broken) > len(data) else 2
        assert [again.find(key) is not None for key in keys] == [True, True, kept == 3]
        assert np.array_equal(again.find(keys[1]), answers[1])
        again.add(keys[kept:], answers[kept:])
        again.close()
        assert first.path.read_bytes() == data
    last = Journal(first.path, 2)
    last.clear()
    last.close()
    assert Journal(first.path, 2).known == {}

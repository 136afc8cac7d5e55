"""The kinds of adversarial outcomes: by a table worked by hand, by another computation, and by what a command finds."""

import json
from collections import Counter

import h5py
import numpy as np
import pytest
import torch

from advcli.datasets.cifar10 import CLASSES
from advcli.errors import CommandError, InputError
from advcli.evaluation.decisions import AttackedVerdicts
from advcli.evaluation.superclasses import alike
from advcli.networks.model_file import read
from judged import figures, from_table, said

CAT, DOG, DEER, SHIP, TRUCK = (CLASSES.index(name) for name in ("cat", "dog", "deer", "ship", "truck"))


def table(*rows):
    """Probabilities of the ten classes of CIFAR-10; what is left is spread over the others."""
    found = np.empty((len(rows), 10))
    for k, row in enumerate(rows):
        found[k] = (1 - sum(row.values())) / (10 - len(row))
        found[k, list(row)] = list(row.values())
    return found


def judged(before, after, labels, classes=CLASSES, **more):
    """Verdicts on tables of probabilities."""
    labels = np.asarray(labels)
    seen = from_table(after, labels)
    rows = np.arange(len(labels))
    return AttackedVerdicts(classes=tuple(classes), labels=labels, said=seen, before=from_table(before, labels), original=rows,
                            targets=np.full(len(rows), -1), attacked=rows >= 0,
                            asked_rank=from_table(before, seen.answers).rank, **more)  # fmt: skip


EIGHT = (
    (CAT, {CAT: 0.6, DOG: 0.3}, {DOG: 0.6, CAT: 0.3}, "refocused"),
    (CAT, {CAT: 0.6, SHIP: 0.2, TRUCK: 0.1, DOG: 0.05}, {DOG: 0.6, CAT: 0.3}, "conatural"),
    (CAT, {CAT: 0.6, DOG: 0.3}, {DOG: 0.5, SHIP: 0.2, TRUCK: 0.15, CAT: 0.1}, "conatural"),
    (CAT, {CAT: 0.6, DOG: 0.3}, {SHIP: 0.9, TRUCK: 0.05}, "true"),
    (CAT, {DOG: 0.6, CAT: 0.3}, {CAT: 0.5, DOG: 0.4}, "benign"),
    (CAT, {DOG: 0.6, CAT: 0.3}, {CAT: 0.4, DOG: 0.3}, "wrong-to-right"),
    (CAT, {CAT: 0.6, DOG: 0.3}, {CAT: 0.5, DOG: 0.4}, "unchanged"),
    (CAT, {DOG: 0.6, CAT: 0.3}, {SHIP: 0.9, CAT: 0.05}, "wrong-to-wrong"),
)


def test_eight_rows_have_the_kinds_that_a_hand_gives_them():
    """S2-S1: each row one kind, and the counts add up to n; the thresholds are recorded."""
    given = judged(table(*(one[1] for one in EIGHT)), table(*(one[2] for one in EIGHT)), [one[0] for one in EIGHT])
    found = [f for f in figures("categories", given) if f.metric == "category"]
    assert {f.about["category"]: f.k for f in found if f.k} == Counter(one[3] for one in EIGHT)
    assert sum(f.k for f in found) == 8
    assert {f.n for f in found} == {8}
    assert all(f.about | {"tau": 0.5, "refocused": 3, "superclass": "cifar10"} == f.about for f in found)


def test_thresholds_move_rows():
    """S2-S1: a higher tau takes benign rows away, a larger k refocuses more."""
    given = judged(table(*(one[1] for one in EIGHT)), table(*(one[2] for one in EIGHT)), [one[0] for one in EIGHT])

    def counts(**options):
        return {f.about["category"]: f.k for f in figures("categories", given, **options) if f.metric == "category"}

    assert counts(tau=0.6)["benign"] == 0
    assert counts(tau=0.6)["wrong-to-right"] == 2
    assert (counts(refocused=4)["refocused"], counts(refocused=4)["conatural"]) == (3, 0)
    assert counts(refocused=1)["refocused"] == 0


def test_kinds_are_what_another_computation_says():
    """S2-S1: row by row by the definition, on random tables."""
    rng = np.random.default_rng(0)
    animals = {"bird", "cat", "deer", "dog", "frog", "horse"}
    for _ in range(30):
        labels = rng.integers(0, 10, 25)
        before, after = rng.dirichlet(np.full(10, 0.3), (2, 25))
        want = Counter()
        for y, x, z in zip(labels, before, after, strict=True):
            first, second = int(x.argmax()), int(z.argmax())
            top = {*np.argsort(-x)[:3].tolist()}, {*np.argsort(-z)[:3].tolist()}
            if first != y and second == y and z[second] >= 0.5:
                want["benign"] += 1
            elif first == y and second != y:
                same = (CLASSES[second] in animals) == (CLASSES[y] in animals)
                want["refocused" if second in top[0] and y in top[1] else "conatural" if same else "true"] += 1
            else:
                want["unchanged" if first == y else "wrong-to-right" if second == y else "wrong-to-wrong"] += 1
        found = [f for f in figures("categories", judged(before, after, labels)) if f.metric == "category"]
        assert {f.about["category"]: f.k for f in found if f.k} == want
        assert sum(f.k for f in found) == 25


def test_a_random_other_class_is_alike_in_five_of_nine_for_an_animal():
    """S2-S1: the baseline of random relabelling."""
    after = table(*({other: 0.9} for other in range(10) if other != CAT))
    found = figures("categories", judged(table(*[{CAT: 0.9}] * 9), after, [CAT] * 9))[-1]
    assert (found.metric, found.k, found.n) == ("alike", 5, 9)
    assert found.about["by_chance"] == pytest.approx(5 / 9, abs=1e-12)
    vehicle = figures("categories", judged(table({SHIP: 0.9}), table({CAT: 0.9}), [SHIP]))[-1]
    assert vehicle.about["by_chance"] == pytest.approx(3 / 9, abs=1e-12)


def test_what_a_model_rejects_is_no_adversarial_outcome():
    labels = np.zeros(2, np.int64)
    given = AttackedVerdicts(classes=("0", "1", "2"), labels=labels, said=said(np.array([-1, 1])), before=said(labels),
                             original=labels, targets=labels - 1, attacked=labels == 0, asked_rank=labels + 2)  # fmt: skip
    assert {f.about["category"]: f.k for f in figures("categories", given)} == {
        "true": 1, "refocused": 0, "benign": 0, "unchanged": 0, "wrong-to-wrong": 0, "wrong-to-right": 0, "rejected": 1
    }  # fmt: skip


def test_groups_are_known_by_names_by_a_file_or_by_confusions(folder):
    """S2-S1: a map of the user's own, and the neighbours by a confusion matrix."""
    assert alike(CLASSES, None)[0] == "cifar10"
    assert alike(("tench", "church"), None)[0] == "imagenette"
    assert alike(("0", "1"), None) == ("none", None)
    (folder / "own.json").write_text(json.dumps({"round": ["0", "8"], "straight": ["1"]}))
    assert alike(("0", "1", "8"), "own.json")[1].tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
    rows = [{"metric": "confusion", "kind": "clean", "model": "m", "set": "s", "label": a, "prediction": b, "value": v}
            for a, b, v in (("4", "9", 0.1), ("9", "4", 0.2), ("7", "9", 0.05), ("7", "4", 0.01), ("4", "4", 0.9))]  # fmt: skip
    (folder / "confusion.json").write_text(json.dumps({"rows": rows}))
    assert alike(("4", "7", "9", "0"), "confusion.json")[1].astype(int).tolist() == [
        [1, 0, 1, 0],
        [0, 1, 1, 0],
        [1, 1, 1, 0],
        [0, 0, 0, 1],
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("no json", "is not JSON"),
        ("[1]", "expected groups"),
        ('{"a": "0"}', "expected groups"),
        ('{"a": ["0"]}', "has no group for the class '1'"),
        ('{"a": ["0", "1"], "b": ["1"]}', "in two groups"),
        ('{"rows": []}', "confusions of one model"),
    ],
)
def test_a_file_of_groups_that_says_nothing_is_refused(text, told, folder):
    (folder / "own.json").write_text(text)
    with pytest.raises(CommandError, match=told):
        alike(("0", "1"), "own.json")
    with pytest.raises(InputError, match=r"missing\.json"):
        alike(("0", "1"), "missing.json")


def test_the_command_finds_the_kinds_of_a_set(run, model):
    """S2-S1: recomputed from the file by the model alone; several targets of an image are its rows."""
    assert run("attack", "--method", "fgsm", "--eps", "0.1,0.2", "--limit", "12", "--target", "all").code == 0
    ran = run("evaluate", "--data", "digits", "--split", "val", "--metric", "confusion", "--json")
    (model.parent / "confusion.json").write_text(ran.out)
    words = ["evaluate", "adversarial.h5", "--metric", "categories", "--superclass", "confusion.json", "--refocused", "2"]
    found = json.loads(run(*words, "--json").out)["rows"]
    net, near = read("model.safetensors").module(), alike(tuple("0123456789"), "confusion.json")[1]
    with h5py.File("adversarial.h5") as file, torch.no_grad():
        labels, eps, origin = (file[name][:] for name in ("labels", "epsilon", "original"))
        after = net(torch.from_numpy(file["images"][:]), None).numpy()
        before = net(torch.from_numpy(file["originals"][:]), None).numpy()[origin]
    first, second = before.argmax(1), after.argmax(1)
    rows = np.arange(len(labels))
    seen = ((before >= before[rows, second][:, None]).sum(1) <= 2) & ((after >= after[rows, labels][:, None]).sum(1) <= 2)
    broken = (first == labels) & (second != labels)
    kinds = {"refocused": broken & seen, "conatural": broken & ~seen & near[labels, second],
             "true": broken & ~seen & ~near[labels, second]}  # fmt: skip
    for budget in (0.1, 0.2):
        kept = eps == np.float32(budget)
        mine = {row["category"]: row for row in found if row["metric"] == "category" and row["epsilon"] == budget}
        for name, hits in kinds.items():
            assert (mine[name]["hits"], mine[name]["rows"]) == (hits[kept].sum(), kept.sum())
            assert mine[name]["value"] == pytest.approx(hits[kept].mean(), abs=1e-9)
        (one,) = (row for row in found if row["metric"] == "alike" and row["epsilon"] == budget)
        chance = ((near.sum(1) - 1)[labels] / 9)[kept & broken].mean()
        assert (one["hits"], one["by_chance"]) == ((near[labels, second] & broken & kept).sum(), pytest.approx(chance, abs=1e-9))
    assert sum(kinds["refocused"]) > 0

"""The destruction rate of a transform: by hand, and recomputed from the files alone."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from scipy.stats import binomtest

from advcli.evaluation import filter_effect
from advcli.evaluation.decisions import FilterEffect
from advcli.evaluation.sets import from_file
from advcli.files.imageset_reader import ImageSet
from advcli.networks.model_file import read
from judged import figures, said, verdicts


def judged(labels, clean, attacked, after, clean_after, ranks=(None,) * 4):
    """Verdicts on a filtered set: on originals, on attacked images, and on both behind the transform."""
    before, broken, mended, kept = (
        said(np.asarray(one), rank=(np.asarray(one) != labels).astype(np.int64) if rank is None else np.asarray(rank))
        for one, rank in zip((clean, attacked, after, clean_after), ranks, strict=True)
    )
    given = verdicts(np.asarray(labels), np.asarray(after), clean=np.asarray(clean), asked_filter=FilterEffect(broken, kept))
    return replace(given, said=mended, before=before)


EIGHT = {
    #            0  1  2  3  4  5  6  7
    "labels": [0, 0, 0, 0, 1, 1, 1, 1],
    "clean": [0, 0, 0, 0, 1, 1, 1, 0],
    "attacked": [1, 1, 1, 0, 0, 2, 1, 1],  # 3 and 6 were not broken, 7 was wrong before
    "after": [0, 1, 0, 0, 1, 2, 0, 1],  # of 0, 1, 2, 4, 5 the transform mends 0, 2 and 4
    "clean_after": [0, 1, 1, 0, 1, 1, 1, 1],  # and ruins the originals of 1 and 2
}


def test_eight_images_give_the_exact_fraction():
    """S2-S4: d = 3/5; of the originals that the transform leaves right 2/3; 5 of 7 of them stay right."""
    found = figures("destruction", judged(**EIGHT), top="1")
    assert [(f.metric, f.k, f.n) for f in found] == [("destruction", 3, 5), ("destruction-kept", 2, 3), ("kept", 5, 7)]
    for one in found:
        exact = binomtest(one.k, one.n).proportion_ci(0.95, "exact")
        assert (one.value, one.low, one.high) == pytest.approx((one.k / one.n, exact.low, exact.high), abs=1e-9)


def test_the_five_best_classes_count_where_that_is_asked():
    """S2-S4: top-k by the ranks of the label."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        ranks = rng.integers(0, 8, (4, 30))
        zeros = np.zeros(30, np.int64)
        found = figures("destruction", judged(zeros, zeros, zeros, zeros, zeros, ranks), top="1,5")
        for k, three in ((1, found[:3]), (5, found[3:])):
            before, broken, after, kept = ranks < k
            mended = (before & ~broken & after).sum(), (before & ~broken).sum()
            both = (before & ~broken & after & kept).sum(), (before & ~broken & kept).sum()
            assert [(f.k, f.n) for f in three] == [mended, both, ((before & kept).sum(), before.sum())]
    assert [f.metric for f in found[3:]] == ["destruction-top-5", "destruction-kept-top-5", "kept-top-5"]


def test_a_set_without_broken_images_has_no_rate():
    """S2-S4: 0 of 0 is n=0 and marked."""
    zeros = np.zeros(3, np.int64)
    one = figures("destruction", judged(zeros, zeros, zeros, zeros, zeros), top="1")[0]
    assert (one.n, one.about) == (0, {"undefined": True})


def test_an_image_that_the_model_rejected_was_not_broken():
    zeros = np.zeros(2, np.int64)
    given = judged(zeros, zeros, np.array([1, 1]), zeros, zeros)
    rejected = said(np.array([1, 1]), score=np.array([1.0, -1.0]), rank=np.ones(2, np.int64))
    given = replace(given, asked_filter=replace(given.filter, attacked=rejected))
    assert figures("destruction", given, top="1")[0].n == 1


def filtered(run, *words):
    """An attacked set of two budgets behind a filter."""
    assert run("attack", "--method", "fgsm", "--eps", "0.1,0.2", "--limit", "80").code == 0
    ran = run("defend", *words, "adversarial.h5", "-o", "behind.h5")
    assert ran.code == 0, ran.err


def test_the_command_says_what_the_files_say(run, model):
    """S2-S4: original, attacked, and both behind the transform, by the network and NumPy alone."""
    filtered(run, "--method", "squeeze", "--bits", "1")
    ran = run("evaluate", "behind.h5", "--metric", "destruction", "--top", "1,3", "--json")
    assert "was filtered from adversarial.h5" in ran.err
    found = {(row["metric"], row["epsilon"]): row for row in json.loads(ran.out)["rows"]}
    net = read("model.safetensors").module()
    with h5py.File("adversarial.h5") as file, h5py.File("behind.h5") as behind, torch.no_grad():
        labels, eps, origin = (file[name][:] for name in ("labels", "epsilon", "original"))
        originals = file["originals"][:][origin]
        pictures = (originals, file["images"][:], behind["images"][:], np.round(originals))
        logits = [net(torch.from_numpy(np.float32(x)), None).numpy() for x in pictures]
    own = [z[np.arange(len(labels)), labels][:, None] for z in logits]
    for k, end in ((1, ""), (3, "-top-3")):
        before, attacked, after, kept = ((z > mine).sum(1) < k for z, mine in zip(logits, own, strict=True))
        for budget in (0.1, 0.2):
            rows = eps == np.float32(budget)
            broken = rows & before & ~attacked
            for name, hits, among in (("destruction", after, broken), ("destruction-kept", after, broken & kept),
                                      ("kept", kept, rows & before)):  # fmt: skip
                one = found[name + end, budget]
                assert (one["k"], one["n"]) == ((hits & among).sum(), among.sum())
                assert one["value"] == pytest.approx((hits & among).sum() / among.sum(), abs=1e-9)
    assert 0 < found["destruction", 0.1]["k"] < found["destruction", 0.1]["n"]


def test_an_original_gets_the_draws_of_what_was_made_of_it(run, model):
    """S2-S4: the clean image goes through the very same transform, also where it draws, and through one after the other."""
    filtered(run, "--method", "transform", "--noise", "0.1", "--photo", "0.5", "--seed", "7")
    assert run("defend", "--method", "squeeze", "--bits", "3", "behind.h5", "-o", "twice.h5").code == 0
    for name, count in (("behind.h5", 1), ("twice.h5", 2)):
        with ImageSet(name) as opened, h5py.File(name) as file:
            filters = filter_effect.recorded(opened.header, name)
            assert len(filters) == count
            subject = from_file(opened, name)
            kept = np.flatnonzero(file["clean_prediction"][:] != file["labels"][:])  # never attacked: the originals
            assert len(kept)
            again = filter_effect.through(filters, subject, file["original"][:][kept], subject.ids[kept])
            assert np.array_equal(again.numpy(), file["images"][:][kept])


def test_the_set_before_the_filter_is_looked_for_and_asked_for(run, model):
    filtered(run, "--method", "squeeze", "--bits", "2")
    words = ["--model", "model.safetensors", "--metric", "destruction", "--json"]
    here = json.loads(run("evaluate", "behind.h5", *words).out)["rows"]
    Path("away").mkdir()
    shutil.move("behind.h5", "away/behind.h5")
    ran = run("evaluate", "away/behind.h5", *words)
    assert ran.code == 3
    assert "give the set that it was made of too" in ran.err
    both = json.loads(run("evaluate", "adversarial.h5", "away/behind.h5", *words).out)["rows"]
    assert [row["k"] for row in both] == [row["k"] for row in here]
    ran = run("evaluate", "adversarial.h5", "--metric", "destruction")
    assert "metric destruction needs an attacked set that was filtered" in ran.err

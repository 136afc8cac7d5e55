"""What `evaluate` says of models and sets, against plain NumPy on the stored rows and hand-worked cases."""

import json
import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from sklearn.metrics import precision_recall_fscore_support

from advcli.cli import render, report, text_tables
from advcli.cli.app import main
from advcli.evaluation import rows as report_rows
from advcli.evaluation.decisions import rate
from advcli.evaluation.judge import Judge
from advcli.evaluation.threat_model import ThreatModel
from advcli.files.imageset_reader import ImageSet
from advcli.networks import model_file
from advcli.numerics.rng import SampleRNG

MODELS = ("model", "mlp", "lr", "tree")
EPS = ("0.1", "0.2")


@pytest.fixture(scope="module")
def shop(tmp_path_factory, small_model):
    """Four models, a defended one, and the sets that were made against them; nobody writes there."""
    root, before = tmp_path_factory.mktemp("shop"), Path.cwd()
    shutil.copy(small_model, root / "model.safetensors")
    sets = {"model": "model", "mlp": "mlp", "lr": "lr"}
    commands = [
        ["train", "--arch", "mlp", "--epochs", "8", "-o", "mlp.safetensors"],
        ["train", "--arch", "logreg", "-o", "lr.safetensors"],
        ["train", "--arch", "tree", "-o", "tree.safetensors"],
        ["defend", "--method", "squeeze", "--bits", "2"],
        *(["attack", "--method", "fgsm", "--model", f"{m}.safetensors", "--eps", ",".join(EPS), "--limit", "120", "-o", f"{s}.h5"]
          for s, m in sets.items()),
        ["attack", "--method", "pgd", "--steps", "10", "--eps", ",".join(EPS), "--limit", "120", "-o", "pgd.h5"],
        ["attack", "--method", "pgd", "--steps", "10", "--eps", ",".join(EPS), "--limit", "120", "--model", "defended.safetensors",
         "-o", "adaptive.h5"],
        ["attack", "--method", "fgsm", "--model", "defended.safetensors", "--static", "--eps", "0.1", "--limit", "60", "-o", "static.h5"],
    ]  # fmt: skip
    os.chdir(root)
    try:
        for command in commands:
            assert main([*command, "--quiet"]) == 0
    finally:
        os.chdir(before)
    return root


@pytest.fixture
def inside(shop, monkeypatch):
    monkeypatch.chdir(shop)
    return shop


def rows(ran):
    assert ran.code == 0, ran.err
    return json.loads(ran.out)["rows"]


def given(*names):
    return [word for name in names for word in ("--model", f"{name}.safetensors")]


def only(found, **wanted):
    (one,) = (row for row in found if all(row[key] == value for key, value in wanted.items()))
    return one


def column(name, key):
    with h5py.File(f"{name}.h5") as file:
        return file[key][:]


def logits(model, x):
    with torch.no_grad():
        return model_file.read(f"{model}.safetensors").module()(torch.from_numpy(x), SampleRNG(0, torch.arange(len(x)))).numpy()


def said(model, x):
    return logits(model, x).argmax(1)


def right(model, name, eps):
    """(attacked, clean) by a plain loop over the stored rows."""
    rows_ = column(name, "epsilon") == np.float32(eps)
    label, origin = column(name, "labels")[rows_], column(name, "original")[rows_]
    clean = said(model, column(name, "originals"))[origin] == label
    return said(model, column(name, "images")[rows_]) == label, clean


def test_every_model_meets_every_set_at_every_budget(run, inside):
    found = rows(run("evaluate", "model.h5", "lr.h5", *given(*MODELS), "--json"))
    for model in MODELS:
        for name in ("model", "lr"):
            for eps in (0.1, 0.2):
                after, before = right(model, name, eps)
                where = {"model": f"{model}.safetensors", "set": f"{name}.h5", "epsilon": eps}
                assert only(found, metric="accuracy", **where)["k"] == after.sum()
                won = only(found, metric="success", **where)
                assert (won["k"], won["n"]) == ((before & ~after).sum(), before.sum())


def test_the_worst_case_names_who_won(run, inside):
    order = ("lr", "model", "pgd")
    found = rows(run("evaluate", *(f"{name}.h5" for name in order), *given("model"), "--json"))
    for eps in (0.1, 0.2):
        seen = [right("model", name, eps) for name in order]
        left, start = [one[0] for one in seen], seen[0][1]
        worst = only(found, metric="robust_accuracy", epsilon=eps)
        assert (worst["k"], worst["n"]) == (np.logical_and.reduce(left).sum(), 120)
        assert worst["k"] <= min(one.sum() for one in left)
        total = worst["k"] + only(found, metric="wrong-from-start", epsilon=eps)["k"]
        for number, name in enumerate(order):
            broke = start & ~left[number]
            first = broke & np.logical_and.reduce([left[k] for k in range(number)], axis=0) if number else broke
            alone = broke & np.logical_and.reduce([left[k] for k in range(3) if k != number])
            where = {"set": f"{name}.h5", "epsilon": eps, "kind": "worst case"}
            assert only(found, metric="newly-broken", **where)["k"] == first.sum()
            assert only(found, metric="uniquely-broken", **where)["k"] == alone.sum()
            assert only(found, metric="newly-broken", **where)["threat"]["attack"] == {"pgd": "pgd"}.get(name, "fgsm")
            total += first.sum()
        assert total == 120, "every image is left, lost, or broken by one set"


def test_an_attack_that_never_saw_a_gradient_is_not_called_white_box(run, model):
    run("attack", "--method", "square", "--eps", "0.2", "--max-queries", "50", "--limit", "10", "-o", "square.h5")
    run("attack", "--method", "hopskipjump", "--max-queries", "100", "--limit", "10", "-o", "jump.h5")
    said = run("evaluate", "square.h5", "jump.h5", "--metric", "accuracy").out
    assert "square, linf, scores only, early-stopped" in said
    assert "hopskipjump, l2, decisions only, early-stopped" in said
    assert "white-box" not in said
    run("defend", "--method", "squeeze", "-o", "defended.safetensors")
    run("attack", "--method", "square", "--eps", "0.2", "--max-queries", "50", "--limit", "10", "--model", "defended.safetensors")
    assert "square, linf, adaptive, scores only" in run("evaluate", "--model", "defended.safetensors", "adversarial.h5").out


def test_fail_under_takes_the_worst_of_sets_models_and_budgets(run, inside):
    words = ["evaluate", "model.h5", "mlp.h5", "lr.h5", *given("model"), "--bar", "estimate"]
    lowest = min(row["value"] for row in rows(run(*words, "--json")) if row["metric"] == "robust_accuracy")
    by_sets = [row["value"] for row in rows(run(*words, "--json")) if row["metric"] == "accuracy"]
    assert lowest < min(by_sets), "else the worst case over the sets is not what decides"
    assert run(*words, "--fail-under", f"robust_accuracy={lowest}").code == 0
    ran = run(*words, "--fail-under", f"robust_accuracy={min(by_sets)}")
    assert ran.code == 1
    assert "robust_accuracy of model.safetensors is" in ran.err
    assert run(*words, "--metric", "top", "--fail-under", f"robust_accuracy={min(by_sets)}").code == 1


def test_recovered_images_by_the_victims_stored_and_fresh_words(run, inside):
    for eps in (0.1, 0.2):
        kept = column("model", "epsilon") == np.float32(eps)
        label, stored = column("model", "labels")[kept], column("model", "prediction")[kept]
        x = column("model", "images")[kept]
        wrong, mended = stored != label, said("defended", x) == label
        for models, how in ((["defended"], "stored"), (["model", "defended"], "recomputed")):
            found = rows(run("evaluate", "model.h5", *given(*models), "--metric", "recovered", "--json"))
            one = only(found, epsilon=eps, model="defended.safetensors")
            assert (one["k"], one["n"], one["victim"]) == ((wrong & mended).sum(), wrong.sum(), how)
            assert 0 < one["k"] < one["n"]
        assert only(found, epsilon=eps, model="model.safetensors")["k"] == 0, "the victim fixes none of its own mistakes"


def test_the_victim_of_a_static_attack_is_asked_without_its_defenses(run, inside):
    (one,) = rows(run("evaluate", "static.h5", *given("defended"), "--metric", "recovered", "--json"))
    wrong = column("static", "prediction") != column("static", "labels")
    assert (one["n"], one["victim"]) == (wrong.sum(), "recomputed")
    assert one["k"] > 0


def test_labels_that_a_filter_fixes(run, inside, tmp_path):
    filtered = tmp_path / "filtered.h5"
    assert run("defend", "model.h5", "--method", "squeeze", "--bits", "2", "-o", filtered).code == 0
    found = rows(run("evaluate", filtered, *given("model"), "--metric", "recovered", "--json"))
    kept = column("model", "epsilon") == np.float32(0.1)
    with ImageSet(filtered) as opened:
        x = opened.rows("images", 0, len(opened)).numpy()[kept]
    label, wrong = column("model", "labels")[kept], (column("model", "prediction") != column("model", "labels"))[kept]
    one = only(found, epsilon=0.1)
    assert (one["k"], one["n"]) == (((said("model", x) == label) & wrong).sum(), wrong.sum())
    assert one["threat"]["knowledge"] == "static"


def test_float_and_8_bit_side_by_side(run, inside):
    found = rows(run("evaluate", "model.h5", *given("lr"), "--pixels", "both", "--json"))
    x, label, kept = column("model", "images"), column("model", "labels"), column("model", "epsilon") == np.float32(0.1)
    snapped = np.rint(x * np.float32(255)) / np.float32(255)  # rint rounds half to even
    assert not np.array_equal(x, snapped)
    for pixels, images in (("float", x), ("8-bit (rounded)", snapped)):
        each = [row for row in found if row["threat"].get("pixels") == pixels and row["kind"] == "adversarial"]
        assert only(each, metric="accuracy", epsilon=0.1)["k"] == (said("lr", images[kept]) == label[kept]).sum()
    assert [
        row["threat"]["pixels"] for row in rows(run("evaluate", "model.h5", *given("lr"), "--pixels", "8-bit", "--json"))
    ] == ["8-bit (rounded)"] * 4


def test_rounding_is_half_to_even_and_can_undo_an_attack():
    from advcli.evaluation.sets import Subject

    halves = torch.tensor([0.5, 1.5, 2.5, 254.5]).view(1, 1, 2, 2) / 255
    header = {"kind": "clean", "classes": ["0"], "split": "test"}
    subject = Subject("x", header, 1, np.zeros(1), np.zeros(1), lambda start, stop: halves[start:stop], eight_bit=False)
    assert (subject.in_8_bit().pictures(0, 1) * 255).round().flatten().tolist() == [0, 2, 2, 254]
    assert subject.in_8_bit().in_8_bit().rounded


def test_what_is_8_bit_already_stands_once(run, inside, tmp_path):
    made = tmp_path / "bytes.h5"
    run("attack", "--method", "fgsm", "--quantize", "--eps", "0.2", "--limit", "20", *given("lr"), "-o", made)
    words = ["evaluate", made, *given("lr"), "--metric", "accuracy", "--json"]
    assert len(rows(run(*words, "--pixels", "both"))) == len(rows(run(*words)))


def test_transfer_is_a_matrix_of_sources_and_targets(run, inside):
    """S0-K1, S2-S3: n, k and interval in every cell, the distances of every source."""
    names = ("model", "mlp", "lr")
    words = ["evaluate", *(f"{name}.h5" for name in names), *given(*MODELS), "--metric", "transfer"]
    found = rows(run(*words, "--json"))
    assert len(found) == len(names) * len(MODELS) * len(EPS)
    for source in names:
        for target in MODELS:
            after, before = right(target, source, 0.2)
            one = only(found, set=f"{source}.h5", model=f"{target}.safetensors", epsilon=0.2)
            assert (one["k"], one["n"]) == ((before & ~after).sum(), before.sum())
            assert one["low"] <= one["value"] <= one["high"]
            kept = column(source, "epsilon") == np.float32(0.2)
            moved = column(source, "images")[kept] - column(source, "originals")[column(source, "original")[kept]]
            went = (column(source, "clean_prediction") == column(source, "labels"))[kept]
            sizes = moved[went].reshape(went.sum(), -1)
            assert one["linf"] == pytest.approx(np.abs(sizes).max(1).mean(), rel=1e-5)
            assert one["l2"] == pytest.approx(np.linalg.norm(sizes, axis=1).mean(), rel=1e-5)
    text = run(*words).out.splitlines()
    (head,) = (line for line in text if line.startswith("set "))
    assert head.split() == ["set", *MODELS]
    (line,) = (line for line in text if line.startswith("mlp.h5 0.2"))
    own = only(found, set="mlp.h5", model="mlp.safetensors", epsilon=0.2)
    assert f"*{own['value']:.1%} {own['k']}/{own['n']}" in line
    assert line.count("*") == 1
    others = [only(found, set=f"{s}.h5", model="lr.safetensors", epsilon=0.1)["value"] for s in ("model", "mlp")]
    assert f"{np.mean(others):.1%}" in next(line for line in text if line.startswith("mean of the others"))


def test_precision_recall_and_f1_of_one_class_as_scikit_learn_has_them(run, folder):
    """S4-X1, S4-X2: two classes re-indexed, seven is the positive one."""
    assert run("train", "--classes", "6,7", "--arch", "mlp", "--epochs", "2", "--limit", "40").code == 0
    assert run("attack", "--method", "fgsm", "--eps", "0.3").code == 0
    found = rows(run("evaluate", "--metric", "accuracy", "--metric", "per-class", "--positive", "7", "--json"))
    x, label = column("adversarial", "images"), column("adversarial", "labels")
    mine = [row for row in found if row["kind"] == "adversarial"]
    p, r, f, _ = precision_recall_fscore_support(label, said("model", x), pos_label=1, average="binary", zero_division=0)
    assert [row["metric"] for row in mine] == ["accuracy", "precision", "recall", "f1"]
    assert [row["value"] for row in mine[1:]] == pytest.approx([p, r, f])
    assert {row["class"] for row in mine[1:]} == {"7"}
    wide = run("evaluate", "--metric", "accuracy", "--metric", "per-class", "--positive", "7", "--wide").out.splitlines()
    assert wide[0].split("  ")[0] == "model"
    assert all(word in wide[0] for word in ("accuracy", "precision 7", "recall 7", "f1 7"))
    assert sum(line.startswith("model") for line in wide) == 3


def test_mcnemars_pairs_are_the_same_images(run, inside):
    found = rows(run("evaluate", "lr.h5", *given("model", "mlp", "tree"), "--compare", "--json"))
    pairs = [row for row in found if row["metric"] == "difference"]
    assert [(row["model"], row["epsilon"]) for row in pairs] == [
        (f"{model}.safetensors", eps) for model in ("mlp", "tree") for eps in (0.1, 0.2)
    ]
    for row in pairs:
        first, _ = right("model", "lr", row["epsilon"])
        second, _ = right(row["model"].removesuffix(".safetensors"), "lr", row["epsilon"])
        assert (row["b"], row["c"]) == ((first & ~second).sum(), (second & ~first).sum())
        assert row["value"] == pytest.approx(second.mean() - first.mean())
        assert row["low"] <= row["value"] <= row["high"]
        assert row["against"] == "model.safetensors"
    table = run("evaluate", "lr.h5", *given("model", "mlp", "tree"), "--compare").out.partition("p of 4")[2]
    assert all(f" {row['p_holm']:.1g} " in table for row in pairs)
    assert run("evaluate", "lr.h5", *given("model"), "--compare").code == 2


def test_a_model_against_itself_and_on_clean_images(run, inside, tmp_path):
    shutil.copy("model.safetensors", tmp_path / "same.safetensors")
    words = ["--model", "model.safetensors", "--model", tmp_path / "same.safetensors", "--model", "lr.safetensors"]
    found = rows(run("evaluate", "--data", "digits", *words, "--compare", "--metric", "accuracy", "--json"))
    same, worse = (row for row in found if row["metric"] == "difference")
    assert (same["b"], same["c"], same["p"], same["finding"]) == (0, 0, 1.0, "inconclusive")
    assert same["low"] < 0 < same["high"]
    assert worse["n"] == 500
    assert worse["kind"] == "clean"


def test_each_attacked_through_its_own_defense_is_compared_in_the_worst_case_and_under_the_attack(run, inside):
    """S4-K1: McNemar for each attack too, each model under its own set."""
    found = rows(run("evaluate", "pgd.h5", "adaptive.h5", *given("model", "defended"), "--compare", "--json"))
    pairs = [row for row in found if row["metric"] == "difference"]
    worst = [row for row in pairs if row["kind"] == "worst case"]
    assert len(worst) == 2
    assert {row["finding"] for row in worst} <= {"better", "worse", "inconclusive"}
    assert {row["finding"] for row in pairs if row["set"] in ("pgd.h5", "adaptive.h5")} == {"unequal attacks"}
    own = [row for row in pairs if row["set"] == "adaptive.h5 / pgd.h5"]
    assert [row["epsilon"] for row in own] == [0.1, 0.2]
    for row in own:
        first, second = (right(model, name, row["epsilon"])[0] for model, name in (("model", "pgd"), ("defended", "adaptive")))
        assert (row["b"], row["c"], row["n"]) == ((first & ~second).sum(), (second & ~first).sum(), len(first))


def test_rejection_counts_and_coverage_stands_unasked(run, folder, small_model):
    shutil.copy(small_model, "model.safetensors")
    assert run("defend", "--method", "squeeze-detector", "--model", "model.safetensors", "-o", "d.safetensors").code == 0
    assert run("attack", "--method", "fgsm", "--eps", "0.2", "--limit", "200").code == 0
    found = rows(run("evaluate", "adversarial.h5", *given("d", "model"), "--json"))
    assert {row["metric"] for row in found if row["model"] == "model.safetensors"} == {"accuracy", "success"}
    mine = {row["metric"]: row for row in found if row["model"] == "d.safetensors"}
    x, label = column("adversarial", "images"), column("adversarial", "labels")
    answers, classes = logits("d", x), 10
    rejected = answers.argmax(1) == classes
    correct = ~rejected & (answers.argmax(1) == label)
    assert 0 < rejected.sum() < 200
    assert (mine["coverage"]["k"], mine["coverage"]["n"]) == ((~rejected).sum(), 200)
    assert (mine["accuracy"]["k"], mine["accuracy"]["n"]) == (correct.sum(), 200)
    assert (mine["accuracy-accepted"]["k"], mine["accuracy-accepted"]["n"]) == (correct.sum(), (~rejected).sum())
    assert mine["undetected"]["k"] == (~rejected & ~correct).sum()
    roc = rows(run("evaluate", "adversarial.h5", *given("d", "model"), "--metric", "roc", "--json"))
    assert {row["model"] for row in roc} == {"d.safetensors"}
    assert [(row["metric"], row["positives"]) for row in roc] == [
        (metric, which) for which in ("successful", "all") for metric in ("auc", "tpr@1%", "tpr@5%")
    ]
    before = logits("d", column("adversarial", "originals"))
    score, clean = (one[:, classes] - one[:, :classes].max(1) for one in (answers, before))
    attacked = column("adversarial", "clean_prediction") == label
    fooled = attacked & (answers[:, :classes].argmax(1) != label) & (before[:, :classes].argmax(1) == label)
    for which, kept in (("all", attacked), ("successful", fooled)):
        area = (np.sign(score[kept][:, None] - clean) / 2 + 0.5).mean()
        assert only(roc, metric="auc", positives=which)["value"] == pytest.approx(area)
    ran = run("evaluate", "adversarial.h5", *given("model"), "--metric", "roc")
    assert ran.code == 0
    assert "needs a model with a reject option; none was given" in ran.err


def test_a_metric_with_nothing_to_say_says_so(run, inside):
    ran = run("evaluate", "--data", "digits", *given("lr"), "--metric", "success", "--metric", "accuracy")
    assert ran.code == 0
    assert "metric success needs an adversarial set; none was given" in ran.err


WORDS = {
    "plain": ["pgd.h5", "lr.h5", *given("model", "defended"), "--compare"],
    "wide": ["pgd.h5", *given("model", "defended"), "--wide", "--metric", "accuracy", "--metric", "per-class", "--positive", "7"],
    "transfer": ["model.h5", "mlp.h5", "lr.h5", *given(*MODELS), "--metric", "transfer", "--pixels", "both"],
    "confusion": ["pgd.h5", *given("model"), "--metric", "confusion"],
}


@pytest.mark.parametrize("width", [80, 140])
@pytest.mark.parametrize("kind", WORDS)
def test_tables_fit_the_terminal_and_keep_every_figure(kind, width, run, inside, monkeypatch):
    found = rows(run("evaluate", *WORDS[kind], "--json"))
    free = run("evaluate", *WORDS[kind]).out
    monkeypatch.setattr(render, "width", lambda: width)
    text = run("evaluate", *WORDS[kind]).out
    assert max(map(len, text.splitlines())) <= width
    numbers = [f"{row['value']:.1%}" for row in found if row["low"] is not None and row["metric"] != "confusion"]
    numbers += [f"{row['k']}/{row['n']}" for row in found if row["metric"] in ("transfer", "robust_accuracy")]
    for one in numbers:
        assert one in text
        assert one in free


def test_rounded_rows_are_marked_in_every_table(run, inside):
    words = ["pgd.h5", "lr.h5", *given("model", "mlp"), "--pixels", "both", "--compare"]
    parts = run("evaluate", *words, "--metric", "accuracy", "--metric", "transfer").out.split("\n\n")
    assert len(parts) == 4  # figures, winners, the matrix, the pairs
    for part in parts:
        kinds = [line for line in part.splitlines() if ".h5" in line and "against model.safetensors:" not in line]
        marked = [line for line in kinds if "(8-bit)" in line or "8-bit (rounded)" in line]
        assert 0 < len(marked) < len(kinds)


def test_an_empty_cell_is_no_figure():
    empty = report_rows.row("m", "s", "clean", None, [rate("precision", 0, 0)], ThreatModel(pixels="float"))
    text = report.report([empty])
    assert "n=0" in text
    assert "%" not in text.splitlines()[1]


def test_columns_hold_cells_of_several_lines():
    text = text_tables.table([{"a": "x\nlonger", "b": "1\n22"}, {"a": "y", "b": "3"}])
    assert text.splitlines() == ["a        b", "x        1", "longer  22", "y        3"]


def test_a_model_judges_as_many_images_at_a_time_as_the_help_says(run, inside, monkeypatch):
    seen = []
    decide = Judge.decide
    monkeypatch.setattr(Judge, "decide", lambda self, *args: seen.append(self.batch) or decide(self, *args))
    run("evaluate", "lr.h5", *given("lr"), "--device", "cpu")
    run("evaluate", "lr.h5", *given("lr"), "--batch-size", "7")
    assert set(seen) == {64, 7}
    assert "[default: 64, on a GPU 512]" in " ".join(run("evaluate", "--help").out.replace("│", " ").split())

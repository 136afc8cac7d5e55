"""The verbs over files: chains, provenance, what evaluate knows without being told."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import advcli
from advcli.datasets.digits import digits
from advcli.errors import InputError
from advcli.files import imageset_writer
from advcli.files.imageset_reader import ImageSet
from advcli.networks import model_file
from results import columns, one, rows


def test_the_digits_are_scikit_learns_in_fixed_stratified_splits():
    from sklearn.datasets import load_digits

    known = load_digits()
    parts = {split: digits(split) for split in ("train", "val", "test")}
    assert {split: len(part) for split, part in parts.items()} == {"train": 1167, "val": 130, "test": 500}
    assert sorted(np.concatenate([part.index for part in parts.values()])) == list(range(1797))
    for part in parts.values():
        x, labels = part.batch(0, len(part))
        np.testing.assert_array_equal(x[:, 0].numpy(), known.images[part.index].astype(np.float32) / 16)
        np.testing.assert_array_equal(labels.numpy(), known.target[part.index])
        share = np.bincount(part.labels) / np.bincount(known.target)
        assert np.ptp(share) < 0.02


def test_a_sweep_writes_a_row_for_every_budget_and_each_original_once(run, model):
    assert run("attack", "--method", "fgsm", "--eps", "0:0.3:0.025").code == 0
    made = columns("adversarial.h5")
    assert len(made["images"]) == 13 * 500
    assert len(made["originals"]) == 500
    assert (made["original"] == np.arange(500).repeat(13)).all()
    right = made["clean_prediction"] == made["labels"]
    assert made["gradients"].sum() == right[::13].sum()
    assert set(made["gradients"][::13][right[::13]]) == {1}
    assert made["queries"].sum() == 0
    assert (made["images"][::13] == made["originals"]).all()
    signed = columns("perturbations.h5")
    np.testing.assert_array_equal(signed["images"], made["images"] - made["originals"][made["original"]])
    for name in ("labels", "target", "epsilon", "prediction"):
        np.testing.assert_array_equal(signed[name], made[name])


def test_stored_predictions_and_successes_are_those_of_the_stored_images(run, model):
    run("attack", "--method", "pgd", "--eps", "0.05,0.2", "--steps", "5")
    made = columns("adversarial.h5")
    net = model_file.read(model).module()
    with torch.no_grad():
        said = net(torch.from_numpy(made["images"])).argmax(1).numpy()
    np.testing.assert_array_equal(said, made["prediction"])
    right = made["clean_prediction"] == made["labels"]
    np.testing.assert_array_equal(made["success"].astype(bool), right & (said != made["labels"]))


def test_pgd_is_never_above_fgsm_beyond_the_intervals(run, model):
    sweep = ("--eps", "0:0.3:0.05")
    run("attack", "--method", "fgsm", *sweep, "-o", "fgsm.h5")
    run("attack", "--method", "pgd", *sweep, "-o", "pgd.h5")
    found = rows(run("evaluate", "fgsm.h5", "pgd.h5", "--json"))
    for eps in {row["epsilon"] for row in found if row["metric"] == "accuracy"}:
        weak, strong = (one(found, set=name, epsilon=eps, metric="accuracy") for name in ("fgsm.h5", "pgd.h5"))
        assert strong["low"] <= weak["high"]
    curve = [
        row["value"]
        for row in sorted(found, key=lambda r: r.get("epsilon") or 0)
        if row["set"] == "pgd.h5" and row["metric"] == "accuracy"
    ]
    assert all(later <= earlier for earlier, later in zip(curve, curve[1:], strict=False))
    worst = one(found, metric="robust_accuracy", epsilon=0.1)
    assert worst["value"] <= one(found, set="pgd.h5", epsilon=0.1, metric="accuracy")["value"]


@pytest.mark.parametrize(
    "defense",
    [("squeeze", "--bits", "2"), ("squeeze", "--median", "2x2"), ("average", "--samples", "6", "--average", "mean-prob")],
    ids=str,
)
def test_adaptive_is_nowhere_weaker_than_static_and_evaluate_tells_them_apart(run, model, defense):
    run("defend", "--method", *defense)
    strength = (
        "--method",
        "pgd",
        "--no-early-stop",
        "--steps",
        "10",
        "--eps",
        "0.05,0.1,0.2",
        "--model",
        "defended.safetensors",
        "--limit",
        "200",
    )
    run("attack", *strength, "-o", "adaptive.h5", "--eot", "4") if defense[0] == "average" else run(
        "attack", *strength, "-o", "adaptive.h5"
    )
    run("attack", *strength, "--static", "-o", "static.h5")
    found = rows(run("evaluate", "adaptive.h5", "static.h5", "--model", "defended.safetensors", "--json"))
    for eps in (0.05, 0.1, 0.2):
        strong, weak = (one(found, set=f"{name}.h5", epsilon=eps, metric="accuracy") for name in ("adaptive", "static"))
        assert strong["threat"]["knowledge"] == "adaptive"
        assert weak["threat"]["knowledge"] == "static"
        assert strong["threat"]["strength"] == weak["threat"]["strength"] == "full"
        assert strong["low"] <= weak["high"]
        if defense[0] == "average":
            assert strong["threat"]["eot"] == 4
            assert strong["spread"]["draws"] == 3


def test_evaluate_knows_what_the_attacker_knew(run, model):
    run("defend", "--bits", "2")
    run("defend", "--method", "gaussian", "--model", "defended.safetensors", "-o", "twice.safetensors")
    run("train", "--arch", "softmax", "--epochs", "2", "--seed", "9", "-o", "other.safetensors")
    small = ("--method", "pgd", "--steps", "2", "--limit", "12", "--eps", "0.1", "--model")
    run("attack", *small, "model.safetensors", "-o", "plain.h5")
    run("attack", *small, "defended.safetensors", "-o", "once.h5")
    run("attack", *small, "twice.safetensors", "-o", "both.h5")
    run("attack", *small, "twice.safetensors", "--static", "-o", "static.h5")
    names = [f"{name}.safetensors" for name in ("model", "defended", "twice", "other")]
    given = [word for name in names for word in ("--model", name)]
    found = rows(run("evaluate", "plain.h5", "once.h5", "both.h5", "static.h5", *given, "--metric", "accuracy", "--json"))
    knowledge = {
        (row["set"], row["model"].partition(".")[0]): row["threat"]["knowledge"] for row in found if row["kind"] == "adversarial"
    }
    assert {key: knowledge[key] for key in knowledge if key[1] != "other"} == {
        ("plain.h5", "model"): "white-box", ("plain.h5", "defended"): "static", ("plain.h5", "twice"): "static",
        ("once.h5", "model"): "transfer", ("once.h5", "defended"): "adaptive", ("once.h5", "twice"): "static",
        ("both.h5", "model"): "transfer", ("both.h5", "defended"): "transfer", ("both.h5", "twice"): "adaptive",
        ("static.h5", "model"): "white-box", ("static.h5", "defended"): "static", ("static.h5", "twice"): "static",
    }  # fmt: skip
    assert {value for key, value in knowledge.items() if key[1] == "other"} == {"transfer"}
    row = one(found, set="plain.h5", model="other.safetensors", kind="adversarial")
    assert "stopped at first success: weak for transfer" in row["threat"]["notes"]


def test_a_filtered_set_keeps_every_dataset_and_is_called_static(run, model):
    run("attack", "--method", "fgsm", "--limit", "20", "--eps", "0.2")
    made = run("defend", "adversarial.h5", "--method", "gaussian", "--sigma", "0.5")
    assert made.out == "adversarial.filtered.h5\n"
    before, after = columns("adversarial.h5"), columns("adversarial.filtered.h5")
    assert before.keys() == after.keys()
    for name in before.keys() - {"images", "header"}:
        np.testing.assert_array_equal(before[name], after[name])
    from scipy.ndimage import gaussian_filter

    np.testing.assert_allclose(after["images"], gaussian_filter(before["images"], (0, 0, 0.5, 0.5), mode="reflect"), atol=1e-5)
    found = rows(run("evaluate", "adversarial.filtered.h5", "--model", model, "--json"))
    assert found[0]["threat"]["filtered"] == "gaussian"
    assert any("static" in note for note in found[0]["threat"]["notes"])
    assert run("verify", "adversarial.filtered.h5").code == 0


def test_a_perturbation_beyond_its_budget_is_refused(run, model):
    run("attack", "--method", "fgsm", "--limit", "5", "--eps", "0.1")
    with ImageSet("adversarial.h5") as opened:
        header, found = opened.header, {name: opened.column(name) for name in opened.names() if name != "header"}
    found["images"][3] = 1 - found["images"][3]
    imageset_writer.write_rows(Path("forged.h5"), header, found)
    ran = run("evaluate", "forged.h5")
    assert ran.code == 3
    assert "row 3" in ran.err
    assert run("verify", "forged.h5").code == 1


def test_a_lie_about_success_is_found(run, model):
    run("attack", "--method", "fgsm", "--limit", "8", "--eps", "0.01")
    with ImageSet("adversarial.h5") as opened:
        header, found = opened.header, {name: opened.column(name) for name in opened.names() if name != "header"}
    assert not found["success"].all()
    for name, value in (("success", 1), ("prediction", (found["prediction"] + 1) % 10)):
        imageset_writer.write_rows(
            Path("forged.h5"), header, {**found, name: np.broadcast_to(value, 8).astype(found[name].dtype)}
        )
        ran = run("verify", "forged.h5")
        assert ran.code == 1
        assert "row" in ran.out


def test_test_images_never_enter_training(run, model):
    run("attack", "--method", "fgsm", "--limit", "5", "-o", "test.h5")
    run("attack", "--method", "fgsm", "--limit", "40", "--split", "train", "-o", "train.h5")
    ran = run("train", "--data", "test.h5", "-o", "new.safetensors")
    assert ran.code == 3
    assert "test split" in ran.err
    assert run("train", "--data", "train.h5", "--epochs", "1", "-o", "new.safetensors").code == 0
    assert run("train", "--data", "digits:test", "-o", "n.safetensors").code == 3
    assert run("evaluate", "test.h5", "train.h5").code == 3


def test_fail_under_is_an_exit_code(run, model):
    run("attack", "--method", "pgd", "--eps", "0.3", "--limit", "50")
    assert run("evaluate", "--fail-under", "accuracy=0.5").code == 0
    assert run("evaluate", "--fail-under", "accuracy=0.999").code == 1
    assert run("evaluate", "--fail-under", "robust_accuracy=0.9", "--fail-under", "accuracy=0.5").code == 1
    assert run("evaluate", "adversarial.h5", "--fail-under", "accuracy=0.5").code == 2
    assert run("evaluate", "--data", "digits", "--fail-under", "robust_accuracy=0.5").code == 2
    for wrong in ("robust=1", "accuracy", "accuracy=x", "accuracy=2"):
        assert run("evaluate", "--fail-under", wrong).code == 2


def test_json_rows_have_the_promised_keys(run, model):
    run("attack", "--method", "fgsm", "--limit", "20", "--eps", "0.1,8/255")
    for row in rows(
        run("evaluate", "--json", "--metric", "accuracy", "--metric", "per-class", "--metric", "top", "--top", "1,3")
    ):
        assert {"model", "set", "kind", "epsilon", "metric", "value", "n", "k", "low", "high", "threat"} <= row.keys()
        assert 0 <= row["value"] <= 1
        if row["k"] is not None and row["n"]:
            assert row["value"] == row["k"] / row["n"]
            assert row["low"] <= row["value"] <= row["high"]


def test_folders_of_pictures_are_data_and_meet_models_by_name(run, folder):
    images = digits("train")
    x, labels = images.batch(0, 300)
    for k, (picture, label) in enumerate(zip(x, labels, strict=True)):
        name = f"{['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine'][label]}"
        path = Path("pictures") / name / f"{k:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((picture[0].numpy() * 255).round().astype(np.uint8)).save(path)
    assert run("train", "--data", "pictures", "--epochs", "12").code == 0
    assert run("attack", "--method", "fgsm", "--target", "seven", "--quantize").code == 0
    made = columns("adversarial.h5")
    assert made["images"].dtype == made["originals"].dtype == np.uint8
    with ImageSet("adversarial.h5") as opened:
        assert opened.classes == tuple(sorted(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]))
        assert set(made["target"]) == {opened.classes.index("seven")}
    assert rows(run("evaluate", "--json"))[0]["n"] == len(made["originals"])
    assert run("verify", "adversarial.h5").code == 0
    ran = run("attack", "--data", "digits", "--method", "fgsm", "-o", "x.h5")
    assert ran.code == 3
    assert "zero" in ran.err
    Path("pictures/one/broken.png").write_bytes(b"no picture")
    ran = run("train", "--data", "pictures", "-o", "y.safetensors")
    assert ran.code == 3
    assert "broken.png" in ran.err


def test_classes_are_reindexed_in_the_order_given(run, model):
    run("attack", "--method", "fgsm", "--classes", "7,6", "--eps", "0.1")
    made = columns("adversarial.h5")
    assert set(made["labels"]) == {6, 7}
    run("train", "--classes", "7,6", "--arch", "softmax", "--epochs", "3", "-o", "two.safetensors")
    assert run("attack", "--method", "fgsm", "--model", "two.safetensors", "--classes", "6,7", "-o", "two.h5").code == 0
    with ImageSet("two.h5") as opened:
        assert opened.classes == ("7", "6")
        assert set(opened.column("labels")) == {0, 1}
    assert run("attack", "--method", "fgsm", "--model", "two.safetensors", "-o", "three.h5").code == 0


def test_weights_come_in_and_go_out(run, model):
    exported = run("export", "model.safetensors")
    assert exported.out == "model.pt\n"
    plain = torch.load("model.pt", weights_only=True)
    assert all(torch.equal(plain[name], tensor) for name, tensor in load_file(model).items())
    assert run("import", "model.pt", "--arch", "cnn", "--data", "digits", "-o", "back.safetensors").code == 0
    assert all(torch.equal(load_file("back.safetensors")[name], tensor) for name, tensor in plain.items())
    assert rows(run("evaluate", "--model", "back.safetensors", "--data", "digits:test", "--json"))[0]["value"] > 0.9
    run("attack", "--method", "fgsm", "--limit", "6", "--quantize")
    assert run("export", "adversarial.h5").code == 0
    with np.load("adversarial.npz") as arrays:
        np.testing.assert_array_equal(arrays["images"], columns("adversarial.h5")["images"])
    assert run("export", "adversarial.h5", "-o", "pictures").code == 0
    assert len(list(Path("pictures").rglob("*.png"))) == 6


def test_a_pickled_module_is_refused_and_never_run(run, folder):
    class Trap:
        def __reduce__(self):
            return (Path("sprung").touch, ())

    torch.save({"state_dict": Trap()}, "trap.pt")
    ran = run("import", "trap.pt", "--arch", "cnn")
    assert ran.code == 3
    assert not Path("sprung").exists()
    assert "state_dict" in ran.err


def test_the_verbs_are_python_functions(folder, small_model):
    made = advcli.attack(method="fgsm", model=str(small_model), eps="8/255", limit=10, output="a.h5")
    assert made == Path("a.h5")
    report = advcli.evaluate(["a.h5"], model=[str(small_model)])
    assert report.rows[0].epsilon == 8 / 255
    (defended,) = advcli.defend(model=str(small_model), bits=3)
    assert advcli.verify([str(defended)]).passed
    with pytest.raises(advcli.errors.CommandError, match="--stpes"):
        advcli.attack(method="pgd", model=str(small_model), stpes=3)
    with pytest.raises(InputError, match=r"nothing\.h5"):
        advcli.stats(["nothing.h5"])


def test_a_dry_run_writes_nothing_and_counts_right(run, model):
    ran = run(
        "attack",
        "--method",
        "pgd",
        "--steps",
        "2",
        "--eps",
        "0.1,0.2",
        "--target",
        "other",
        "--limit",
        "20",
        "--dry-run",
        "--json",
    )
    told = json.loads(ran.out)
    assert not Path("adversarial.h5").exists()
    run("attack", "--method", "pgd", "--steps", "2", "--eps", "0.1,0.2", "--target", "other", "--limit", "20")
    made = columns("adversarial.h5")
    assert told["rows"] == len(made["images"]) == 20 * 2 * 9
    size = Path("adversarial.h5").stat().st_size + Path("perturbations.h5").stat().st_size
    assert abs(told["bytes"] - size) < 0.1 * size
    assert told["seconds"] > 0


def test_the_score_form_climbs_the_score_of_the_target(run, model):
    """S0-A1: F_t(x') >= F_t(x) on at least 99 % of images at eps 0.01."""
    run("attack", "--method", "fgsm", "--objective", "logit", "--target", "next", "--eps", "0.01", "--limit", "300")
    made = columns("adversarial.h5")
    net, rows_ = model_file.read(model).module(), np.arange(300)
    with torch.no_grad():
        before, after = (net(torch.from_numpy(made[name]))[rows_, made["target"]] for name in ("originals", "images"))
    attacked = made["clean_prediction"] == made["labels"]
    assert (after >= before).numpy()[attacked].mean() >= 0.99


def test_every_kind_of_average_reports_its_calibration(run, model):
    """S1-D1: mean confidence against accuracy."""
    sure = {}
    for how in ("expsum", "mean-prob", "mean-logit", "vote"):
        run("defend", "--method", "average", "--average", how, "--samples", "8", "--force")
        found = rows(
            run(
                "evaluate",
                "--model",
                "defended.safetensors",
                "--data",
                "digits:test",
                "--metric",
                "confidence",
                "--metric",
                "accuracy",
                "--json",
            )
        )
        by = {row["metric"]: row["value"] for row in found}
        assert by["overconfidence"] == pytest.approx(by["confidence"] - by["accuracy"], abs=1e-6)
        sure[how] = by["confidence"]
    assert sure["expsum"] > sure["mean-prob"], "the sum of exponentials is ruled by its surest copy"


def test_a_model_of_two_classes_finds_its_two_classes(run, folder):
    assert run("train", "--classes", "7,6", "--arch", "softmax", "--epochs", "3").code == 0
    assert run("attack", "--method", "fgsm", "--target", "random", "--eps", "0.2").code == 0
    made = columns("adversarial.h5")
    assert set(made["labels"]) == {0, 1}
    assert (made["target"] == 1 - made["labels"]).all()
    assert rows(run("evaluate", "--json"))[0]["n"] == len(made["originals"])


def test_verify_finds_a_success_that_is_kept_quiet_and_a_view_that_lies(run, model):
    run("attack", "--method", "fgsm", "--limit", "20", "--eps", "0.3")
    for name, column, change in (
        ("adversarial.h5", "success", lambda v: v * 0),
        ("perturbations.h5", "labels", lambda v: np.roll(v, 1)),
        ("perturbations.h5", "success", lambda v: 1 - v),
    ):
        with ImageSet(name) as opened:
            header, found = opened.header, {key: opened.column(key) for key in opened.names() if key != "header"}
        imageset_writer.write_rows(Path("forged.h5"), header, {**found, column: change(found[column])})
        ran = run("verify", "forged.h5")
        assert ran.code == 1, ran.out

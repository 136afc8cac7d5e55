"""Training: families of models, adversarial training, retraining on adversarial sets, and the models of paper 4."""

import json
from collections.abc import Iterable
from pathlib import Path

from advcli.numerics.intervals import exact_interval
from advcli.training.monitor import is_blinded
from benchmarks.rows.bench import UNDEFENDED, Bench, Shown

PGD = ("pgd", "--steps", "40")
ADVERSARIAL = ("--recipe", "adversarial", "--against")
SEVENS = ("--classes", "6,7")
PREPARED = {"none": (), "gaussian": ("--preprocess", "gaussian:sigma=2"), "squeeze": ("--preprocess", "squeeze:bits=1")}


def rows(bench: Bench, models: Iterable[Path], *what: str) -> list[dict[str, object]]:
    """The accuracies of models on the sets that `what` names."""
    named = [word for one in models for word in ("--model", str(one))]
    found: list[dict[str, object]] = json.loads(bench.advcli("evaluate", *named, *what, "--metric", "accuracy", "--json"))["rows"]
    return found


def clean(bench: Bench, model: Path, data: str = "mnist:test", *words: str) -> float:
    """Accuracy on images without attack."""
    return float(rows(bench, [model], "--data", data, *words)[-1]["value"])  # type: ignore[arg-type]


def under(bench: Bench, model: Path, *attack: str, eps: str, limit: int = 1000) -> float:
    """Accuracy on new adversarial images, made against the model itself from the first test images."""
    made = bench.folder / "new.h5"
    words = ["--eps", eps, "--limit", str(limit), "--no-perturbations", "-o", str(made), "--force"]
    bench.advcli("attack", "--model", str(model), "--method", *attack, *words)
    return float(rows(bench, [model], str(made))[-1]["value"])  # type: ignore[arg-type]


def log(model: Path) -> list[dict[str, dict[str, float]]]:
    """The lines of a training's log."""
    return [json.loads(line) for line in model.with_suffix(".log.jsonl").read_text().splitlines()]


def retrained(bench: Bench, base: Path, made: Path, arch: tuple[str, ...], *words: str) -> Path:
    """A model trained for two more epochs on its data and on an adversarial set."""
    found = bench.folder / f"{base.stem}-again.safetensors"
    start = ["--data", "mnist", "--arch", *arch, "--weights", str(base)]
    bench.advcli("train", *start, "--augment-adv", str(made), "--epochs", "2", *words, "-o", str(found), "--force")
    return found


def retraining(bench: Bench, base: Path, arch: tuple[str, ...], rounds: int) -> Shown:
    """Rounds of FGSM images of the training split, made against the latest model, each added to all training images."""
    before = [under(bench, base, *one, eps="0.2") for one in (("fgsm",), PGD)]
    latest, said = base, []
    for number in range(rounds):
        made = bench.folder / f"train{number}.h5"
        words = ["--data", "mnist:train", "--eps", "0.2", "--no-perturbations", "-o", str(made)]
        bench.advcli("attack", "--model", str(latest), "--method", "fgsm", *words)
        earlier = [word for k in range(number) for word in ("--augment-adv", str(bench.folder / f"train{k}.h5"))]
        latest = retrained(bench, latest, made, arch, *earlier)
        after = [under(bench, latest, *one, eps="0.2") for one in (("fgsm",), PGD)]
        said.append(f"after round {number + 1} {after[0]:.1%} under new FGSM, {after[1]:.1%} under PGD-40")
    first = f"at eps 0.2 {before[0]:.1%} under FGSM and {before[1]:.1%} under PGD-40 before"
    return Shown(after[0] >= before[0] + 0.3, "; ".join([first, *said, f"clean {clean(bench, latest):.1%}"]))


def s0_d0(bench: Bench) -> Shown:
    """Accuracy on new FGSM images at eps 0.2 rises by at least 30 points, PGD-40 beside it."""
    return retraining(bench, UNDEFENDED, ("cnn",), 2)


def s3_d5(bench: Bench) -> Shown:
    """The same of the shallow network of paper 3: new FGSM images at eps 0.2, 30 points, PGD-40 beside it."""
    return retraining(bench, bench.model("mnist", "mlp", "--hidden", "128", "--epochs", "3"), ("mlp", "--hidden", "128"), 2)


def s0_t1(bench: Bench) -> Shown:
    """At least 98.0 % of MNIST with dropout 0.5 after every block, 98.5 % with it on the hidden layer alone; 60 % of CIFAR-10."""
    every = clean(bench, bench.model("mnist", "cnn", "--dropout", "0.5", "--block-dropout", "0.5", "--epochs", "4"))
    one = clean(bench, bench.model("mnist", "cnn", "--dropout", "0.5", "--epochs", "4"))
    colour = clean(bench, bench.model("cifar10", "cnn", "--width", "32", "--hidden", "128", "--epochs", "8"), "cifar10:test")
    said = f"{every:.1%} with dropout after every block, {one:.1%} on the hidden layer alone, {colour:.1%} of CIFAR-10"
    return Shown(every >= 0.98 and one >= 0.985 and colour >= 0.6, said)


def s1_t0(bench: Bench) -> Shown:
    """A LeNet on CIFAR-10 with sgd at 0.001, momentum 0.9 and small batches reaches at least the reported 46 %."""
    words = ("--optimizer", "sgd", "--lr", "0.001", "--momentum", "0.9", "--batch-size", "4", "--epochs", "2")
    found = clean(bench, bench.model("cifar10", "lenet", *words), "cifar10:test")
    return Shown(found >= 0.46, f"{found:.1%} of the test images, in evaluation mode")


def s1_t1(bench: Bench) -> Shown:
    """A small wide ResNet reaches at least 70 % of CIFAR-10 on a CPU."""
    words = ("--epochs", "5", "--augment", "crop,flip", "--schedule", "onecycle")
    found = clean(bench, bench.model("cifar10", "wrn-10-2", *words), "cifar10:test")
    return Shown(found >= 0.7, f"wrn-10-2: {found:.1%} of the test images, none of which was trained on")


def s1_t2(bench: Bench) -> Shown:
    """FGSM training and training towards random classes: every epoch logs clean, FGSM and PGD-10 validation accuracy, and what
    overfits one step is told so."""
    said, holds = [], True
    for attack in ("fgsm:eps=0.05", "fgsm:eps=0.05,target=random", "dgsm:eps=0.05,target=random"):
        model = bench.folder / "trained.safetensors"
        words = ("train", "--data", "mnist", "--arch", "cnn", *ADVERSARIAL, attack, "--epochs", "2", "--force")
        told = "caught overfitting to one step" in bench.heard(*words, "-o", str(model))
        lines = log(model)
        holds &= len(lines) == 2 and all({"clean", "fgsm", "pgd-10"} < {*line["attacked"]} for line in lines)
        holds &= told == is_blinded(lines[-1])
        last = lines[-1]["attacked"]
        said.append(
            f"{attack}: clean {last['clean']:.0f}, FGSM {last['fgsm']:.0f}, PGD-10 {last['pgd-10']:.0f} of {last['n']:.0f}, "
            f"{'told' if told else 'no sign'} of overfitting"
        )
    plain = [under(bench, UNDEFENDED, *one, eps="0.05", limit=500) for one in (("fgsm",), PGD)]
    return Shown(holds, "; ".join([*said, f"without: FGSM {plain[0]:.1%}, PGD-40 {plain[1]:.1%}"]))


def s2_t1(bench: Bench) -> Shown:
    """The error at eps 0.25 under FGSM falls from at least 80 % to at most 25 %, PGD-40 and clean accuracy beside it."""
    trained = bench.model("mnist", "cnn", *ADVERSARIAL, "fgsm:eps=0.25", "--alpha", "0.5", "--epochs", "4")
    before, after = (1 - under(bench, one, "fgsm", eps="0.25") for one in (UNDEFENDED, trained))
    many, shares = 1 - under(bench, trained, *PGD, eps="0.25"), []
    for one in (UNDEFENDED, trained):
        k, n = (int(str(rows(bench, [one], "--data", "mnist:test")[-1][name])) for name in ("k", "n"))
        low, high = exact_interval(k, n)
        shares.append(f"{k / n:.1%} ({low:.1%} to {high:.1%})")
    said = f"error under FGSM {before:.1%} before, {after:.1%} after, {many:.1%} under PGD-40; clean {shares[0]} and {shares[1]}"
    return Shown(before >= 0.8 and after <= 0.25, said)


def s2_t2(bench: Bench) -> Shown:
    """Weight decay does not stop FGSM: accuracy at eps 0.1 is within 5 points of that without it, or below."""
    words = ("--optimizer", "adamw", "--epochs", "3")
    found = {
        decay: under(bench, bench.model("mnist", "cnn", *words, "--weight-decay", decay), "fgsm", eps="0.1")
        for decay in ("0", "0.01", "0.1")
    }
    said = ", ".join(f"{decay}: {one:.1%}" for decay, one in found.items())
    return Shown(max(found["0.01"], found["0.1"]) <= found["0"] + 0.05, f"accuracy under FGSM at 0.1 by weight decay: {said}")


def s2_m1(bench: Bench) -> Shown:
    """Softmax 91.5 to 93 % of MNIST, a sigmoid net 784-30-10 at least 94, SVM 90, tree 84 to 89, neighbours 94, their vote 92."""
    sigmoid = ("--hidden", "30", "--activation", "sigmoid", "--epochs", "20")
    models = {
        "softmax": bench.model("mnist", "softmax", "--epochs", "8"),
        "sigmoid": bench.model("mnist", "mlp", *sigmoid),
        "svm": bench.model("mnist", "svm", "--limit", "10000"),
        "tree": bench.model("mnist", "tree"),
        "knn": bench.model("mnist", "knn", "--limit", "10000"),
    }
    first, *others = models.values()
    vote = bench.folder / "vote.safetensors"
    members = [word for one in others for word in ("--member", str(one))]
    bench.advcli("defend", "--method", "vote", "--model", str(first), *members, "-o", str(vote))
    found = {name: clean(bench, one) for name, one in {**models, "vote": vote}.items()}
    low = {"softmax": 0.915, "sigmoid": 0.94, "svm": 0.9, "tree": 0.84, "knn": 0.94, "vote": 0.92}
    holds = all(found[name] >= least for name, least in low.items()) and found["softmax"] <= 0.93 and found["tree"] <= 0.89
    return Shown(holds, ", ".join(f"{name} {one:.1%}" for name, one in found.items()))


def s2_m2(bench: Bench) -> Shown:
    """Augmentation and dropout in training only; top-5 is at least top-1, and top-10 of ten classes is 1."""
    model = bench.model("mnist", "cnn", "--augment", "crop", "--dropout", "0.5", "--epochs", "3")
    found = []
    for count in ("1", "5", "10"):
        table = bench.advcli(
            "evaluate", "--model", str(model), "--data", "mnist:test", "--metric", "top", "--top", count, "--json"
        )
        found.append(json.loads(table)["rows"][-1]["value"])
    again = clean(bench, model) == clean(bench, model) == found[0]
    return Shown(
        again and found[0] <= found[1] and found[2] == 1, f"top-1 {found[0]:.2%}, top-5 {found[1]:.2%}, top-10 {found[2]:.0%}"
    )


def s4_t1(bench: Bench) -> Shown:
    """Both networks of the paper, with label smoothing 0.1: at least 99.5 % of the sixes and sevens."""
    words = (*SEVENS, "--label-smoothing", "0.1", "--batch-size", "128", "--lr", "0.001", "--epochs", "2")
    found = {arch: clean(bench, bench.model("mnist", arch, *words)) for arch in ("cleverhans-basic", "lenet-pool")}
    return Shown(min(found.values()) >= 0.995, ", ".join(f"{arch} {one:.2%}" for arch, one in found.items()))


def s3_t1(bench: Bench) -> Shown:
    """A shallow net stopped at 95.16 % of the validation images has 95 to 96.5 % of the test images."""
    found = clean(bench, bench.model("mnist", "mlp", "--hidden", "128", "--stop-at", "0.9516"))
    return Shown(0.95 <= found <= 0.965, f"{found:.2%} of the test images")


def s3_d3(bench: Bench) -> Shown:
    """Distillation at 100 costs at most 1.5 points; it hinders attacks on the cross-entropy, not one on the margin (80 %)."""
    warm = ("--temperature", "100", "--epochs", "4")
    teacher = bench.model("mnist", "cnn", *warm)
    student = bench.folder / "student.safetensors"
    words = ("--data", "mnist", "--arch", "cnn", "--recipe", "distill", "--teacher", str(teacher))
    bench.advcli("train", *words, *warm, "-o", str(student))
    plain, left = clean(bench, UNDEFENDED), clean(bench, student)
    sure, margin = (under(bench, student, *PGD, "--objective", one, eps="0.3", limit=500) for one in ("xent", "margin"))
    said = f"clean {plain:.1%} and {left:.1%}; under PGD-40 at 0.3 on the cross-entropy {sure:.1%}, on the margin {margin:.1%}"
    return Shown(left >= plain - 0.015 and sure >= margin + 0.2 and margin <= 0.2, said)


def basic(bench: Bench, *words: str) -> Path:
    """The paper's network on sixes and sevens."""
    return bench.model("mnist", ("cleverhans-basic",), *SEVENS, "--lr", "0.001", "--epochs", "3", *words)


def fgsm_trained(bench: Bench, *words: str) -> Path:
    """The same, trained half on FGSM images at 0.3 of the model's own predictions."""
    return basic(bench, *ADVERSARIAL, "fgsm:eps=0.3,label=pred", "--alpha", "0.5", *words)


def s4_t2(bench: Bench) -> Shown:
    """The three baselines side by side: none, a filter in training, adversarial training; clean, FGSM and PGD-40 at 0.3."""
    models = {"none": basic(bench), "gaussian": basic(bench, *PREPARED["gaussian"]), "FGSM": fgsm_trained(bench)}
    found = {
        name: [clean(bench, one), *(under(bench, one, *attack, eps="0.3") for attack in (("fgsm",), PGD))]
        for name, one in models.items()
    }
    said = "; ".join(f"{name}: clean {a:.1%}, FGSM {b:.1%}, PGD-40 {c:.1%}" for name, (a, b, c) in found.items())
    return Shown(min(one[0] for one in found.values()) >= 0.99 and found["none"][1] < found["FGSM"][1], said)


def s4_t3(bench: Bench) -> Shown:
    """FGSM accuracy at 0.3 of the FGSM-trained network at least 95 %, PGD-40 beside it."""
    model = fgsm_trained(bench)
    one, many = (under(bench, model, *attack, eps="0.3") for attack in (("fgsm",), PGD))
    return Shown(one >= 0.95, f"FGSM {one:.1%}, PGD-40 {many:.1%}, clean {clean(bench, model):.1%}")


def black_box(bench: Bench, model: Path, data: str, name: str, seed: str) -> Path:
    """FGSM images at 0.3 made on a substitute that was trained on the model's decisions."""
    made = bench.folder / f"{name}.h5"
    words = [
        "--fit-data",
        "mnist:val",
        "--fit-limit",
        "150",
        "--rounds",
        "6",
        "--arch",
        "mlp:hidden=200,200",
        "--no-perturbations",
        "--seed",
        seed,
    ]
    bench.advcli(
        "attack", "--model", str(model), "--method", "substitute", "--data", data, *SEVENS, *words, "-o", str(made), "--force"
    )
    return made


def defended_black_box(bench: Bench, base: Path, *words: str) -> Path:
    """The model, trained again on transferred black-box images of its training split."""
    made = black_box(bench, base, "mnist:train", "transferred", "0")
    return retrained(bench, base, made, "cleverhans-basic", *SEVENS, "--lr", "0.001", *words)


def s4_t4(bench: Bench) -> Shown:
    """After training again on transferred black-box images, accuracy on new ones rises; white-box FGSM at 0.3 beside it."""
    base = basic(bench)
    again = defended_black_box(bench, base)
    found = []
    for model in (base, again):
        new = black_box(bench, model, "mnist:test", "new-substitute", "7")
        found.append((float(str(rows(bench, [model], str(new))[-1]["value"])), under(bench, model, "fgsm", eps="0.3")))
    (before, white), (after, white_after) = found
    said = f"new transferred images {before:.1%} before, {after:.1%} after; white-box FGSM {white:.1%} and {white_after:.1%}"
    return Shown(after > before, said)

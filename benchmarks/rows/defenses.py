"""Defenses of the papers on MNIST: what they stop where the attack does not know them, and what goes through them."""

import json
import math

from benchmarks.rows.bench import UNDEFENDED, Bench, Shown

NET = str(UNDEFENDED)
TEST = ("--data", "mnist:test")
SOME = (*TEST, "--limit", "500")


def prediction(rate: float, fitted: int, measured: int) -> tuple[float, float]:
    """95 % interval of a false-positive rate on new images, when its threshold was set on others."""
    half = 1.96 * math.sqrt(rate * (1 - rate) * (1 / fitted + 1 / measured))
    return rate - half, rate + half


def dropout_net(bench: Bench) -> str:
    """A cnn with dropout after every block, as S0-T1 has it: the votes need dropout between the layers."""
    return str(bench.model("mnist", "cnn", "--dropout", "0.5", "--block-dropout", "0.5", "--epochs", "4"))


RAW_STEPS = ("--method", "grad", "--target", "next", "--no-perturbations", *TEST, "--limit", "150")
STOPS = {"first success": ("--steps", "200"), **{f"{n} steps": ("--steps", n, "--no-early-stop") for n in ("50", "200")}}


def along_the_raw_gradient(bench: Bench) -> dict[str, str]:
    """Sets of the net with dropout along the gradient itself, as in the paper: stopped at the first success, and longer ones."""
    for name, words in STOPS.items():
        bench.advcli("attack", "--model", dropout_net(bench), *RAW_STEPS, *words, "-o", f"{name}.h5")
    return {name: f"{name}.h5" for name in STOPS}


def as_stored(bench: Bench, model: str, path: str) -> dict[str, float]:
    """Metrics on the images of a minimal-norm set as they are: the table has a line for each budget beside them."""
    metrics = [word for name in ("recovered", "success") for word in ("--metric", name)]
    table = json.loads(bench.advcli("evaluate", path, "--model", model, *metrics, "--json"))["rows"]
    return {row["metric"]: row["value"] for row in table if row["epsilon"] is None}


def s0_d1(bench: Bench) -> Shown:
    """Of the examples along the raw gradient that fool the net, a vote of 50 passes puts 25 to 75 % right where the attack
    stopped at its first success, and at most 10 % after 200 steps; clean accuracy within a point."""
    net, sets = dropout_net(bench), along_the_raw_gradient(bench)
    bench.advcli("defend", "--model", net, "--method", "dropout-vote", "--passes", "50", "-o", "vote.safetensors")
    clean, voted = (bench.accuracy(one, *SOME) for one in (net, "vote.safetensors"))
    found = {name: as_stored(bench, "vote.safetensors", path) for name, path in sets.items()}
    weak, strong = (found[name]["recovered"] for name in ("first success", "200 steps"))
    said = [f"{name} {one['recovered']:.1%} right (the target still wins {one['success']:.1%})" for name, one in found.items()]
    holds = 0.25 <= weak <= 0.75 and strong <= 0.1 and abs(clean - voted) <= 0.01
    beside = with_dropout_on_the_hidden_layer(bench)
    said += [f"clean {voted:.1%} against {clean:.1%}", f"with dropout on the hidden layer alone {beside:.1%} at first success"]
    return Shown(holds, ", ".join(said))


def with_dropout_on_the_hidden_layer(bench: Bench) -> float:
    """The share that the vote puts right of minimal examples where dropout does not lie between the other layers."""
    net = str(bench.model("mnist", "cnn", "--dropout", "0.5", "--epochs", "3"))
    bench.advcli("attack", "--model", net, *RAW_STEPS, *STOPS["first success"], "-o", "hidden.h5")
    bench.advcli("defend", "--model", net, "--method", "dropout-vote", "--passes", "50", "-o", "hidden.safetensors")
    return as_stored(bench, "hidden.safetensors", "hidden.h5")["recovered"]


def s0_d1b(bench: Bench) -> Shown:
    """The entropy of the votes tells minimal examples from clean images (area at least 0.9), and confident ones no longer."""
    net, sets = dropout_net(bench), along_the_raw_gradient(bench)
    bench.advcli("defend", "--model", net, "--method", "dropout-detector", "--passes", "50", "-o", "seen.safetensors")
    areas = {name: bench.figures("--model", "seen.safetensors", path, "--metric", "roc")["auc"] for name, path in sets.items()}
    holds = areas["first success"] >= 0.9 > areas["200 steps"]
    return Shown(holds, "area " + ", ".join(f"{area:.3f} at {name}" for name, area in areas.items()))


def s0_d2(bench: Bench) -> Shown:
    """A network tells FGSM at 0.1 from clean images (area at least 0.99); an attack through it is wrong and unseen on half."""
    fit = ("--against", "fgsm:eps=0.1", "--limit", "20000", "--epochs", "3")
    bench.advcli("defend", "--model", NET, "--method", "detector", *fit, "-o", "seen.safetensors")
    bench.advcli("attack", "--model", NET, "--method", "fgsm", "--eps", "0.1", *SOME, "-o", "static.h5")
    more = ("--eps", "0.2", "--steps", "200", *TEST, "--limit", "200")
    bench.advcli("attack", "--model", "seen.safetensors", "--method", "apgd", *more, "-o", "adaptive.h5")
    area = bench.figures("--model", "seen.safetensors", "static.h5", "--metric", "roc")["auc"]
    unseen = bench.success("seen.safetensors", "adaptive.h5")
    return Shown(area >= 0.99 and unseen >= 0.5, f"area {area:.4f}; apgd through it at 0.2 wrong and unseen {unseen:.1%}")


def s0_d3(bench: Bench) -> Shown:
    """An autoencoder puts right at least 60 % of FGSM 0.2, costs at most a point, and PGD through it leaves under 30 %."""
    fit = ("--against", "fgsm:eps=0.2", "--limit", "20000", "--epochs", "3")
    bench.advcli("defend", "--model", NET, "--method", "autoencoder", *fit, "-o", "cleaned.safetensors")
    bench.advcli("attack", "--model", NET, "--method", "fgsm", "--eps", "0.2", *SOME, "-o", "static.h5")
    through = ("--model", "cleaned.safetensors", "--method", "pgd", "--eps", "0.2,0.4", "--steps", "40")
    bench.advcli("attack", *through, *TEST, "--limit", "200", "-o", "adaptive.h5")
    clean = bench.accuracy(NET, *TEST)
    kept = bench.accuracy("cleaned.safetensors", *TEST)
    fixed = bench.figures("--model", "cleaned.safetensors", "static.h5", "--metric", "recovered")["recovered"]
    left = bench.curve("cleaned.safetensors", "adaptive.h5")
    holds = fixed >= 0.6 and clean - kept <= 0.01 and left[0] < 0.3
    why = "at 0.2 it learns a threshold between MNIST's black and white, and a straight-through clip breaks no more"
    seen = f"put right {fixed:.1%}, clean {kept:.1%} against {clean:.1%}"
    return Shown(holds, f"{seen}; pgd through it leaves {left[0]:.1%} at 0.2 and {left[1]:.1%} at 0.4 ({why})")


def s1_d1(bench: Bench) -> Shown:
    """The average over copies drawn within 0.3 under PGD through it is nowhere more accurate than under the static attack."""
    how = ("--samples", "20", "--eps-max", "0.3")
    bench.advcli("defend", "--model", NET, "--method", "average", *how, "-o", "average.safetensors")
    budgets = ("0.1", "0.2", "0.3")
    seen = {}
    for name, words in {
        "static": ("--model", NET),
        "adaptive": ("--model", "average.safetensors", "--eot", "2"),
    }.items():
        for eps in budgets:
            attack = ("--method", "pgd", "--steps", "20", "--no-early-stop", "--eps", eps, *TEST, "--limit", "200")
            bench.advcli("attack", *words, *attack, "-o", f"{name}{eps}.h5")
            found = bench.figures("--model", "average.safetensors", f"{name}{eps}.h5", "--metric", "accuracy")
            seen[name, eps] = found["accuracy"]
    curves = {name: ", ".join(f"{seen[name, eps]:.1%}" for eps in budgets) for name in ("static", "adaptive")}
    holds = all(seen["adaptive", eps] <= seen["static", eps] for eps in budgets)
    return Shown(holds, f"at {', '.join(budgets)}: static {curves['static']}; through it {curves['adaptive']}")


def s2_d4(bench: Bench) -> Shown:
    """A vote of three models is right on no more images under an attack on all of them than under transfer from one."""
    members = [str(bench.model("mnist", arch, "--epochs", "2")) for arch in ("mlp", "lenet")]
    asked = [word for one in members for word in ("--member", one)]
    bench.advcli("defend", "--model", NET, "--method", "vote", "--rule", "mean-prob", *asked, "-o", "vote.safetensors")
    how = ("--method", "pgd", "--eps", "0.2", "--no-early-stop", *TEST, "--limit", "200")
    bench.advcli("attack", "--model", NET, *how, "-o", "transfer.h5")
    bench.advcli("attack", "--model", "vote.safetensors", *how, "-o", "joint.h5")
    transfer, joint = (bench.accuracy("vote.safetensors", one) for one in ("transfer.h5", "joint.h5"))
    return Shown(joint <= transfer, f"transfer {transfer:.1%}, joint {joint:.1%}")


def s4_d2b(bench: Bench) -> Shown:
    """The feature-squeezing detector rejects 5 % of clean test images within the interval; FGSM 0.3 reported on its successes."""
    bench.advcli("defend", "--model", NET, "--method", "squeeze-detector", "-o", "seen.safetensors")
    bench.advcli("attack", "--model", NET, "--method", "fgsm", "--eps", "0.3", *SOME, "-o", "static.h5")
    bench.advcli(
        "attack", "--model", "seen.safetensors", "--method", "pgd", "--eps", "0.3", *TEST, "--limit", "100", "-o", "adaptive.h5"
    )
    rejected = 1 - bench.figures("--model", "seen.safetensors", *TEST, "--metric", "coverage")["coverage"]
    static = bench.figures("--model", "seen.safetensors", "static.h5", "--metric", "roc", "--metric", "success")
    adaptive = bench.success("seen.safetensors", "adaptive.h5")
    low, high = prediction(0.05, 5000, 10_000)  # fitted on a tenth of the training images, measured on all test images
    seen = f"rejects {rejected:.1%} of clean images (expected {low:.1%} to {high:.1%})"
    against = f"static: area {static['auc']:.3f}, unseen {static['success']:.1%}; pgd through it unseen {adaptive:.1%}"
    return Shown(low <= rejected <= high, f"{seen}; {against}")


def s2_a5(bench: Bench) -> Shown:
    """The substitute asks 4,800 times at most, and FGSM 0.3 on it leaves the oracle below clean and above white-box accuracy."""
    how = ("--method", "substitute", "--eps", "0.3", *SOME)
    bench.advcli("attack", "--model", NET, *how, "-o", "substitute.h5")
    bench.advcli("attack", "--model", NET, "--method", "fgsm", "--eps", "0.3", *SOME, "-o", "white.h5")
    clean = bench.accuracy(NET, *SOME)
    black, white = (bench.accuracy(NET, one) for one in ("substitute.h5", "white.h5"))
    return Shown(white <= black < clean - 0.1, f"clean {clean:.1%}, transferred {black:.1%}, white-box {white:.1%}")


def s4_a5(bench: Bench) -> Shown:
    """The substitute with the paper's change of direction after three rounds lowers the accuracy on sixes and sevens."""
    net = str(bench.model("mnist", "cleverhans-basic", "--classes", "6,7", "--epochs", "6", "--label-smoothing", "0.1"))
    how = (
        "--method",
        "substitute",
        "--eps",
        "0.3",
        "--lambda-schedule",
        "wang-zhang",
        "--arch",
        "mlp:hidden=200,200",
        "--data",
        "mnist:test",
        "--classes",
        "6,7",
    )
    bench.advcli("attack", "--model", net, *how, "--limit", "500", "-o", "substitute.h5")
    clean = bench.accuracy(net, "--data", "mnist:test", "--classes", "6,7")
    left = bench.accuracy(net, "substitute.h5")
    return Shown(left < clean - 0.1, f"clean {clean:.1%}, transferred {left:.1%} (the paper: 76.7 %)")

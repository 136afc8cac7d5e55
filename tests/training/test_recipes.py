"""Recipes that attack or are taught: their losses by hand on a half-space, the log that watches them, the same bytes."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, rel_entr, softmax
from torch import nn

from advcli.files import atomic
from advcli.networks import model_file
from advcli.training import monitor
from advcli.training.inner_attack import inner_attack
from conftest import Halfspace, near_the_plane
from faults import Interrupting
from plain_loop import ARCHS, everything, network
from recipe_losses import DRAWS, LABEL, QUICK, entropy, loss_of, score_of


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(
    "against", ["fgsm:eps=0.1", "pgd:eps=0.1,steps=3", "pgd:eps=0.1,norm=l2,steps=5,random_start=false", "fgm:eps=0.1,norm=l1"]
)
def test_the_mixed_loss_is_that_of_the_exact_worst_case_on_a_half_space(against, alpha):
    model, x = Halfspace(), near_the_plane()
    dual = {"linf": 1, "l2": 2, "l1": torch.inf}[inner_attack(against, 1).norm]
    reach = 0.1 * float(model.w.detach().norm(dual))
    sign = np.where(LABEL.numpy() == 1, 1, -1)
    score = score_of(model, x)
    expected = alpha * entropy(score, LABEL) + (1 - alpha) * entropy(score - sign * reach, LABEL)
    found = loss_of("adversarial", model, x, LABEL, against=against, alpha=alpha)
    np.testing.assert_allclose(found.detach(), expected, rtol=2e-3)


def test_no_gradient_flows_through_the_attack():
    """S2-T1: not through the sign either; with alpha 0 on adversarial images alone."""
    model, x = Halfspace(), near_the_plane()
    attacked = inner_attack("fgm:eps=0.5", 1).attacked(model, x, LABEL, DRAWS)
    assert not attacked.requires_grad
    loss_of("adversarial", model, x, LABEL, against="fgm:eps=0.5", alpha=0.0).sum().backward()
    found, model.w.grad = model.w.grad, None
    nn.functional.cross_entropy(model(attacked), LABEL, reduction="sum").backward()
    assert torch.equal(found, model.w.grad)


OWN = '''"""Attacks and recipes of one's own."""
from advcli.errors import AdvcliError
from advcli.extend import attack, recipe
from torch.nn.functional import cross_entropy

@attack(family="mine", kind="budget", norms=("linf",), access="none")
def never(victim, x, goal, eps, *, rng, early_stop):
    raise AdvcliError("it was called")

@recipe(family="mine")
def slow(model, x, label, *, rng, epoch, half_life: float = 1.0):
    return 0.5 ** (epoch / half_life) * cross_entropy(model(x, rng), label, reduction="none")
'''


def test_with_alpha_one_training_is_ordinary_to_the_bit_and_makes_no_attack(run, folder):
    """S2-T1: alpha 1."""
    Path("mine.py").write_text(OWN)
    words = [*QUICK, "--dropout", "0.2", "--augment", "crop"]
    assert run(*words, "-o", "plain.safetensors").code == 0
    adversarial = [*words, "--recipe", "adversarial", "--against", "mine:never"]
    assert run(*adversarial, "--alpha", "1", "-o", "mixed.safetensors").code == 0
    plain, mixed = (model_file.read(f"{name}.safetensors").metadata["weights"] for name in ("plain", "mixed"))
    assert plain == mixed
    ran = run(*adversarial, "--alpha", "0.99", "-o", "other.safetensors")
    assert ran.code == 4
    assert "it was called" in ran.err


def test_a_recipe_of_ones_own_may_ask_for_the_epoch(run, folder):
    Path("mine.py").write_text(OWN)
    assert run(*QUICK, "--recipe", "mine:slow", "--half-life", "0.01").code == 0
    losses = [json.loads(line)["loss"] for line in Path("model.log.jsonl").read_text().splitlines()]
    assert losses[0] > 0.01 > losses[1] >= 0


WAYS = {
    "adversarial": ["--recipe", "adversarial", "--against", "pgd:eps=0.1,steps=2"],
    "one step": ["--recipe", "adversarial", "--against", "pgd:steps=1,step_size=1.25*eps", "--warmup", "2", "--keep", "best"],
    "directed": ["--recipe", "adversarial", "--against", "fgsm:target=random", "--alpha", "0", "--ema", "0.9"],
    "leaving the prediction": ["--recipe", "adversarial", "--against", "fgsm:label=pred", "--precision", "bfloat16"],
    "through a filter": ["--recipe", "adversarial", "--against", "fgsm", "--preprocess", "squeeze:bits=3"],
    "trades": ["--recipe", "trades", "--eps", "0.1", "--steps", "2", "--dropout", "0.3"],
    "distill": ["--recipe", "distill", "--teacher", "teacher.safetensors", "--temperature", "5", "--augment", "crop"],
}


@pytest.mark.parametrize("way", WAYS)
def test_an_interrupted_training_ends_with_the_same_bytes(way, run, folder, monkeypatch):
    if way == "distill":
        assert run("train", "--arch", "mlp", "--epochs", "2", "-o", "teacher.safetensors").code == 0
    command = [*QUICK, *WAYS[way]]
    assert run(*command, "-o", "whole.safetensors").code == 0
    monkeypatch.setattr(atomic, "calls", Interrupting())
    assert run(*command, "-o", "cut.safetensors").code == 130
    monkeypatch.setattr(atomic, "calls", atomic.Calls())
    assert "resuming after epoch 2 of 4" in run(*command, "-o", "cut.safetensors").err
    assert Path("cut.safetensors").read_bytes() == Path("whole.safetensors").read_bytes()


@pytest.mark.parametrize("way", WAYS)
def test_the_shown_command_makes_the_same_bytes_again(way, run, folder):
    if way == "distill":
        assert run("train", "--arch", "mlp", "--epochs", "2", "-o", "teacher.safetensors").code == 0
    assert run(*QUICK, *WAYS[way]).code == 0
    first = Path("model.safetensors").read_bytes()
    shown = next(line for line in run("show", "model.safetensors").out.splitlines() if line.strip().startswith("command"))
    words = shlex.split(shown.split("advcli ", 1)[1])
    assert run(*words).code == 0, "the same command: there is nothing to do"
    Path("model.safetensors").unlink()
    assert run(*words).code == 0
    assert Path("model.safetensors").read_bytes() == first


def test_the_log_watches_a_training_against_an_attack(run, folder):
    """S1-T2: clean, FGSM and PGD-10 validation accuracy after every epoch."""
    ran = run("train", "--arch", "mlp", "--recipe", "adversarial", "--against", "pgd:eps=0.1,steps=3", "--epochs", "5")
    lines = [json.loads(line) for line in Path("model.log.jsonl").read_text().splitlines()]
    assert len(lines) == 5
    for line in lines:
        under = line["attacked"]
        assert (under["norm"], under["eps"], under["n"]) == ("linf", "0.1", 130)
        assert under["clean"] == line["val"]["k"]
        assert under["pgd-10"] <= under["fgsm"] + 2 < under["clean"]
        assert under["seconds"] > 0
    assert "caught" not in ran.err
    last = lines[-1]["attacked"]
    assert f"under pgd-10 at linf 0.1 {last['pgd-10'] / 130:.1%} ({last['pgd-10']} of 130" in ran.err
    figures = model_file.read("model.safetensors").metadata["figures"]
    assert figures["attacked"]["pgd-10"] == last["pgd-10"]
    assert "seconds" not in figures["attacked"]
    run("attack", "--method", "fgsm", "--eps", "0.1", "--data", "digits:val")
    rows = json.loads(run("evaluate", "adversarial.h5", "--metric", "accuracy", "--json").out)["rows"]
    assert [row["k"] for row in rows] == [last["fgsm"]]


def test_the_best_epoch_is_the_best_under_pgd(run, folder):
    words = ["--recipe", "trades", "--eps", "0.15", "--steps", "3", "--lr", "0.02", "--epochs", "8", "--arch", "mlp"]
    assert run("train", *words, "--keep", "best").code == 0
    lines = [json.loads(line) for line in Path("model.log.jsonl").read_text().splitlines()]
    ranks = [(line["attacked"]["pgd-10"], line["val"]["k"]) for line in lines]
    best = lines[ranks.index(max(ranks))]
    assert best is not lines[-1], "else this test says nothing"
    figures = model_file.read("model.safetensors").metadata["figures"]
    assert (figures["accuracy"]["k"], figures["attacked"]["pgd-10"]) == (best["val"]["k"], best["attacked"]["pgd-10"])
    rows = json.loads(run("evaluate", "--data", "digits:val", "--json").out)["rows"]
    assert rows[0]["k"] == best["val"]["k"]


@pytest.mark.parametrize(
    ("clean", "one", "many", "caught"),
    [(95, 90, 5, True), (95, 90, 80, False), (95, 20, 0, False), (0, 0, 0, False), (95, 60, 29, True)],
)
def test_overfitting_to_one_step_is_what_holds_against_one_and_falls_to_many(clean, one, many, caught):
    line = {"epoch": 3, "val": {"k": clean}, "attacked": {"norm": "linf", "eps": "0.3", "n": 100, "clean": clean, "fgsm": one,
                                                          "pgd-10": many}}  # fmt: skip
    assert monitor.is_blinded(line) is caught
    assert not monitor.is_blinded({"epoch": 3, "val": {"k": clean}})


def test_without_validation_images_a_training_against_an_attack_says_that_nothing_watches(run, folder):
    assert run("train", "--arch", "mlp", "--epochs", "1").code == 0
    attack = ["attack", "--method", "fgsm", "--data", "digits:train", "--limit", "60", "--eps", "0.1", "--no-perturbations"]
    assert run(*attack).code == 0
    command = ["train", "--arch", "mlp", "--epochs", "1", "--data", "adversarial.h5", "-o", "again.safetensors"]
    assert "nothing tells" in run(*command, "--recipe", "trades").err
    assert "attacked" not in json.loads(Path("again.log.jsonl").read_text())
    assert "nothing tells" not in run(*command, "--force").err


def test_training_on_one_step_is_caught_overfitting_by_its_own_log(run, folder):
    """S1-T2 and S4-T3: one step is held and PGD is not, and the user is told."""
    against = ["--recipe", "adversarial", "--against", "fgsm:eps=0.3", "--alpha", "0"]
    ran = run("train", "--arch", "mlp", *against, "--epochs", "40", "--keep", "best")
    lines = [json.loads(line) for line in Path("model.log.jsonl").read_text().splitlines()]
    last, kept = lines[-1]["attacked"], lines[monitor.kept_epoch(lines, "best")]
    assert last["fgsm"] > 40
    assert last["pgd-10"] < 4
    assert f"caught overfitting to one step: after epoch 40 {last['fgsm']} of 130 hold against one step" in ran.err
    assert f"kept is epoch {kept['epoch']}, the best under pgd-10" in ran.err


def test_trades_is_the_divergence_at_either_end_of_the_slope():
    model, x = Halfspace(), near_the_plane()
    score = score_of(model, x)
    found = loss_of("trades", model, x, LABEL, eps="0.1", beta=4.0, steps=5).detach().numpy()
    reach = 0.1 * float(model.w.detach().abs().sum())

    def loss(end):
        here, there = (softmax(np.stack([-s, s], 1), 1) for s in (score, score + end))
        return entropy(score, LABEL) + 4 * rel_entr(here, there).sum(1)

    ends = np.stack([loss(reach), loss(-reach)])
    assert (np.abs(ends - found).min(0) < 2e-3 * found).all()
    assert (found > entropy(score, LABEL) + 0.1).all()  # from x itself it would not have moved: no slope there
    plain = loss_of("trades", model, x, LABEL, eps="0.1", beta=0.0, steps=1)
    assert torch.equal(plain, nn.functional.cross_entropy(model(x), LABEL, reduction="none"))


def test_the_gradient_of_trades_flows_through_both_answers():
    model, x = Halfspace(), near_the_plane()
    loss_of("trades", model, x, LABEL, eps="0.1", beta=1.0, steps=5).sum().backward()
    w, found = model.w.detach().double(), model.w.grad.double()
    score = torch.tensor(score_of(model, x))
    grid = (x.double() - 0.5).flatten(1)
    uphill = 0.1 * w.sign()
    # of each sample the end that trades took: the one whose divergence, computed here, is in its loss
    taken = loss_of("trades", model, x, LABEL, eps="0.1", beta=1.0, steps=5).detach().double()
    point = w.clone().requires_grad_()

    def total(sign):
        here, there = grid @ point, (grid + sign[:, None] * uphill) @ point
        p, q = (torch.stack([-s, s], 1).log_softmax(1) for s in (here, there))
        return nn.functional.cross_entropy(torch.stack([-here, here], 1), LABEL, reduction="none") + (p.exp() * (p - q)).sum(1)

    ones = torch.ones(len(score), dtype=torch.float64)
    best = torch.where((total(ones) - taken).abs() < (total(-ones) - taken).abs(), 1.0, -1.0)
    total(best).sum().backward()
    torch.testing.assert_close(found, point.grad, rtol=1e-3, atol=1e-4)


def test_a_student_learns_the_teachers_answers_at_the_temperature():
    """S3-D3: the loss at a temperature."""
    student, teacher, x = Halfspace(), Halfspace(), near_the_plane()
    with torch.no_grad():
        teacher.w.mul_(-3)
    found = loss_of("distill", student, x, LABEL, teacher=teacher, temperature=5.0).detach()
    soft, logits = (np.stack([-s, s], 1) / 5 for s in (score_of(teacher, x), score_of(student, x)))
    np.testing.assert_allclose(found, -(softmax(soft, 1) * log_softmax(logits, 1)).sum(1), rtol=1e-5)


def test_a_teacher_must_be_there_and_fit(run, folder):
    assert run("train", "--arch", "mlp", "--classes", "3,5", "--epochs", "2", "-o", "two.safetensors").code == 0
    distill = [*QUICK, "--recipe", "distill"]
    for words, code, says in (
        ([], 2, "--teacher FILE"),
        (["--teacher", "nowhere.safetensors"], 3, "nowhere.safetensors"),
        (["--teacher", "two.safetensors"], 3, "3, 5"),
        (["--teacher", "two.safetensors", "--classes", "5,3"], 3, "3, 5"),
        (["--teacher", "two.safetensors", "--classes", "3,5", "-o", "two.safetensors"], 2, "would overwrite"),
    ):
        ran = run(*distill, *words)
        assert ran.code == code, ran.err
        assert says in ran.err
    assert run(*QUICK, "--teacher", "two.safetensors").code == 2
    rejecting = ["defend", "--model", "two.safetensors", "--method", "squeeze-detector", "-o", "rejecting.safetensors"]
    assert run(*rejecting).code == 0
    ran = run(*distill, "--teacher", "rejecting.safetensors", "--classes", "3,5")
    assert ran.code == 3
    assert "cannot be a teacher" in ran.err
    assert run(*distill, "--teacher", "two.safetensors", "--classes", "3,5").code == 0
    teacher = model_file.read("two.safetensors").digest
    assert model_file.read("model.safetensors").metadata["made"]["parents"] == [{"role": "teacher", "digest": teacher}]
    assert "--teacher two.safetensors" in run("show", "model.safetensors").out
    Path("two.safetensors").unlink()
    assert f"--teacher '<sha256:{teacher[:4]}" in run("show", "model.safetensors").out


def test_what_scikit_learn_fits_has_no_recipe(run, folder):
    ran = run("train", "--arch", "tree", "--recipe", "adversarial")
    assert ran.code == 2
    assert "--recipe" in ran.err


SEEDS, TOLERANCE = (0, 1), 0.06
DG3 = {"mlp": {"clean": (0.969, 0.973), "fgsm": (0.76, 0.77), "pgd": (0.74, 0.75), "pgd at 0.2": (0.15, 0.15)},
       "cnn": {"clean": (0.987, 0.987), "fgsm": (0.82, 0.85), "pgd": (0.79, 0.81), "pgd at 0.2": (0.11, 0.16)}}  # fmt: skip


def plain_loop(arch):
    """FGSM training at eps 0.1, alpha 0.5, and its figures: textbook torch that shares no code with the program."""
    (x, y), (test, truth) = everything("train"), everything("test")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(100)
        net = network(arch)
        optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)

        def slope(z, label):
            z = z.clone().requires_grad_()
            return torch.autograd.grad(nn.functional.cross_entropy(net(z), label), z)[0].sign()

        for _ in range(40):
            for rows in torch.randperm(len(x)).split(64):
                worse = (x[rows] + 0.1 * slope(x[rows], y[rows])).clamp(0, 1)
                optimizer.zero_grad()
                both = [nn.functional.cross_entropy(net(z), y[rows]) for z in (x[rows], worse)]
                (sum(both) / 2).backward()
                optimizer.step()

        def accuracy(z):
            return float((net(z).argmax(1) == truth).double().mean())

        def pgd(eps):
            z = (test + eps * (2 * torch.rand_like(test) - 1)).clamp(0, 1)
            for _ in range(40):
                z = torch.minimum(torch.maximum(z + 2.5 * eps / 40 * slope(z, truth), test - eps), test + eps).clamp(0, 1)
            return accuracy(z)

        return {
            "clean": accuracy(test),
            "fgsm": accuracy((test + 0.1 * slope(test, truth)).clamp(0, 1)),
            "pgd": pgd(0.1),
            "pgd at 0.2": pgd(0.2),
        }


@pytest.mark.parametrize("arch", ARCHS)
def test_fgsm_training_on_digits_agrees_with_a_plain_torch_loop_and_the_catalogue(arch, run, folder):
    """DG3."""
    found, loop = [], plain_loop(arch)
    fgsm_training = ["--recipe", "adversarial", "--against", "fgsm:eps=0.1", "--alpha", "0.5"]
    for seed in SEEDS:
        assert run("train", *ARCHS[arch], *fgsm_training, "--epochs", "40", "--seed", seed, "--force").code == 0
        run("attack", "--method", "fgsm", "--eps", "0.1,0.2", "-o", "fgsm.h5", "--force")
        run("attack", "--method", "pgd", "--eps", "0.1,0.2", "--no-early-stop", "-o", "pgd.h5", "--force")
        clean = json.loads(run("evaluate", "--data", "digits:test", "--json").out)["rows"]
        rows = json.loads(run("evaluate", "fgsm.h5", "pgd.h5", "--metric", "accuracy", "--json").out)["rows"]
        (one, one_far), (many, many_far) = (
            [r["value"] for r in rows if (r["set"], r["metric"]) == (name, "accuracy")] for name in ("fgsm.h5", "pgd.h5")
        )
        assert many <= one
        assert many_far <= one_far
        found.append({"clean": clean[0]["value"], "fgsm": one, "pgd": many, "pgd at 0.2": many_far})
    assert run("train", *ARCHS[arch], "--epochs", "40", "--seed", SEEDS[-1], "-o", "plain.safetensors").code == 0
    run("attack", "--model", "plain.safetensors", "--method", "pgd", "--eps", "0.1", "--no-early-stop", "-o", "plain.h5")
    evaluated = run("evaluate", "--model", "plain.safetensors", "plain.h5", "--metric", "accuracy", "--json").out
    undefended = json.loads(evaluated)["rows"][0]["value"]
    for name, (low, high) in DG3[arch].items():
        ours, theirs = [one[name] for one in found], loop[name]
        print(f"{arch} {name}: ours {np.round(ours, 3)}, loop {np.round(theirs, 3)}, catalogue {low} to {high}")
        assert abs(np.mean(ours) - theirs) <= TOLERANCE
        assert low - TOLERANCE <= np.mean(ours) <= high + TOLERANCE
    assert found[-1]["pgd"] >= undefended + 0.2

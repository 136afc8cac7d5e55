"""Contracts that every attack inherits by existing, and the half-space that holds it to the truth on both sides."""

import numpy as np
import pytest
import torch
from torch import nn

from advcli.catalog import discovery
from advcli.numerics.balls import Ball, distance, tolerance
from advcli.numerics.quantities import budgets
from advcli.search.job import Job
from conftest import Halfspace, attacked, near_the_plane
from small_networks import Affine, Small, pictures

SPECS = [spec for spec in discovery.specs("attack") if spec.traits.access != "structure"]  # test_without_gradients.py has those
CASES = [pytest.param(spec, norm, id=f"{spec.name}-{norm}") for spec in SPECS for norm in spec.traits.norms]
BOUNDED = [case for case in CASES if case.values[0].traits.budgeted and case.values[1] != "raw"]
INFORMED = [case for case in BOUNDED if case.values[0].traits.access != "none" and case.values[0].traits.within]
MINIMAL = [case for case in CASES if case.values[0].traits.kind == "minimal"]
CLOSE = [case for case in MINIMAL if case.values[0].traits.within]
TARGETED = [case for case in INFORMED + CLOSE if case.values[0].traits.targeted]
SHAPES = [(1, 28, 28), (3, 32, 32), (3, 12, 20), (1, 1, 7)]
IN_SHAPES = [  # of a cascade, each stage is an attack of this list: the small shapes are enough
    pytest.param(spec, norm, shape, id=f"{case.id}-{shape}")
    for case in BOUNDED
    for spec, norm in [case.values]
    for shape in (SHAPES[2:] if spec.traits.has("stages") else SHAPES)
]


def options(spec, norm):
    small = {"arch": "mlp:hidden=8", "rounds": 2, "epochs": 1} if spec.option("arch") else {}  # a stand-in for any picture
    few = {"queries": 40} if spec.option("queries") else {}  # of a cascade's last stage, which asks on where nothing falls
    few |= {"population": 12} | ({"generations": 6} if spec.option("generations") else {}) if spec.option("population") else {}
    return ({"norm": norm} if spec.option("norm") else {}) | small | few


def quick(spec):
    few = {"steps": 5, "rounds": 3, "population": 20}
    pairs = {"samples": 8} if spec.option("steps") and spec.option("samples") else {}
    return {name: count for name, count in few.items() if spec.option(name)} | pairs


def limited(spec):
    """As few queries as tell what is to be told, where a method that asks for scores or decisions would ask thousands."""
    return {"max_queries": 100} if spec.traits.has("queries") else {}


@pytest.mark.parametrize(("spec", "norm"), INFORMED)
def test_fools_every_image_that_it_can_reach(spec, norm, halfspace):
    x = near_the_plane()
    label = halfspace(x).argmax(1)
    for k, far in enumerate(halfspace.distance(x, norm).tolist()):
        eps = f"{spec.traits.within * far:.9f}"
        made = attacked(spec.name, halfspace, x[k : k + 1], label[k : k + 1], eps, options=options(spec, norm))
        assert made["success"].all(), f"not fooled at {spec.traits.within} times the distance {far}"


@pytest.mark.parametrize(("spec", "norm"), BOUNDED)
def test_fools_no_image_that_it_cannot_reach(spec, norm, halfspace):
    x = near_the_plane()
    label = halfspace(x).argmax(1)
    for k, far in enumerate(halfspace.distance(x, norm).tolist()):
        eps = f"{0.98 * far:.9f}"
        made = attacked(spec.name, halfspace, x[k : k + 1], label[k : k + 1], eps, options=options(spec, norm), **limited(spec))
        assert not made["success"].any(), f"claims to fool at 0.98 times the distance {far}"


@pytest.mark.parametrize(("spec", "norm"), TARGETED)
def test_reaches_the_target_that_it_can_reach(spec, norm, halfspace):
    x = near_the_plane()
    label = halfspace(x).argmax(1)
    far = halfspace.distance(x, norm).max().item()
    eps = f"{spec.traits.within * far:.9f}"
    made = attacked(spec.name, halfspace, x, label, eps, target="next", options=options(spec, norm))
    assert (made["target"] == 1 - label.numpy()).all()
    assert made["success"].all()


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize(("spec", "norm", "shape"), IN_SHAPES)
def test_stays_in_the_ball_and_in_range(spec, norm, shape, classes):
    model, x = Small(shape, classes), pictures(shape)
    label = model(x).argmax(1)
    full = {"early_stop": False, "restarts": 1 if spec.traits.has("stages") else 2, **limited(spec)}
    for eps in (0.0, 0.03, 0.7):
        made = attacked(spec.name, model, x, label, str(eps), options=options(spec, norm), **full)
        images = torch.from_numpy(made["images"])
        assert images.dtype == torch.float32
        assert images.min() >= 0
        assert images.max() <= 1
        assert (distance(images, x, norm) <= eps + tolerance(eps)).all()
        if eps == 0.7 and spec.traits.access != "none":
            assert not torch.equal(images, x)


@pytest.mark.parametrize(("spec", "norm"), CLOSE)
def test_comes_as_close_to_the_plane_as_it_says(spec, norm, halfspace):
    x = near_the_plane()
    made = attacked(spec.name, halfspace, x, halfspace(x).argmax(1), options=options(spec, norm))
    ratio = distance(torch.from_numpy(made["images"]), x, norm) / halfspace.distance(x, norm)
    assert made["success"].all()
    assert (ratio >= 1 - 1e-5).all()
    assert (ratio <= spec.traits.within).all(), ratio


@pytest.mark.parametrize("classes", [2, 3, 4, 10])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("spec", "norm"), CLOSE)
def test_comes_as_close_as_it_says_from_black_and_white_pictures(spec, norm, shape, classes):
    if spec.traits.targeted == "only":
        pytest.skip("the distance to one class is another one")
    model, x = Affine(shape, classes), pictures(shape, 8 if np.prod(shape) < 1000 else 2).round()
    x[-1] = 0.0
    label = model(x).argmax(1)
    exact = model.distance(x, label, norm)
    assert exact.isfinite().all()
    made = attacked(spec.name, model, x, label, options=options(spec, norm))
    ratio = distance(torch.from_numpy(made["images"]), x, norm) / exact
    assert made["success"].all()
    assert (ratio >= 1 - 1e-5).all()
    assert (ratio <= spec.traits.within).all(), ratio


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("spec", "norm"), MINIMAL)
def test_a_method_without_a_budget_wins_or_gives_the_original_back(spec, norm, shape, classes):
    model, x = Small(shape, classes), pictures(shape)
    made = attacked(spec.name, model, x, model(x).argmax(1), options=options(spec, norm) | quick(spec))
    images, won = torch.from_numpy(made["images"]), torch.from_numpy(made["success"]).bool()
    assert images.dtype == torch.float32
    assert images.min() >= 0
    assert images.max() <= 1
    assert np.isnan(made["epsilon"]).all()
    assert torch.equal(images[~won], x[~won])
    assert (distance(images, x, norm)[won] > 0).all()


@pytest.mark.parametrize(("spec", "norm"), CASES)
def test_leaves_the_world_as_it_found_it(spec, norm):
    model, x = Small((1, 4, 4), 3).train(), pictures((1, 4, 4))
    label = model(x).argmax(1)
    kept, state = x.clone(), torch.get_rng_state()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    made = attacked(spec.name, model, x, label, "0.1", options=options(spec, norm), **limited(spec))
    assert len(made["images"]) == len(x)
    assert torch.equal(x, kept)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(("spec", "norm"), CASES)
def test_an_empty_batch_is_no_special_case(spec, norm, halfspace):
    made = attacked(
        spec.name, halfspace, near_the_plane()[:0], torch.zeros(0, dtype=torch.int64), "0.1", options=options(spec, norm)
    )
    assert made["images"].shape == (0, 3, 2, 2)
    assert len(made["success"]) == 0


@pytest.mark.parametrize(("spec", "norm"), [case for case in CASES if case.values[0].traits.has("images")])
def test_images_that_are_wrong_from_the_start_cost_nothing(spec, norm, halfspace):
    x = near_the_plane()
    wrong = 1 - halfspace(x).argmax(1)
    made = attacked(spec.name, halfspace, x, wrong, "0.1,0.2", options=options(spec, norm))
    assert (made["images"] == x.numpy().repeat(2 if spec.traits.budgeted else 1, 0)).all()
    assert not made["success"].any()
    assert made["queries"].sum() == made["gradients"].sum() == 0


@pytest.mark.parametrize(("spec", "norm"), [c for c in CASES if c.values[0].traits.access == "none"])
def test_touches_no_gradient_where_it_says_so(spec, norm):
    class Closed(Halfspace):
        def forward(self, x, draws=None):
            assert not torch.is_grad_enabled() or not x.requires_grad, "asked for a gradient"
            return super().forward(x)

    x = near_the_plane()
    made = attacked(spec.name, Closed().requires_grad_(False), x, Closed()(x).argmax(1), "0.3", options=options(spec, norm))
    assert made["gradients"].sum() == made["queries"].sum() == 0


@pytest.mark.parametrize(("spec", "norm"), CASES)
def test_zero_gradients_give_an_honest_failure(spec, norm):
    class Flat(nn.Module):
        def forward(self, x, draws=None):
            return torch.tensor([[1.0, 0.0, -1.0]]).expand(len(x), 3) + 0 * x.flatten(1).sum(1, keepdim=True)

    x = pictures((1, 4, 4))
    label = torch.zeros(5, dtype=torch.int64)
    made = attacked(spec.name, Flat(), x, label, "0.3", options=options(spec, norm), **limited(spec))
    assert np.isfinite(made["images"]).all()
    assert not made["success"][made["target"] != 0].any()
    if spec.traits.kind == "minimal":
        assert (made["images"] == x.numpy()).all(), "a failed row holds the original"


@pytest.mark.parametrize(("spec", "norm"), CASES)
def test_verdicts_hardly_depend_on_the_batch(spec, norm):
    model, x = Small((1, 6, 6), 5), pictures((1, 6, 6), 70)
    label, settings = model(x).argmax(1), options(spec, norm) | quick(spec)
    sizes = (7, 64) if spec.traits.has("stages") else (1, 7, 64)  # of a cascade, each stage is an attack of this list
    made = [attacked(spec.name, model, x, label, "0.1", options=settings, batch=size) for size in sizes]
    for other in made[1:]:
        assert (made[0]["success"] == other["success"]).mean() >= 0.99
        if spec.traits.access == "none":
            assert (made[0]["images"] == other["images"]).all(), "draws are equal to the bit"


@pytest.mark.parametrize("rule", ["all", "other", "random", "next", "least-likely", "2"])
def test_targets_are_what_their_words_say(rule):
    model, x = Small((1, 4, 4), 4), pictures((1, 4, 4), 40)
    logits = model(x)
    label = logits.argmax(1)
    made = attacked("fgsm", model, x, label, "0.1", target=rule)
    target, truth = made["target"].reshape(40, -1), label.numpy()
    if rule == "all":
        assert (target == np.arange(4)).all()
        assert not made["success"].reshape(40, 4)[np.arange(40), truth].any(), "a class is no target of its own images"
    elif rule == "other":
        assert all(sorted([*row, own]) == [0, 1, 2, 3] for row, own in zip(target, truth, strict=True))
    elif rule == "random":
        assert (target[:, 0] != truth).all()
        assert len(np.unique(target)) == 4
    elif rule == "next":
        assert (target[:, 0] == (truth + 1) % 4).all()
    elif rule == "least-likely":
        assert (target[:, 0] == logits.argmin(1).numpy()).all()
    else:
        assert (target == 2).all()


def test_the_score_form_of_fgsm_is_exact_on_a_linear_model():
    """S0-A1: with --objective logit the step is +eps sign(W[t]), clipped."""
    layer = nn.Linear(12, 3)

    class Linear(nn.Module):
        def forward(self, x, draws=None):
            return layer(x.flatten(1))

    x = near_the_plane(20)
    label = Linear()(x).argmax(1)
    made = attacked("fgsm", Linear(), x, label, "0.1", target="next", options={"objective": "logit"})
    wanted = x + 0.1 * layer.weight[(label + 1) % 3].sign().view(-1, 3, 2, 2)
    torch.testing.assert_close(torch.from_numpy(made["images"]), wanted.detach().clamp(0, 1), atol=1e-7, rtol=0)


def test_bim_takes_kurakins_number_of_steps():
    """S2-A7: ceil(min(eps + 4, 1.25 eps)) with eps in grey levels."""
    from advcli.attacks.bim import automatic_steps

    as_stored = [float(np.float32(levels / 255)) for levels in (2, 4, 8, 16, 32)]
    assert [automatic_steps(eps) for eps in as_stored] == [3, 5, 10, 20, 36]


def test_one_step_raises_the_loss_as_its_gradient_says():
    """S2-A1: for a small eps the loss rises by eps ||grad||_1 along the sign, and by eps ||grad||_2 along the gradient."""
    model, x = Small((1, 6, 6), 4), 0.3 + 0.4 * pictures((1, 6, 6), 20)
    label, eps = model(x).argmax(1), 1e-3
    point = x.clone().requires_grad_()
    before = nn.functional.cross_entropy(model(point), label, reduction="none")
    (slope,) = torch.autograd.grad(before.sum(), point)
    for method, norm, length in (("fgsm", "linf", slope.flatten(1).abs().sum(1)), ("fgm", "l2", slope.flatten(1).norm(dim=1))):
        made = attacked(method, model, x, label, str(eps), options={} if method == "fgsm" else {"norm": norm})
        with torch.no_grad():
            rise = nn.functional.cross_entropy(model(torch.from_numpy(made["images"])), label, reduction="none") - before
        torch.testing.assert_close(rise.detach(), eps * length, rtol=0.1, atol=2e-6)


def test_accuracy_falls_with_every_budget_of_a_sweep_on_a_shallow_network():
    """S3-A1: accuracy against eps is monotone on a network whose classes are half-spaces."""
    model, x = Halfspace(), near_the_plane(60)
    made = attacked("fgsm", model, x, model(x).argmax(1), "0:0.3:0.05")
    left = 1 - made["success"].reshape(60, 7).mean(0)
    assert (np.diff(left) <= 0).all()
    assert left[0] == 1
    assert left[-1] < 0.5


def test_a_sweep_in_one_step_costs_one_gradient_for_every_image():
    model, x = Small((1, 4, 4), 3), pictures((1, 4, 4), 7)
    label = model(x).argmax(1)
    label[2] = (label[2] + 1) % 3
    made = attacked("fgsm", model, x, label, "0:0.3:0.025")
    assert made["gradients"].reshape(7, 13)[:, 0].tolist() == [1, 1, 0, 1, 1, 1, 1]
    assert made["gradients"].sum() == 6
    assert made["queries"].sum() == 0
    assert len(made["originals"]) == 7


def test_early_stop_spends_less_and_full_strength_goes_deeper():
    model, x = Small((1, 6, 6), 5), pictures((1, 6, 6), 50)
    label = model(x).argmax(1)
    first, full = (attacked("pgd", model, x, label, "0.2", early_stop=flag) for flag in (True, False))
    won = first["success"].astype(bool)
    assert won.any()
    assert (full["gradients"] == 40).all()
    assert (first["gradients"][won] < 40).all()
    logits = [torch.sort(model(torch.from_numpy(one["images"][won])), 1).values for one in (first, full)]
    assert (logits[1][:, -1] - logits[1][:, -2]).mean() > (logits[0][:, -1] - logits[0][:, -2]).mean()


def test_rounding_sends_only_those_back_to_work_whom_it_cost_their_success():
    model, x = Small((1, 6, 6), 5), pictures((1, 6, 6), 50)
    label = model(x).argmax(1)
    plain, rounded = (attacked("pgd", model, x, label, "0.2", quantize=flag) for flag in (False, True))
    same = (plain["success"] & rounded["success"]).astype(bool)
    assert (rounded["gradients"][same] == plain["gradients"][same]).mean() > 0.8
    assert (rounded["gradients"][~rounded["success"].astype(bool)] == 80).all(), (
        "the others get a second search, of full strength"
    )


def test_restarts_keep_the_best_and_never_lose():
    model, x = Small((1, 6, 6), 5), pictures((1, 6, 6), 100)
    label = model(x).argmax(1)
    once, often = (attacked("noise", model, x, label, "0.6", restarts=n)["success"] for n in (1, 8))
    assert (often >= once).all()
    assert often.sum() > once.sum()


@pytest.mark.parametrize(("spec", "norm"), CASES)
def test_no_attack_loses_a_point_that_it_has_seen(spec, norm):
    model, x = Small((1, 6, 6), 5), pictures((1, 6, 6), 5 if spec.traits.has("stages") else 30)
    label = model(x).argmax(1)
    for early_stop in (True, False):
        settings = {"early_stop": early_stop, **limited(spec)}
        made = attacked(spec.name, model, x, label, "0.1,0.3", options=options(spec, norm) | quick(spec), **settings)
        assert (
            not made["on_the_way"].any() if "on_the_way" in made else spec.traits.kind in ("direction", "universal", "substitute")
        )


def test_a_method_that_returns_nonsense_is_judged_by_the_verdict():
    x = near_the_plane()

    wild = torch.full_like(x, torch.nan)
    wild[1:] = 7.0
    ball = Ball(x, torch.full((len(x),), 0.1), "linf")
    bound = discovery.spec("attack", "fgsm").bind({})
    job = Job(Halfspace(), bound, "linf", budgets("0.1"), None, "true", 0, torch.device("cpu"))
    point = job.settle(ball, wild)
    assert torch.equal(point[0], x[0])
    assert ball.holds(point).all()

"""Every value of every choice of every attack, on the half-space: it succeeds where it must, and stays where it may go."""

import pytest
import torch

from advcli.catalog import discovery
from advcli.errors import AdvcliError
from advcli.numerics import losses
from advcli.numerics.balls import distance, tolerance
from conftest import attacked, near_the_plane

SPECS = [spec for spec in discovery.specs("attack") if spec.traits.access != "structure"]  # test_without_gradients.py has those
CHOICES = [
    pytest.param(spec, one.name, value, id=f"{spec.name}-{one.name}-{value}")
    for spec in SPECS
    for one in spec.options
    for value in one.choices or ()
    if not spec.traits.has("start")  # nor is what has no original near any plane
]
LUCKY = ("spsa", "nes")  # a random point of a pair may cross the plane by itself, whatever they climb
OBJECTIVES = [  # nor has a transform a distance: its random start may do by itself
    case
    for case in CHOICES
    if case.values[1] == "objective" and case.values[0].traits.norms != ("none",) and case.values[0].name not in LUCKY
]
# What a method is given so that the half-space is within its reach.
BESIDE = {
    "jsma": {"gamma": 1.0},  # all pixels of a small picture
    "simba": {"basis": "dct"},  # pixels have no order of frequencies
    "spatial": {"border": 0, "max_shift": 1, "ink_tolerance": 10.0},
    "substitute": {"arch": "mlp:hidden=8", "rounds": 2, "epochs": 1},
    "universal": {"epochs": 5},
}
# Methods that need not fool anything, and why; they stay in the ball like the others.
MAY_FAIL = {
    "noise": "it asks nothing, and goes anywhere",
    "substitute": "it climbs on a network that has hardly learned; test_substitute.py holds what its schedules do",
}
FAR = 2.0  # distances, for a method that promises no number


def chosen(spec, name, value):
    return BESIDE.get(spec.name, {}) | {name: value}


def norm_of(spec, options):
    return options.get("norm", spec.traits.norms[0])


def images_for(spec, model, count=24):
    """Images of both classes; of one class for what is to fool all of them by one perturbation."""
    x = near_the_plane(count)
    return x[model(x).argmax(1) == 1] if spec.traits.kind == "universal" else x


def ran(spec, model, x, options, eps):
    return attacked(spec.name, model, x, model(x).argmax(1), f"{eps:.9f}", options=options)


@pytest.mark.parametrize(("spec", "name", "value"), CHOICES)
def test_every_choice_succeeds_where_it_must_and_stays_in_the_ball(spec, name, value, halfspace):
    x, options = images_for(spec, halfspace), chosen(spec, name, value)
    assert len(x) > 5
    norm = norm_of(spec, options)
    if norm in ("linf", "l2", "l1"):
        exact = halfspace.distance(x, norm)
        eps = float((spec.traits.within or FAR) * exact.max())
    else:
        eps, exact = 5.0, None
    made = ran(spec, halfspace, x, options, eps)
    images, success = torch.from_numpy(made["images"]), torch.from_numpy(made["success"]).bool()
    assert success.all() or spec.name in MAY_FAIL
    assert (halfspace(images).argmax(1) != halfspace(x).argmax(1))[success].all()
    assert images.min() >= 0
    assert images.max() <= 1
    assert not torch.equal(images, x)
    if exact is None:
        return
    moved = distance(images, x, norm)
    assert (moved[success] >= (1 - 1e-5) * exact[success]).all(), "nothing nearer than the plane fools"
    if spec.traits.budgeted:
        assert (moved <= eps + tolerance(eps)).all()
    elif spec.traits.within:
        assert (moved <= spec.traits.within * exact).all()


@pytest.mark.parametrize(("spec", "name", "value"), OBJECTIVES)
def test_an_objective_with_its_sign_turned_fools_nothing(spec, name, value, halfspace, monkeypatch):
    """So the test before this one can fail; each image has a budget of its own, lest the start alone should do."""
    x = near_the_plane(4)
    for table in (losses.LOSSES, losses.TOWARDS):
        monkeypatch.setitem(table, value, lambda logits, label, straight=table[value]: -straight(logits, label))
    for k, far in enumerate(halfspace.distance(x, norm_of(spec, {})).tolist()):
        made = ran(spec, halfspace, x[k : k + 1], {name: value}, (spec.traits.within or FAR) * far)
        assert not made["success"].any()


@pytest.mark.parametrize("spec", [one for one in SPECS if one.option("norm")], ids=lambda one: one.name)
def test_the_norms_to_choose_from_are_those_that_the_method_says_it_has(spec):
    assert tuple(spec.option("norm").choices) == tuple(spec.traits.norms)


@pytest.mark.parametrize(("spec", "name"), sorted({(case.values[0].name, case.values[1]) for case in CHOICES}))
def test_any_other_value_is_refused(spec, name):
    with pytest.raises(AdvcliError, match="nonsense"):
        discovery.spec("attack", spec).bind({name: "nonsense"})

"""The kinds of attack are one table: every entry can be run, and an entry of a user's own is all that a new kind needs."""

from pathlib import Path

import pytest

from advcli.catalog.kinds import KINDS, loaded
from advcli.catalog.traits import AttackTraits
from advcli.crafting.first_stage import FirstStageKind
from advcli.files.imageset_reader import ImageSet
from advcli.search.procedure import Procedure

OWN = '''"""Several proposals for every image: lighter, darker, and the attack tries them all."""
import torch
from advcli.extend import KINDS, Kind, Procedure, attack, deepest

def point(method, victim, ball, goal, rng, *, early_stop):
    return method(victim, ball.center.clone(), goal, ball.radius.clone(), rng=rng)[0]

def every_one(job, best, victim, rng, *, early_stop, refused=False):
    for budget in range(len(job.budgets)):
        for number in range(2):
            todo = best.open(budget, again=refused)

            def propose(ball, todo=todo, number=number):
                found = job.method(victim[todo], ball.center.clone(), best.search_goal(victim)[todo], ball.radius.clone(), rng=rng[todo])
                return found[number]

            yield budget, todo, propose

SEVERAL = Procedure(point, every_one, deepest, few_calls=True)
KINDS["several"] = Kind("ninth:SEVERAL", takes_budget=True)

@attack(family="mine", kind="several", norms=("linf",), access="scores", targeted=False)
def shades(victim, x, goal, eps, *, rng):
    eps = eps.view(-1, 1, 1, 1)
    return torch.stack([x + eps, x - eps])
'''


@pytest.mark.parametrize("name", sorted(KINDS))
def test_what_a_kind_names_is_there(name):
    kind = KINDS[name]
    assert isinstance(loaded(kind.procedure), Procedure)
    if kind.first_stage:
        assert isinstance(loaded(kind.first_stage), FirstStageKind)


@pytest.fixture
def ninth(folder):
    Path("ninth.py").write_text(OWN)
    yield
    KINDS.pop("several", None)


def test_a_ninth_kind_is_one_entry(run, model, ninth):
    ran = run("attack", "--method", "ninth:shades", "--eps", "0.1,0.4", "--limit", "40")
    assert ran.code == 0, ran.err
    assert run("verify", "adversarial.h5").code == 0
    with ImageSet("adversarial.h5") as made:
        signs = {float((made.rows("images", k, k + 1) - made.pick("originals", [k // 2])).sum().sign()) for k in range(80)}
        assert signs == {-1.0, 0.0, 1.0}, "both proposals were judged, each where it was the better one; 0: wrong from the start"
    trained = run(
        "train",
        "--recipe",
        "adversarial",
        "--against",
        "ninth:shades:eps=0.1",
        "--epochs",
        "1",
        "--limit",
        "100",
        "-o",
        "t.safetensors",
    )
    assert trained.code == 0, trained.err
    for words in (["--max-queries", "5"], ["--fit-limit", "5"], ["--count", "3"], ["--target", "next"]):
        code = run("attack", "--method", "ninth:shades", "--limit", "5", "--force", *words).code
        assert code == (0 if words[0] == "--max-queries" else 2), words


def test_a_kind_that_is_not_in_the_table_is_refused():
    with pytest.raises(ValueError, match="there are direction, budget"):
        AttackTraits("mine", "patch", ("linf",), "none")

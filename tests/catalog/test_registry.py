"""The registry: what is read from the source without importing it is what the living functions say."""

import importlib
from pathlib import Path

import pytest

from advcli.catalog import discovery
from advcli.errors import CommandError

ALL = [pytest.param(role, name, id=f"{role}-{name}") for role in discovery.FOLDERS for name in discovery.names(role)]


@pytest.mark.parametrize(("role", "name"), ALL)
def test_the_source_and_the_function_say_the_same(role, name):
    read = discovery.spec(role, name)
    alive = discovery.from_function(role, name, read.load())
    assert read.options == alive.options
    assert read.traits == alive.traits
    assert read.doc == alive.doc


@pytest.mark.parametrize(("role", "name"), ALL)
def test_the_file_the_function_and_the_command_have_one_name(role, name):
    spec = discovery.spec(role, name)
    assert spec.attribute.replace("_", "-") == name
    assert importlib.import_module(spec.module).__file__.endswith(name.replace("-", "_") + ".py")
    assert spec.summary.endswith((".", ":")) or "." in spec.summary
    assert all(option.param.help for option in spec.options), "every option says what it does"


def test_one_word_has_one_meaning_everywhere():
    seen: dict[str, tuple] = {}
    for role in ("attack", "defense", "recipe"):
        for spec in discovery.specs(role):
            for one in spec.options:
                assert seen.setdefault(one.name, (one.type,))[0] == one.type


OWN = '''"""Turns the picture upside down."""
from advcli.extend import attack
from typing import Annotated
from advcli.extend import Param

@attack(family="mine", kind="direction", norms=("linf",), access="none", targeted=False)
def upside(victim, x, goal, *, rng, share: Annotated[float, Param("How much.", low=0, high=1)] = 0.5):
    return share * (x.flip(2) - x).sign()

def plain(victim, x, goal): ...
'''


def test_a_users_own_method_is_a_method_like_any_other(run, model):
    Path("mymethods.py").write_text(OWN)
    assert "--share NUMBER" in run("attack", "--method", "mymethods:upside", "--help").out
    ran = run("attack", "--method", "mymethods:upside", "--share", "1/4", "--limit", "10")
    assert ran.code == 0, ran.err
    shown = run("show", "adversarial.h5")
    assert "mymethods:upside" in shown.out
    assert "--share 0.25" in shown.out
    assert run("verify", "adversarial.h5").code == 0
    assert run("attack", "--method", "mymethods:upside", "--share", "2").code == 2
    for wrong, words in (("mymethods:plain", "decorate"), ("mymethods:none", "has no 'none'"), ("nosuch:x", "cannot import")):
        ran = run("attack", "--method", wrong)
        assert ran.code == 2
        assert words in ran.err


def test_an_unknown_method_names_those_there_are():
    with pytest.raises(CommandError, match=", ".join(discovery.names("attack"))):
        discovery.spec("attack", "pdg")


ODD = '''"""Odd methods."""
import torch
from advcli.extend import attack

def mark(**more):
    return attack(family="mine", **{"kind": "budget", "norms": ("linf",), "access": "none", **more})

@mark()
def inplace(victim, x, goal, eps, *, rng, early_stop):
    return x.fill_(0.5)

@mark()
def wrong_shape(victim, x, goal, eps, *, rng, early_stop):
    return x[:, :, :1]

@mark()
def nothing(victim, x, goal, eps, *, rng, early_stop): ...

@mark()
def nan(victim, x, goal, eps, *, rng, early_stop):
    return x * torch.nan

@mark(kind="direction")
def double(victim, x, goal, *, rng):
    return torch.ones_like(x).double()
'''


@pytest.mark.parametrize(("name", "code"), [("inplace", 0), ("nan", 0), ("double", 0), ("wrong_shape", 2), ("nothing", 2)])
def test_methods_that_behave_oddly_make_valid_files_or_an_error_that_names_them(run, model, name, code):
    Path("oddmethods.py").write_text(ODD)
    ran = run("attack", "--method", f"oddmethods:{name}", "--limit", "9", "--eps", "0.1")
    assert ran.code == code, ran.err
    if code:
        assert name in ran.err
    else:
        assert run("verify", "adversarial.h5").code == 0

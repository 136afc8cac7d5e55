"""Requests: what a verb can be asked for is one dataclass, and the function, the command line and the help agree with it."""

import inspect
from dataclasses import FrozenInstanceError, fields

import pytest

import advcli
from advcli.catalog.requests import REQUESTS, AttackRequest
from advcli.cli.typer_options import signature
from advcli.errors import CommandError
from advcli.verbs import call

VERBS = ("train", "attack", "defend", "evaluate", "audit", "stats", "show", "verify", "import", "export")


def test_the_verbs_are_those_that_are_exported():
    assert tuple(REQUESTS) == VERBS
    exported = {call.python_name(verb) for verb in VERBS}
    assert set(advcli.__all__) == exported | {"__version__", "AdversarialImages", "PrintingReporter"}
    assert {one for one in dir(advcli) if not one.startswith("__")} == exported | {"AdversarialImages", "PrintingReporter"}
    assert all(getattr(advcli, name).__doc__ for name in advcli.__all__)
    with pytest.raises(AttributeError, match="count"):
        advcli.count  # noqa: B018  # the look-up is what is tested


@pytest.mark.parametrize("verb", VERBS)
def test_function_command_line_and_request_name_the_same_options(verb):
    request = REQUESTS[verb]
    function = getattr(advcli, call.python_name(verb))
    names = [one.name for one in request.options()]
    assert sorted(names) == sorted(one.name for one in fields(request))
    found = inspect.signature(function).parameters
    assert sorted(n for n, p in found.items() if p.kind is not p.VAR_KEYWORD and n != "reporter") == sorted(names)
    assert tuple(n for n, p in found.items() if p.kind is p.POSITIONAL_OR_KEYWORD) == call.first_of(verb)
    assert inspect.getdoc(function).startswith(request.summary())
    for one in request.options():
        assert one.param.help
        assert f"    {one.name}: {one.param.help}" in function.__doc__
        assert found[one.name].default in (one.default, inspect.Parameter.empty)
    assert {one.name for one, _ in signature(verb, [])} == {*names}


def test_a_request_is_checked_when_it_is_made_and_never_changes():
    asked, own = AttackRequest.read("attack", {"eps": "8/255", "limit": "10", "steps": 3})
    assert (asked.eps, asked.limit, asked.seed, own) == ("8/255", 10, 0, {"steps": 3})
    with pytest.raises(FrozenInstanceError):
        asked.limit = 3
    with pytest.raises(CommandError, match="--limit"):
        AttackRequest.read("attack", {"limit": 0})
    with pytest.raises(CommandError, match="has no option --stpes"):
        advcli.stats(["a.h5"], stpes=3)
    with pytest.raises(CommandError, match="name the file"):
        advcli.export()


def test_an_option_stands_under_the_heading_of_its_part():
    assert AttackRequest.heading_of("eps") == "Strength"
    assert AttackRequest.heading_of("limit") == "Data"
    assert AttackRequest.heading_of("apply") == "Options"
    assert REQUESTS["evaluate"].heading_of("seed") == "Running"  # with a default of its own

"""Help and lists of methods fit the terminal, and name every method that there is."""

import re

import pytest

import advcli
from advcli.catalog import discovery
from advcli.cli.methods import LISTS
from advcli.cli.text_tables import definitions, widest
from advcli.verbs import call

VERBS = ("train", "attack", "defend", "evaluate", "audit", "stats", "show", "verify", "import", "export")


@pytest.mark.parametrize("columns", [None, 50, 120])
@pytest.mark.parametrize("words", [*((verb, "--help") for verb in VERBS), ("methods",), ("attack", "--method", "pgd", "--help")])
def test_no_line_of_a_help_is_wider_than_the_terminal(words, columns, run, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns:
        monkeypatch.setenv("COLUMNS", str(columns))
    ran = run(*words)
    assert ran.code == 0, ran.err
    assert widest(ran.out) <= (columns or 80)


@pytest.mark.parametrize("columns", [40, 80, 400])
def test_methods_lists_every_method_with_its_traits_at_any_width(columns, run, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    ran = run("methods")
    assert ran.code == 0, ran.err
    blocks = dict(zip(LISTS, re.split(r"^(?=\w)", ran.out, flags=re.MULTILINE)[1:], strict=True))
    for title, role in LISTS.items():
        for name in discovery.names(role):
            assert re.search(rf"^  {re.escape(name)}( |$)", blocks[title], re.MULTILINE)
    text = " ".join(ran.out.split())
    assert all(" ".join(spec.summary.split()) in text for spec in discovery.specs("attack"))
    assert "only" in blocks["attacks"]


def test_a_name_without_room_beside_it_stands_above_its_text():
    assert (
        definitions([("long-name", ["one two", "", "three"]), ("x", [])], 60) == "  long-name  one two\n             three\n  x"
    )
    assert definitions([("long-name", ["one two three four"])], 20) == "  long-name\n    one two three\n    four"


def test_every_verb_of_the_help_can_be_called_from_python(run):
    listed = re.findall(r"^  (\w+)  +\w", run("--help").out.partition("Commands:")[2], re.MULTILINE)
    assert set(listed) == {*VERBS, "methods"}
    for verb in VERBS:
        assert callable(getattr(advcli, call.python_name(verb)))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("attack", "x.h5"), "attack takes no positional file: give images with --data x.h5"),
        (("attack", "x.safetensors"), "give a model with --model x.safetensors"),
        (("train", "x.safetensors"), "give a model with --weights x.safetensors"),
        (("train", "a", "b"), "give images with --data a"),
        (("methods", "x"), "methods takes options only, not x"),
        (("export", "a", "b"), "export takes one file, not also b"),
        (("export",), "name the file to export: advcli export FILE"),
        (("attack", "--seed", str(10**20)), "is outside 0 to 9223372036854775807"),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, tuple) else "",
)
def test_words_that_a_verb_does_not_take_are_refused_with_a_way_on(words, told, run, folder):
    ran = run(*words)
    assert ran.code == 2
    assert told in ran.err

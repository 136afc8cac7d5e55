"""Help and lists of methods fit the terminal, and name every method that there is."""

import json
import re
import shlex

import pytest

import advcli
from advcli.catalog import discovery
from advcli.catalog.examples import EXAMPLES
from advcli.cli.help import PURPOSES
from advcli.cli.methods import LISTS
from advcli.cli.render import estimate
from advcli.cli.text_tables import definitions, widest
from advcli.runtime.estimate import Estimate
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
    listed = re.findall(r"^  (\w+)  +\w", run("--help").out.partition("--help")[2], re.MULTILINE)
    assert sorted(listed) == sorted([*VERBS, "methods"])
    for verb in VERBS:
        assert callable(getattr(advcli, call.python_name(verb)))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("attack", "x.h5"), "attack takes no positional file: give images with --data x.h5"),
        (("attack", "x.safetensors"), "give a model with --model x.safetensors"),
        (("train", "x.safetensors"), "give a model with --weights x.safetensors"),
        (("train", "a", "b"), "give images with --data a"),
        (("methods", "x"), "there is no kind 'x'; available: attacks, defenses"),
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


def test_every_verb_stands_under_a_purpose_and_has_examples(run):
    assert {name for names in PURPOSES.values() for name in names} == {*VERBS, "methods"} == EXAMPLES.keys()
    out = run("--help").out
    assert all(f"{heading}:" in out for heading in PURPOSES)
    assert widest(out) <= 80


@pytest.mark.parametrize("line", [line for lines in EXAMPLES.values() for line in lines])
def test_every_option_of_an_example_is_one(line, run):
    words = shlex.split(line)[1:]
    ran = run(*words, "--help")
    assert ran.code == 0, ran.err
    assert " ".join(words) in " ".join(run(words[0], "--help").out.replace("\\\n", "").split())


def test_methods_lists_some_of_them(run):
    out = run("methods", "architectures", "datasets").out
    assert out.startswith("architectures\n")
    assert "\ndatasets\n" in out
    assert "attacks" not in out.splitlines()
    found = json.loads(run("methods", "attacks", "architectures", "--find", "RESNET18", "--json").out)
    assert found["attacks"] == []
    assert [one["name"] for one in found["architectures"]] == ["preact-resnet18", "resnet18"]
    assert "torchvision's mobilenet_v2" in run("methods", "--find", "mobilenet").out
    assert "there is no kind 'attack' (did you mean attacks?)" in run("methods", "attack").err
    ran = run("methods", "--find", "nonsense")
    assert (ran.code, ran.out) == (2, "")
    assert "--find nonsense: no method has this word" in ran.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("attack", "--method", "pdg"), "there is no attack 'pdg' (did you mean pgd?)"),
        (("train", "--arch", "mobilnet_v2"), "there is no architecture 'mobilnet_v2' (did you mean mobilenet_v2?)"),
        (("evaluate", "--metric", "acuracy"), "there is no metric 'acuracy' (did you mean accuracy?)"),
        (("train", "--data", "mnits"), "no such data set, folder or image-set file (did you mean mnist?)"),
        (("train", "--epoch", "2"), "has no option --epoch (did you mean --epochs?)"),
    ],
)
def test_a_misspelled_name_is_answered_with_the_nearest(words, told, run, folder):
    ran = run(*words)
    assert ran.code in (2, 3)
    assert told in ran.err


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.123, "0.12 seconds"),
        (99, "99 seconds"),
        (100, "2 minutes"),
        (5900, "98 minutes"),
        (9000, "2 h 30 min"),
        (4e6, "1,111 hours"),
    ],
)
def test_a_time_is_said_as_people_say_it(seconds, text):
    assert estimate(Estimate(1, 10, seconds)) == f"1 rows, 10 bytes, about {text}"
    assert estimate(Estimate(1, 10, seconds, at_least=True)).endswith(f"at least {text}")

"""The options of a command for Typer: those of the verb and of its chosen methods.

No list of options is written here. The verb's own options come from its request in `catalog/requests.py`, the method's from
the file that `--method` (or `--recipe`, `--arch`, `--metric`) names in the arguments; only those are offered.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from advcli.catalog import discovery
from advcli.catalog.nearest import nearest
from advcli.catalog.params import Option
from advcli.catalog.registry import Spec
from advcli.catalog.request import POSITIONAL
from advcli.catalog.request_parts import HEADINGS
from advcli.catalog.requests import REQUESTS
from advcli.errors import CommandError

OWN = "Options of "


def values_of(flag: str, args: Sequence[str]) -> list[str]:
    """The values after a flag, before anything is parsed: `--method pgd` or `--method=pgd`."""
    found = []
    for here, after in zip(args, [*args[1:], ""], strict=True):
        if here == flag and after:
            found.append(after)
        elif here.startswith(flag + "="):
            found.append(here.partition("=")[2])
    return found


def chosen(verb: str, args: Sequence[str], *, half_typed: bool = False) -> list[Spec]:
    """The methods that the arguments choose; in a line being completed, those with complete names."""
    options, found = REQUESTS[verb].options(), []
    for name, role in REQUESTS[verb].choices().items():
        default = next(one.default or one.param.assumed for one in options if one.name == name) or ()
        names = list(dict.fromkeys(values_of(f"--{name}", args))) or ([default] if isinstance(default, str) else list(default))
        if len(names) > 1 and not next(one.many for one in options if one.name == name):
            raise CommandError(f"--{name} is given twice: {' and '.join(names)}")
        if half_typed:
            names = [one for one in names if one in discovery.names(role)]
        found += [discovery.spec(role, one) for one in names]
    return found


def applies(one: Option, specs: Sequence[Spec]) -> bool:
    """True if a verb's option has an effect for the chosen method."""
    return all(spec.role not in ("attack", "recipe", "defense") or spec.has(one.param.needs) for spec in specs)


def signature(verb: str, specs: Sequence[Spec]) -> list[tuple[Option, str]]:
    """Every option of the command, with its heading; those of the chosen methods first."""
    request = REQUESTS[verb]
    own: list[tuple[Option, str]] = []
    for spec in specs:  # what several of them have alike is one option
        own += [(one, f"{OWN}{spec.name}") for one in spec.options if one not in (known for known, _ in own)]
    common = [(one, request.heading_of(one.name)) for one in request.options() if applies(one, specs)]
    found = own + sorted(common, key=lambda pair: HEADINGS.index(pair[1]))
    names = [one.name for one, _ in found]
    for name in names:
        if names.count(name) > 1:
            raise CommandError(
                f"two options are called --{name.replace('_', '-')}: {' and '.join(s.name for s in specs)} cannot go together"
            )
    return found


def parameter(one: Option, heading: str) -> inspect.Parameter:
    """One option as Typer reads it, without a default: an option that was not typed is left to the verb."""
    more: dict[str, Any] = {"help": described(one), "rich_help_panel": heading, "show_default": False}
    if one.name in POSITIONAL:
        kind: Any = list[str] | None if one.many else str
        default = None if one.many else inspect.Parameter.empty
        info = typer.Argument(help=more["help"], metavar=f"{one.written}..." if one.many else one.written, show_default=False)
        return _parameter(one.name, Annotated[kind, info], default)
    if one.type is bool:
        more["show_default"] = bool(one.default)  # the help names --no-X where it does something; `show` may print either
        flags = f"{one.flag}/{one.flag.replace('--', '--no-', 1)}"
        return _parameter(one.name, Annotated[bool | None, typer.Option(flags, **more)], None)
    names = [one.flag] + ([one.param.short] if one.param.short else [])
    kind = list[str] | None if one.many else str | None
    info = typer.Option(*names, metavar=one.written, autocompletion=completer(one), **more)
    return _parameter(one.name, Annotated[kind, info], None)


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def completer(one: Option) -> Callable[[str], list[str]] | None:
    """The completions of an option: its choices, or the names of the methods."""
    role = one.param.chooses
    if role is None and not one.choices:
        return None

    def complete(incomplete: str) -> list[str]:
        words = discovery.names(role) if role else one.choices
        return [word for word in words if word.startswith(incomplete)]

    return complete


def refuse_repeated(options: Sequence[tuple[Option, str]], args: Sequence[str]) -> None:
    """Refuse an option that takes one value and is given twice."""
    known = {flag: one for one, _ in options for flag in _flags(one)}
    seen, words = dict[str, str](), iter(args)
    for word in words:
        if word == "--":
            return
        flag, equals, _ = word.partition("=")
        one = known.get(flag) or known.get(word[:2] if not word.startswith("--") else "")
        if one is None:
            continue
        same_flag = one.type is bool and seen.get(one.name) == word
        if one.name in seen and not one.many and not same_flag:
            raise CommandError(f"{one.flag} is given twice; give it once")
        seen[one.name] = word
        if one.type is not bool and not equals and word in known:
            next(words, None)  # its value, whatever it looks like


def _flags(one: Option) -> list[str]:
    """All the ways to write an option's name."""
    more = [one.param.short] if one.param.short else []
    return [one.flag, *more] + ([one.flag.replace("--", "--no-", 1)] if one.type is bool else [])


def described(one: Option) -> str:
    """The help of an option: its meaning, its range, its default."""
    default = ", ".join(map(str, one.default)) if one.many else one.default
    told = one.default in (None, "", ()) or one.type is bool or "[default:" in one.param.help
    shown = "" if told else f"default: {one.param.shown or default}"
    if one.type is bool and one.default:
        shown = f"default: {one.flag}"
    limits = one.range if one.param.high is not None else ""
    brackets = "; ".join(text for text in (shown, limits) if text)
    return one.param.help + (f" [{brackets}]" if brackets else "")


def read_all(options: Sequence[tuple[Option, str]], typed: dict[str, Any]) -> dict[str, Any]:
    """Check the typed values before anything slow is imported; options that were not typed are left out."""
    known = {one.name: one for one, _ in options}
    return {name: known[name].read(value) for name, value in typed.items() if value is not None and value != []}


def refusal(option_name: str, verb: str, specs: Sequence[Spec], options: Sequence[tuple[Option, str]]) -> CommandError:
    """The error for an option that this command does not have; it lists those that it has."""
    own = [one.flag for one, heading in options if heading.startswith(OWN)]
    meant = nearest(option_name, [one.flag for one, _ in options])
    who = " ".join(spec.name for spec in specs) or verb
    has = f"; {who} has {', '.join(own)}" if own else ""
    return CommandError(
        f"{who} has no option {option_name}{meant}{has}\n"
        f"see: advcli {verb}{''.join(f' --{c} {s.name}' for c, s in zip(REQUESTS[verb].choices(), specs, strict=False))} --help"
    )

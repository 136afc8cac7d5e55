"""List the methods, all or some of them.

Attacks, defenses, recipes, architectures, data sets, metrics, figures and checks, with their traits.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Annotated, Any

import typer

from advcli.catalog import discovery, torchvision_names
from advcli.catalog.nearest import nearest
from advcli.catalog.requests import REQUESTS
from advcli.cli.output import result
from advcli.cli.text_tables import columns_of, definitions, table, widest, wrapped
from advcli.errors import CommandError

NARROW, WIDEST = 80, 100  # columns where there is no terminal; columns of a help screen
TRAITS = ("family", "kind", "norms", "access", "targeted", "gradient", "paper")
LISTS = {
    "attacks": "attack",
    "defenses": "defense",
    "recipes": "recipe",
    "architectures": "architecture",
    "datasets": "source",
    "metrics": "metric",
    "figures": "figure",
    "checks": "check",
}


def methods(
    kinds: Annotated[
        list[str] | None,
        typer.Argument(metavar="KIND...", help=f"Only these: {', '.join(LISTS)}.", show_default=False),
    ] = None,
    find: Annotated[
        str | None,
        typer.Option("--find", metavar="WORD", help="Only methods with this word in their name, summary or traits."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Only warnings and errors on stderr.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of a failure.")] = False,
) -> None:
    """Print the methods, by kind."""
    for kind in kinds or ():
        if kind not in LISTS:
            raise CommandError(f"there is no kind {kind!r}{nearest(kind, LISTS)}; available: {', '.join(LISTS)}")
    found = {title: _found(LISTS[title], find) for title in LISTS if title in (kinds or LISTS)}
    if not any(found.values()):
        raise CommandError(f"--find {find}: no method has this word; without it: advcli methods {' '.join(kinds or ())}".rstrip())
    if json:
        result(document(found))
    else:
        columns = columns_of(NARROW)
        result("\n\n".join(f"{title}\n{_table(LISTS[title], names, columns)}" for title, names in found.items() if names))


def _found(role: str, word: str | None) -> list[str]:
    """The names of the methods of a role that have a word; torchvision's architectures only where a word asks for them."""
    names = list(discovery.names(role))
    if word is None:
        return names
    more = torchvision_names.names() if role == "architecture" else ()
    return [name for name in dict.fromkeys((*names, *more)) if word.lower() in " ".join(_row(entry(role, name)).values()).lower()]


def entry(role: str, name: str) -> dict[str, Any]:
    """One method: its name, its traits, its options."""
    spec = discovery.spec(role, name)
    options = [
        {"name": o.name, "type": o.type.__name__, "default": o.default, "choices": list(o.choices), "help": o.param.help}
        for o in spec.options
    ]
    return {"name": name, **asdict(spec.traits), "summary": spec.summary, "options": options}


def document(found: dict[str, list[str]]) -> str:
    return json.dumps({title: [entry(LISTS[title], name) for name in names] for title, names in found.items()})


def _table(role: str, names: Sequence[str], width: int) -> str:
    """Methods of a role with their traits, as a table if that fits."""
    rows = [_row(entry(role, name)) for name in names]
    text = table([{"  name": f"  {row.pop('name')}", **row} for row in map(dict, rows)])
    if widest(text) <= width:
        return text
    return definitions([(row["name"], [row["summary"], _traits(row)]) for row in rows], width)


def _row(one: dict[str, Any]) -> dict[str, str]:
    return {
        "name": one["name"],
        "family": one.get("family", ""),
        "kind": one.get("kind", ""),
        "norms": _words(one.get("norms", ())),
        "access": _words(one.get("access", "")),
        "targeted": {True: "yes", False: "no"}.get(one.get("targeted", ""), one.get("targeted", "")),
        "gradient": one.get("gradient", ""),
        "paper": one.get("paper", ""),
        "summary": one["summary"],
    }


def _words(value: str | Sequence[str]) -> str:
    return value if isinstance(value, str) else " ".join(value)


def _traits(row: dict[str, str]) -> str:
    """The traits of a method in one line, each by its name."""
    return ", ".join(f"{name} {row[name]}" for name in TRAITS if row[name])


def by_family(verb: str) -> str:
    """The methods that a verb can use, for the end of its help."""
    blocks, choices = [], REQUESTS[verb].choices()
    for option, role in choices.items():
        rows = sorted(
            ((getattr(s.traits, "family", ""), s) for s in discovery.specs(role)), key=lambda pair: (pair[0], pair[1].name)
        )
        columns = min(columns_of(NARROW), WIDEST)
        lines = [f"--{option}"]
        for family, group in groupby(rows, key=lambda pair: pair[0]):
            lines += [f"  {family}"] if family else []
            lines.append(definitions([(one.name, [one.summary]) for _, one in group], columns, "    " if family else "  "))
        blocks.append("\n".join(lines))
    last = wrapped(f"The options of one of them: advcli {verb} --{next(iter(choices))} NAME --help", columns_of(NARROW))
    return "\n\n".join([*blocks, "\n".join(last)])

"""List all methods.

Attacks, defenses, recipes, architectures, data sets, metrics, figures and checks, with their traits.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Annotated, Any

import typer

from advcli.catalog import discovery
from advcli.catalog.requests import REQUESTS
from advcli.cli.output import result
from advcli.cli.text_tables import columns_of, definitions, table, widest, wrapped

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
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Only warnings and errors on stderr.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of a failure.")] = False,
) -> None:
    """Print every method, by kind."""
    if json:
        result(document())
    else:
        columns = columns_of(NARROW)
        result("\n\n".join(f"{title}\n{_table(role, columns)}" for title, role in LISTS.items()))


def entry(role: str, name: str) -> dict[str, Any]:
    """One method: its name, its traits, its options."""
    spec = discovery.spec(role, name)
    options = [
        {"name": o.name, "type": o.type.__name__, "default": o.default, "choices": list(o.choices), "help": o.param.help}
        for o in spec.options
    ]
    return {"name": name, **asdict(spec.traits), "summary": spec.summary, "options": options}


def document() -> str:
    return json.dumps({title: [entry(role, name) for name in discovery.names(role)] for title, role in LISTS.items()})


def _table(role: str, width: int) -> str:
    """Every method of a role with its traits, as a table if that fits."""
    rows = [_row(entry(role, name)) for name in discovery.names(role)]
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

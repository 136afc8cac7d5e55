"""List what there is.

Attacks, defenses, recipes, architectures, data sets, metrics, figures and checks, with their traits.
"""

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer

from advcli.catalog import discovery
from advcli.catalog.requests import REQUESTS
from advcli.cli.output import result
from advcli.cli.text_tables import table

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


def methods(json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False) -> None:
    """Print every method, by kind."""
    if json:
        result(document())
    else:
        result("\n\n".join(f"{title}\n{_table(role)}" for title, role in LISTS.items()))


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


def _table(role: str) -> str:
    rows = []
    for name in discovery.names(role):
        one = entry(role, name)
        rows.append({
            "  name": f"  {name}",
            "family": one.get("family", ""),
            "kind": one.get("kind", ""),
            "norms": " ".join(one.get("norms", ())),
            "access": one.get("access", ""),
            "targeted": {True: "yes", False: "no"}.get(one.get("targeted", ""), ""),
            "gradient": one.get("gradient", ""),
            "paper": one.get("paper", ""),
            "summary": one["summary"],
        })  # fmt: skip
    return table(rows)


def by_family(verb: str) -> str:
    """The methods that a verb can choose from, for the end of its help."""
    blocks, choices = [], REQUESTS[verb].choices()
    for option, role in choices.items():
        rows = sorted(
            ((getattr(s.traits, "family", ""), s) for s in discovery.specs(role)), key=lambda pair: (pair[0], pair[1].name)
        )
        lines = [{f"--{option}": f"  {s.name}", "family": family, "": s.summary} for family, s in rows]
        blocks.append(table(lines))
    return "\n\n".join(blocks) + f"\n\nThe options of one of them: advcli {verb} --{next(iter(choices))} NAME --help"

"""The page that `audit` prints: the answer, the attacks, the curve, the checks, and what may be concluded."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from typing import Any

from advcli.cli.text_tables import Line, fitted

WORD = re.compile(r"(?:\$'(?:\\.|[^'\\])*'|'[^']*'|\S)+")  # of a command line, as it was quoted
WIDE = 80  # columns, also where the terminal has more: a page is read, not scanned
SEEN = {"none": "nothing", "labels": "decisions", "scores": "scores", "gradient": "gradients", "structure": "its structure"}


def audit_table(folder: Any, found: dict[str, Any], width: int) -> str:
    """The page, from the content of audit.json."""
    width = min(width, WIDE)
    parts = [_head(found, width), _attacks(found, width), _stages(found, width), _curve(found, width)]
    parts += ["\n".join(_checks(found["checks"], width)), "\n".join(_told(found, width))]
    parts.append("\n".join(_commands(found, width)))
    parts.append(f"{folder}: audit.json, curve.png, curve.csv, and the set of every attack")
    return "\n\n".join(part for part in parts if part)


def _head(found: dict[str, Any], width: int) -> str:
    attacked, proved = found["robust_accuracy"]["attacked"], found["robust_accuracy"]["proved"]
    what = f"{found['model']['file']} on {found['data']}, {found['images']} images, {found['norm']} {found['epsilon']}"
    low = f"{proved['value']:.1%} (proved)" if proved else "0% (nothing can be proved)"
    high = f"{attacked['value']:.1%} (attacked)" if attacked else "100% (nothing was attacked)"
    lines = textwrap.wrap(what, width)
    return "\n".join([*lines, f"robust accuracy: between {low} and {high}"])


def _attacks(found: dict[str, Any], width: int) -> str:
    lines: list[Line] = [_line("no attack", "", found["clean_accuracy"])]
    lines += [_line(f"{one['step']}: {one['attack']}", SEEN[one["access"]], one["accuracy"]) for one in found["attacks"]]
    lines.append(_line("all of them, image by image", "", found["robust_accuracy"]["attacked"]))
    if found["robust_accuracy"]["proved"]:
        lines.append(_line("proved", "", found["robust_accuracy"]["proved"]))
    return fitted(lines, width)


def _line(what: str, seen: str, figure: dict[str, Any] | None) -> Line:
    return {"attack": what, "it sees": seen, **_cells(figure)}


def _cells(figure: dict[str, Any] | None) -> Line:
    if figure is None:
        return {"accuracy": "", "k/n": "", "95 % interval": ""}
    span = f"{figure['low']:.1%} to {figure['high']:.1%}" if figure["low"] is not None else ""
    count = f"{figure['k']}/{figure['n']}" if figure["k"] is not None else str(figure["n"])
    return {"accuracy": f"{figure['value']:.1%}", "k/n": count, "95 % interval": span}


def _stages(found: dict[str, Any], width: int) -> str:
    if not found["broken_by"]:
        return ""
    lines = [{"broken by": one["stage"], "images": str(one["k"]), "share": f"{one['value']:.1%}"} for one in found["broken_by"]]
    return fitted(lines, width)


def _curve(found: dict[str, Any], width: int) -> str:
    proved = {one["epsilon"]: f"{one['value']:.1%}" for one in found["proofs"]}
    lines = [{"budget": one["epsilon"], **_cells(one), "proved": proved.get(one["epsilon"], "")} for one in found["curve"]]
    return fitted(lines, width) if lines else ""


def _checks(checks: list[dict[str, Any]], width: int) -> Iterator[str]:
    """How many checks pass, and each that does not, once."""
    each = {(one["check"], one["status"], one["found"]): one for one in checks}
    passed = len({one["check"] for one in each.values()} - {one["check"] for one in each.values() if one["status"] != "PASS"})
    yield f"trust checks: {passed} of {len({one['check'] for one in each.values()})} pass"
    for one in sorted(each.values(), key=lambda entry: entry["status"]):
        if one["status"] != "PASS":
            told = f"{one['status']} {one['check']}: {one['found']}; {one['advice']}"
            yield from textwrap.wrap(told, width, initial_indent="  ", subsequent_indent="      ", break_on_hyphens=False)


def _told(found: dict[str, Any], width: int) -> Iterator[str]:
    yield "What may be concluded"
    for text in found["conclusions"]:
        yield from textwrap.wrap(text, width, initial_indent="- ", subsequent_indent="  ")
    yield "What was not tried"
    for text in found["not_tried"]:
        yield from textwrap.wrap(text, width, initial_indent="- ", subsequent_indent="  ")


def _commands(found: dict[str, Any], width: int) -> Iterator[str]:
    """The command lines that make every set and every figure again, as a shell takes them over several lines."""
    yield "Every set and every figure can be made again"
    for command in (*(one["command"] for one in found["steps"]), *found["commands"]):
        line = ""
        for word in WORD.findall(command):
            if line and len(line) + len(word) + 3 > width:
                yield line + " \\"
                line = "    " + word
            else:
                line = f"{line} {word}" if line else word
        yield line

"""The table of docs/rows.md: every row of docs/rows.csv, with the tests and the measurement that show it."""

import ast
import csv
import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MEASURED = ROOT / "benchmarks" / "rows" / "results.json"
ROW = re.compile(r"\bS[0-4]-[A-Z]\d+b?\b")


def rows() -> list[dict[str, str]]:
    with (ROOT / "docs" / "rows.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def tests() -> dict[str, list[str]]:
    """The tests whose docstrings name a row."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for row in ROW.findall(ast.get_docstring(node) or ""):
                    found.setdefault(row, []).append(f"`{path.stem}::{node.name}`")
    return found


def measured(result: dict[str, object]) -> str:
    verdict = "" if result["holds"] else "**does not hold**: "
    return f"{verdict}{result['figures']} (asked: {str(result['criterion']).rstrip('.')})".replace("|", "\\|")


def line(one: dict[str, str], tests: list[str], results: dict[str, dict[str, object]]) -> str:
    row = one["row"]
    seen = [measured(results[row])] if row in results else []
    seen += [one["why not"]] if one["why not"] else []
    return f"| {row} | {one['what']} | {', '.join(tests)} | {' '.join(seen) or ('' if tests else 'not yet')} |"


def table() -> str:
    shown, results = tests(), json.loads(MEASURED.read_text()) if MEASURED.exists() else {}
    lines = [line(one, shown.get(one["row"], []), results) for one in rows()]
    return "\n".join(["| row | | tests | measured |", "|---|---|---|---|", *lines])

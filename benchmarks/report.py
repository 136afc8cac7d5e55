"""The tables of benchmarks/README.md, from the kept results."""

import ast
import hashlib
import platform
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch

from advcli.networks import model_file
from benchmarks.cells import TARGETS, Target, cells
from benchmarks.subject import MODELS
from benchmarks.tools import ADAPTERS, OURS

HERE = Path(__file__).parent
Line = dict[str, Any]
COLUMNS = (
    "tool | success | median l2 / linf / l0 | wall s | CPU s | units | forwards / gradients | MB | runs "
    "| wall / ours | CPU / ours | our gain | our norm / theirs"
)


def machine() -> Line:
    """Where and with what a cell was measured."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        name = next((one.split(": ")[1] for one in lines if one.startswith("model name")), name)
        name += f", {sum(one.startswith('processor') for one in lines)} cores"
    return {
        "machine": name,
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "python": platform.python_version(),
        "sources": sources(),
    }


def sources() -> str:
    """Twelve digits that change with any file of the program."""
    found = hashlib.sha256()
    for path in sorted((HERE.parent / "src").rglob("*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()[:12]


@dataclass(frozen=True)
class Row:
    """One tool in one cell, its seconds scaled to all images."""

    name: str
    line: Line
    wall: list[float]
    cpu: list[float]

    @property
    def success(self) -> float:
        return statistics.median(self.line["success"])


def rows(cell: Line) -> list[Row]:
    """The tools that ran, ours first."""
    found = []
    for one in cell["tools"]:
        if "wall" in one:
            scale = cell["images"] / one["done"]
            found.append(Row(one["name"], one, [scale * t for t in one["wall"]], [scale * t for t in one["cpu"]]))
    return found


def ratios(theirs: list[float], mine: list[float]) -> list[float]:
    """Theirs over ours, run by run: neighbours in time."""
    return [a / b for a, b in zip(theirs, mine, strict=False)]


def span(values: list[float], form: str = ".2f") -> str:
    """The median, and from where to where."""
    middle = format(statistics.median(values), form)
    return middle if len(values) == 1 else f"{middle} ({min(values):{form}} to {max(values):{form}})"


def interval(values: list[float] | None, form: str) -> str:
    return f"{values[0]:{form}} ({values[1]:{form}} to {values[2]:{form}})" if values else ""


def best(cell: Line, rivals: tuple[str, ...] = ()) -> Row | None:
    """The fastest library among the strongest: within one image of the best success, and for minimal distances
    within 5 % of the smallest median; loops around a library are no library.
    """
    libraries = [one for one in rows(cell)[1:] if "," not in one.name and (not rivals or one.name in rivals)]
    if not libraries:
        return None
    most = max(one.success for one in libraries)
    strong = [one for one in libraries if one.success >= most - 1.001 / cell["images"]]
    table = {one.name: one for one in cells()}
    if table[cell["cell"]].minimal:
        norm = table[cell["cell"]].compared
        least = min(one.line["medians"][norm] for one in strong)
        strong = [one for one in strong if one.line["medians"][norm] <= 1.05 * least]
    return min(strong, key=lambda one: statistics.median(one.wall))


def floor(cell: Line, row: Row) -> float:
    """CPU seconds of the row's own forwards and gradients, were they all that it does."""
    ahead, both = (1e-6 * statistics.median(cell[name]) for name in ("forward_us", "unit_us"))
    return cell["images"] * (row.line["forwards"] * ahead + row.line["backwards"] * (both - ahead))


def told(cell: Line, row: Row, mine: Row) -> str:
    """One row of a cell's table."""
    line, us = row.line, row.name == OURS
    far = line["medians"]
    stopped = f", stopped after {line['done']} images, scaled" if line["done"] < cell["images"] else ""
    units = statistics.median(row.cpu) / cell["images"] / (1e-6 * statistics.median(cell["unit_us"]))
    return " | ".join(
        [
            row.name + stopped + (f" ({line['outside']} rows outside)" if line["outside"] else ""),
            span(line["success"], ".1%") if len(set(line["success"])) > 1 else f"{row.success:.1%}",
            f"{far['l2']:.3f} / {far['linf']:.3f} / {far['l0']:.0f}",
            span(row.wall, ".3f"),
            f"{statistics.median(row.cpu):.3f}",
            f"{units:.1f}",
            f"{line['forwards']:g} / {line['backwards']:g}",
            f"{line['peak_mb']:.0f}",
            str(len(row.wall)),
            "" if us else span(ratios(row.wall, mine.wall)),
            "" if us else span(ratios(row.cpu, mine.cpu)),
            "" if us else interval(line["gain"], "+.1%"),
            "" if us else interval(line.get("ratio"), ".3f"),
        ]
    )


def of_classes(cell: Line) -> str:
    """How many images of which classes a cell was measured on."""
    counts = {name: count for name, count in cell["classes"].items() if count}
    if len(counts) == 1:
        return f"**all of one class, {next(iter(counts))}**"
    least, most = min(counts.values()), max(counts.values())
    return f"{len(counts)} of {len(cell['classes'])} classes, {least if least == most else f'{least} to {most}'} of each"


def table(cell: Line) -> list[str]:
    """One cell, with what failed below."""
    found, mine = [f"| {COLUMNS} |", "|" + "---|" * (COLUMNS.count("|") + 1)], rows(cell)[0]
    found += [f"| {told(cell, row, mine)} |" for row in rows(cell)]
    failed = [f"- {one['name']}: {one['error']}" for one in cell["tools"] if "error" in one]
    return [*found, "", *failed, *([""] if failed else [])]


def summary(cell: Line) -> str:
    return "\n".join(table(cell))


def answer(target: Target, results: dict[str, Line]) -> str:
    """One line of the table of targets."""
    cell = results.get(target.cell)
    if cell is None:
        return f"| {target.cell} | {target.times}x | not measured yet | | | | | | |"
    mine, rival = rows(cell)[0], best(cell, target.rivals)
    if rival is None:
        return f"| {target.cell} | {target.times}x | no library has it | | | | | | |"
    fast, over = ratios(rival.wall, mine.wall), floor(cell, mine) / statistics.median(mine.cpu)
    most = max(one.success for one in rows(cell)[1:] if "," not in one.name)
    strong = mine.success >= most - 1.001 / cell["images"]
    minimal = next(one for one in cells() if one.name == target.cell).minimal
    near = not minimal or rival.line.get("ratio", [1])[0] <= 1.02
    reached = "reached" if statistics.median(fast) >= target.times and strong and near else "**not reached**"
    reached += ", **on one class only**" if sum(map(bool, cell["classes"].values())) == 1 else ""
    loops = [one for one in rows(cell) if ", loop" in one.name]
    loop = span(ratios(min(loops, key=lambda one: statistics.median(one.wall)).wall, mine.wall)) if loops else ""
    at_floor = statistics.median(rival.cpu) / floor(cell, mine)
    return (
        f"| {target.cell} | {target.times}x | {reached} | {span(fast)} | {span(ratios(rival.cpu, mine.cpu))} | {rival.name} "
        f"| {mine.success:.1%} / {most:.1%} | {loop} | {1 / over:.2f} x, at the floor {at_floor:.2f}x |"
    )


def declared(adapter: str, name: str) -> tuple[str, ...]:
    """What an adapter says of itself, read without importing its library."""
    for node in ast.parse((HERE / "peers" / f"{adapter}.py").read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == name:
            return tuple(ast.literal_eval(node.value))
    return ()


def checkpoints() -> list[str]:
    found = []
    for path in sorted(MODELS.glob("*.safetensors")):
        file = model_file.read(path)
        made = file.metadata["made"]
        size, options = path.stat().st_size, {**made.get("parameters", {}), **made.get("options", {})}
        arch = file.metadata["arch"]
        how = ", ".join(f"{k} {v}" for k, v in sorted({**arch["parameters"], **options}.items()) if v not in (None, "", []))
        found.append(
            f"- `{path.name}` ({size / 1e6:.2f} MB, digest `{file.digest}`): {arch['name']} on {file.metadata['data']['name']}; "
            f"{how}. `advcli show` prints its header."
        )
    return found


def text(results: dict[str, Line]) -> str:
    """The whole page."""
    parts = [(HERE / "about.md").read_text().rstrip(), "", "## Targets", ""]
    parts += [
        "The best peer is the fastest library within one image of the best peer's success (and, if the method minimizes the",
        "distance, within 5 % of the smallest median). A target is reached by the ratio of wall times, our success within one",
        "image of the best peer's, and a median norm of at most 1.02 times the best peer's. The last column is our CPU time",
        "divided by the floor (the bare cost of our forward passes and gradients), and the earlier ratio. The column before it",
        "is the fastest library with an early-stop loop around it, by wall time.",
        "",
        "| cell | wanted | | wall, best peer / ours | CPU | best peer | success, ours / best | loop / ours | ours / floor |",
        "|---|---|---|---|---|---|---|---|---|",
        *[answer(one, results) for one in TARGETS],
        "",
    ]
    for name, cell in results.items():
        given = ", ".join(f"{k} {v}" for k, v in cell["parameters"].items())
        unit, ahead = (statistics.median(cell[k]) for k in ("unit_us", "forward_us"))
        tuned = "".join(f"; {tool} with {', '.join(f'{k} {v}' for k, v in what.items())}" for tool, what in cell["tuned"].items())
        parts += [f"## {name}", "", f"{cell['images']} images, {of_classes(cell)}; {given}{tuned}.", *table(cell)]
        parts += [
            f"One unit is {unit / 1000:.3f} ms of CPU an image, one forward {ahead / 1000:.3f}; load {span(cell['load'])}, "
            f"{cell['threads']} threads; {cell['machine']}; torch {cell['torch']}, NumPy {cell['numpy']}, "
            f"Python {cell['python']}; sources {cell['sources']}.",
            "",
        ]
    versions = {one["name"]: one["version"] for cell in results.values() for one in cell["tools"] if "," not in one["name"]}
    parts += ["## Versions and patches", ""]
    parts += [f"- {name} {which}" for name, which in sorted(versions.items())]
    for what in ("PATCHES", "NOTES"):
        parts += ["", *(f"- {name}: {line}" for name in ADAPTERS for line in declared(name, what))]
    parts += ["", "## Checkpoints", "", *checkpoints(), ""]
    return "\n".join(parts)

"""The index of the five papers: every row of the catalogue, the script that shows it, ours, the paper's, and the verdict.

python -m papers.index              print it, from the results in the tree
python -m papers.index --check DIR  read the results of a quick run in DIR; fails where a row cannot be judged
"""

import argparse
import csv
import importlib
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from papers.results import NAMES, PAPERS, ROWS, Results, Shown  # noqa: E402

MEASURED = ROOT / "benchmarks" / "rows" / "results.json"


def judged() -> dict[str, tuple[str, Shown]]:
    """The paper and the judgement of every row that a script shows."""
    found: dict[str, tuple[str, Shown]] = {}
    for paper in NAMES:
        module = f"papers.{paper}.verdicts"
        if (PAPERS / paper / "verdicts.py").exists():
            importlib.import_module(module)
        for shown in ROWS.get(module, []):
            if shown.row in found:
                raise TypeError(f"{shown.row} is judged twice")
            if not (PAPERS / paper / f"{shown.script}.sh").exists():
                raise TypeError(f"{shown.row}: there is no papers/{paper}/{shown.script}.sh")
            found[shown.row] = paper, shown
    return found


def by_script(paper: str, shown: Shown) -> list[str]:
    """The cells of a row that a script shows."""
    script = f"[{paper}/{shown.script}.sh]({paper}/{shown.script}.sh)"
    try:
        seen = shown.judgement(Results(PAPERS / paper / "results"))
    except FileNotFoundError:
        return [script, "", shown.paper, "not run in full yet"]
    return [script, seen.ours, shown.paper, f"**{seen.verdict}**{': ' * bool(seen.why)}{seen.why}"]


def by_measurement(row: str, why: str, kept: dict[str, dict[str, object]]) -> list[str]:
    """The cells of a row that a benchmark measures, or that tests alone show."""
    if row not in kept:
        return ["tests in [docs/rows.md](../docs/rows.md)", "", "", why or "a definition: shown by tests"]
    one = kept[row]
    verdict = "**reproduced**" if one["holds"] else "**not reproduced**"
    return [f"`python -m benchmarks.rows {row}`", str(one["figures"]), f"asked: {one['criterion']}", verdict]


def table() -> str:
    shown = judged()
    kept = json.loads(MEASURED.read_text()) if MEASURED.exists() else {}
    lines = ["| row | | shown by | ours | the paper | verdict |", "|---|---|---|---|---|---|"]
    with (ROOT / "docs" / "rows.csv").open(newline="") as file:
        for one in csv.DictReader(file):
            row = one["row"]
            cells = by_script(*shown[row]) if row in shown else by_measurement(row, one["why not"], kept)
            lines.append("| " + " | ".join(cell.replace("|", "\\|").rstrip(".") for cell in (row, one["what"], *cells)) + " |")
    return "\n".join(lines)


def check(folder: Path) -> int:
    """Judge every row by the results of a quick run: the verdict says nothing, but every number must be there."""
    wrong = 0
    for row, (paper, shown) in judged().items():
        try:
            shown.judgement(Results(folder / paper / "results"))
        except (LookupError, OSError, ValueError) as error:
            print(f"{row}: {paper}/{shown.script}: {type(error).__name__}: {error}", file=sys.stderr)
            wrong += 1
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", type=Path, metavar="DIR")
    given = parser.parse_args()
    if given.check:
        return min(1, check(given.check))
    print(table())
    return 0


if __name__ == "__main__":
    sys.exit(main())

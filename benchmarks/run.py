"""The benchmark: ours beside the libraries that a user would pick instead; writes benchmarks/README.md.

python -m benchmarks.run                    only the tables, from what results/ holds
python -m benchmarks.run all                measure every cell that results/ does not hold
python -m benchmarks.run 'mnist-cnn.pgd.*'  only these; --again also those that are there
python -m benchmarks.run all --trial 4      four images, one run each, nothing kept: does everything work?
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "2")  # before torch is imported

import argparse
import json
import warnings
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path

import torch

from advcli.runtime import allocator
from benchmarks import ours, report, subject
from benchmarks.cells import Cell, cells
from benchmarks.measure import REPEATS, measure

HERE = Path(__file__).parent
RESULTS = HERE / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patterns", nargs="*", metavar="CELL", help="cells to measure: a name, a pattern, or all")
    parser.add_argument("--again", action="store_true", help="measure also what is there already")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--trial", type=int, metavar="N", help="one run over N images, of which nothing is kept")
    given = parser.parse_args()
    wanted = [one for one in cells() if any(word == "all" or fnmatch(one.name, word) for word in given.patterns)]
    if given.patterns and not wanted:
        parser.error(f"no such cell; there are {', '.join(one.name for one in cells())}")
    allocator.keep_freed()  # as the command does
    warnings.simplefilter("ignore")  # the libraries' own
    torch.set_num_threads(given.threads)
    for cell in wanted:
        if given.trial:
            work(replace(cell, count=given.trial), repeats=1)
        elif given.again or not place(cell).exists():
            work(cell)
    if not given.trial:
        (HERE / "README.md").write_text(report.text(kept()))


def place(cell: Cell) -> Path:
    return RESULTS / f"{cell.name}.json"


def work(cell: Cell, repeats: int = REPEATS) -> None:
    """Measure one cell and keep its line, or say why not; a single run is a trial."""
    if not subject.exists(cell.model):
        print(f"{cell.name}: skipped, there is no models/{cell.model}.safetensors")
        return
    if not ours.command(cell):
        print(f"{cell.name}: skipped, there is no attack {cell.method} here")
        return
    print(f"{cell.name} ...", flush=True)
    found = {**measure(cell, subject.load(cell.model, cell.count), repeats), **report.machine()}
    print(report.summary(found), flush=True)
    if repeats > 1:
        keep(cell, found)


def keep(cell: Cell, found: dict) -> None:
    """One line, complete or not at all."""
    RESULTS.mkdir(exist_ok=True)
    beside = place(cell).with_suffix(".part")
    beside.write_text(json.dumps(found, ensure_ascii=False) + "\n")
    beside.replace(place(cell))


def kept() -> dict[str, dict]:
    """The kept line of every cell of the table, in its order."""
    return {one.name: json.loads(place(one).read_text()) for one in cells() if place(one).exists()}


if __name__ == "__main__":
    main()

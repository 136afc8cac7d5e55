"""Measure rows of docs/rows.csv on real data and keep what was seen in results.json, from which docs/rows.md is written.

    python -m benchmarks.rows [ROW...] [--again]        MNIST and CIFAR-10 where ADVCLI_DATA says

Without a row all that were never measured. Models that several rows need are kept in ~/.cache/advcli/rows, or in the
folder that ADVCLI_ROWS names.
"""

import argparse
import importlib
import inspect
import json
import os
import pkgutil
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

import platformdirs
import torch

import benchmarks.rows
from advcli import __version__
from benchmarks.rows.bench import Bench, Measurement

KEPT = Path(__file__).parent / "results.json"
NAME = re.compile(r"s[0-4]_[a-z]\d+b?")


def measurements() -> dict[str, Measurement]:
    """The function of every row that is measured, by the row's name."""
    found = {}
    for module in pkgutil.iter_modules(benchmarks.rows.__path__):
        if module.name != "__main__":
            place = importlib.import_module(f"benchmarks.rows.{module.name}")
            for name, function in inspect.getmembers(place, inspect.isfunction):
                if NAME.fullmatch(name) and function.__module__ == place.__name__:
                    row = name.replace("_", "-").upper().replace("B", "b")
                    if row in found:
                        raise TypeError(f"{row} is measured in {found[row].__module__} and in {place.__name__}")
                    found[row] = function
    return found


def measured(row: str, function: Measurement, models: Path) -> dict[str, object]:
    folder = Path(tempfile.mkdtemp(prefix="advcli-row-"))
    begin = time.perf_counter()
    try:
        shown = function(Bench(folder, models))
    finally:
        shutil.rmtree(folder)
    return {
        "criterion": " ".join(str(inspect.getdoc(function)).split()),
        "holds": bool(shown.holds),
        "figures": shown.figures,
        "seconds": round(time.perf_counter() - begin),
        "with": f"advcli {__version__}, torch {torch.__version__}, {torch.get_num_threads()} threads",
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW")
    parser.add_argument("--again", action="store_true", help="measure also what was measured before")
    given = parser.parse_args()
    known = measurements()
    unknown = [row for row in given.rows if row not in known]
    if unknown:
        print(f"not measured here: {', '.join(unknown)}; there are {', '.join(sorted(known))}", file=sys.stderr)
        return 2
    models = Path(os.environ.get("ADVCLI_ROWS") or platformdirs.user_cache_path("advcli") / "rows")
    models.mkdir(parents=True, exist_ok=True)
    for row in given.rows or sorted(known):
        kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
        if row in kept and not given.again:
            continue
        kept[row] = measured(row, known[row], models)
        KEPT.write_text(json.dumps(dict(sorted(kept.items())), indent=1, ensure_ascii=False) + "\n")
        print(f"{row}: {'holds' if kept[row]['holds'] else 'DOES NOT HOLD'}: {kept[row]['figures']} ({kept[row]['seconds']} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What a measurement of a row is given, and what it returns."""

import contextlib
import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from advcli.cli.app import main

UNDEFENDED = Path(__file__).parent.parent / "models" / "mnist-cnn.safetensors"  # 98.6 % of MNIST, nothing against attacks


@dataclass(frozen=True)
class Shown:
    """A row's criterion, measured: whether it holds, and the figures that say so."""

    holds: bool
    figures: str


@dataclass(frozen=True)
class Bench:
    """A folder to work in, and the models of several rows, which are trained once."""

    folder: Path  # emptied for every row
    models: Path  # kept for all rows

    def advcli(self, *words: str) -> str:
        """What a command prints; it must succeed, and runs in the row's folder."""
        return self._ran(words)[0]

    def heard(self, *words: str) -> str:
        """What a command says beside what it prints: notes and warnings."""
        return self._ran(words)[1]

    def _ran(self, words: Sequence[str]) -> tuple[str, str]:
        """What a command prints, and what it says beside it."""
        printed, complaint, before = io.StringIO(), io.StringIO(), Path.cwd()
        os.chdir(self.folder)
        try:
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(complaint):
                code = main(list(words))
        finally:
            os.chdir(before)
        if code:
            raise RuntimeError(f"advcli {' '.join(words)}: exit {code}\n{complaint.getvalue()}")
        return printed.getvalue(), complaint.getvalue()

    def figures(self, *words: str) -> dict[str, float]:
        """What `evaluate` measures, by metric; of several budgets or sets the last."""
        found = json.loads(self.advcli("evaluate", *words, "--json"))["rows"]
        return {row["metric"]: row["value"] for row in found}

    def accuracy(self, model: object, *words: str) -> float:
        """Accuracy of a model on a set, or on data."""
        return self.figures("--model", str(model), *words, "--metric", "accuracy")["accuracy"]

    def curve(self, model: object, *words: str) -> list[float]:
        """Accuracy of a model at every budget of a sweep."""
        found = json.loads(self.advcli("evaluate", "--model", str(model), *words, "--metric", "accuracy", "--json"))["rows"]
        return [row["value"] for row in found if row["metric"] == "accuracy"]

    def success(self, model: object, *words: str) -> float:
        return self.figures("--model", str(model), *words, "--metric", "success")["success"]

    def model(self, data: str, arch: str, *options: str) -> Path:
        """The model of a data set and an architecture, trained with these options of `train`."""
        made = self.models / ("-".join([data, arch, *map(in_a_name, options)]) + ".safetensors")
        if not made.exists():
            self.advcli("train", "--data", data, "--arch", arch, *options, "-o", str(made))
        return made


def in_a_name(word: str) -> str:
    """A word of a command as part of a file's name: of a path its last part, of 1/5 and 8/255 all of it."""
    return (Path(word).name if Path(word).exists() else word.replace("/", "of")).strip("-")


Measurement = Callable[[Bench], Shown]

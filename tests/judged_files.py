"""Files of which figures of decisions are drawn: a network, a random one, a detector, and sets that attacks made."""

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import attacked_set
from advcli.cli.app import main

COMMANDS = (
    "defend --method resize-pad --model model.safetensors -o random.safetensors",
    "defend --method dropout-detector --model model.safetensors -o detector.safetensors",
    "train --arch softmax --epochs 2 -o other.safetensors",
    "attack --method fgsm --model model.safetensors --eps 0,0.05,0.1,0.2 --limit 30 -o fgsm.h5",
    "attack --method fgsm --model other.safetensors --eps 0.1 --limit 30 -o other.h5",
    "attack --method fgsm --model model.safetensors --eps 0.1,0.3 --limit 8 --target all -o every.h5",
    "attack --method deepfool --model model.safetensors --limit 30 -o deepfool.h5",
    "defend --method gaussian --sigma 0.5 fgsm.h5 -o half.h5",
    "defend --method gaussian --sigma 1 fgsm.h5 -o one.h5",
)


@pytest.fixture(scope="session")
def judged_folder(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of these files, made once."""
    folder, before = tmp_path_factory.mktemp("judged"), Path.cwd()
    os.chdir(folder)
    try:
        Path("model.safetensors").write_bytes(small_model.read_bytes())
        for line in COMMANDS:
            assert main([*line.split(), "--quiet"]) == 0, line
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def judged(judged_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the test stands in."""
    monkeypatch.chdir(judged_folder)
    return judged_folder


@pytest.fixture
def drawn(run: Callable, judged: Path, tmp_path: Path) -> Callable:
    """Draw a figure, and read its CSV."""

    def call(name: str, *words: object) -> list[dict[str, str]]:
        ran = run("stats", *words, "--figure", name, "-o", tmp_path / "out", "--force")
        assert ran.code == 0, ran.err
        assert (tmp_path / "out" / f"{name}.png").stat().st_size > 2000
        with open(tmp_path / "out" / f"{name}.csv") as file:
            return list(csv.DictReader(file))

    return call


@pytest.fixture
def evaluated(run: Callable, judged: Path) -> Callable:
    """The figures that `evaluate` has."""

    def call(*words: object) -> list[dict]:
        ran = run("evaluate", *words, "--json")
        assert ran.code == 0, ran.err
        return json.loads(ran.out)["rows"]

    return call


@pytest.fixture
def unlabelled(tmp_path: Path) -> Path:
    """A set whose images have no labels: a figure of right and wrong has no rows."""
    images = np.random.default_rng(0).random((4, 1, 8, 8), dtype=np.float32)
    given = {"images": images, "originals": images, "labels": np.full(4, -1), "epsilon": np.full(4, 0.1, np.float32),
             "clean_prediction": np.full(4, -1)}  # fmt: skip
    return attacked_set.write(str(tmp_path / "none.h5"), given, norm="linf", epsilon=["0.1"], classes=list("0123456789"))

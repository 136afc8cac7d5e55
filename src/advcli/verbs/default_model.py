"""The model that `attack` and `defend` work on: the one that was named, or the small default, trained where there is none."""

from pathlib import Path

from advcli.catalog.requests import TrainRequest
from advcli.errors import InputError
from advcli.networks import model_file
from advcli.networks.model_file import ModelFile
from advcli.runtime.reporter import Talk
from advcli.verbs.train import train
from advcli.workspace.inputs import MODEL


def open_model(path: str | None, talk: Talk, *, dry_run: bool = False) -> ModelFile:
    """The given model, or model.safetensors; where that is missing, train the small default first and say so."""
    if path is None and not Path(MODEL).exists():
        if dry_run:
            raise InputError(f"{MODEL}: not here, and a dry run trains none; make one with: advcli train")
        talk.note(f"no {MODEL} here: training the small default first (advcli train)")
        train(TrainRequest(), {}, talk)
    return model_file.read(path or MODEL)

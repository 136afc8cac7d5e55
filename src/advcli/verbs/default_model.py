"""The model of `attack` and `defend`: the given one, or the small default, which is trained if it does not exist."""

from pathlib import Path

from advcli.catalog.requests import TrainRequest
from advcli.errors import Busy, InputError
from advcli.files import atomic
from advcli.networks import model_file
from advcli.networks.model_file import ModelFile
from advcli.runtime.reporter import Reporter
from advcli.verbs.train import train
from advcli.workspace.inputs import MODEL


def open_model(path: str | None, reporter: Reporter, *, dry_run: bool = False) -> ModelFile:
    """The given model, or model.safetensors; if that is missing, train the small default first, with a note.

    If two commands start in an empty folder, one trains and the other waits.
    """
    while path is None and not Path(MODEL).exists():
        if dry_run:
            raise InputError(f"{MODEL}: does not exist, and a dry run does not train one; make one with: advcli train")
        reporter.note(f"no {MODEL} here: training the small default first (advcli train)")
        try:
            train(TrainRequest(), {}, reporter)
        except Busy:
            reporter.note(f"{MODEL}: another advcli is training it; waiting")
            atomic.wait_for(Path(MODEL))
    return model_file.read(path or MODEL)

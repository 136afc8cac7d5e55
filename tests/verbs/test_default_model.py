"""The small default model: trained once, also by two commands that begin in one empty folder."""

import shutil
import threading
import time
from pathlib import Path

import pytest

from advcli.errors import Busy
from advcli.files import atomic
from advcli.networks.model_file import ModelFile
from advcli.runtime.reporter import Reporter
from advcli.verbs.default_model import open_model
from advcli.workspace.inputs import MODEL


class Notes(Reporter):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


def test_a_second_command_waits_for_the_model_that_a_first_one_trains(folder, small_model):
    found, notes = list[ModelFile](), Notes()
    second = threading.Thread(target=lambda: found.append(open_model(None, notes)), daemon=True)
    with atomic.locked(Path(MODEL)):
        second.start()
        for _ in range(600):
            if any("waiting" in line for line in notes.lines) or not second.is_alive():
                break
            time.sleep(0.1)
        assert second.is_alive()
        shutil.copy(small_model, MODEL)
    second.join(60)
    assert len(found) == 1
    assert Path(MODEL).read_bytes() == small_model.read_bytes()


def test_a_command_that_writes_the_same_file_does_not_wait(folder):
    with atomic.locked(Path("a.h5")), pytest.raises(Busy, match="another advcli is writing it"), atomic.locked(Path("a.h5")):
        pass

"""Parts: what a rerun resumes from, and what is assembled; a bit that flips on the disk is noticed whenever it flips."""

from pathlib import Path

import numpy as np
import pytest
import torch

from advcli.errors import AdvcliError
from advcli.files.parts import Parts
from advcli.runtime.reporter import SILENT

HOW = {"verb": "attack", "options": {}, "parents": [], "environment": {"threads": 1}}


@pytest.fixture
def parts(folder):
    made = Parts.of(Path("a.h5"))
    made.begin(HOW, SILENT)
    for start in (0, 2):
        made.save(
            start, start + 2, {"images": np.arange(4, dtype=np.float32).reshape(2, 2) + start, "labels": np.arange(2) + start}
        )
    return made


def assembled(parts):
    """What an assembly would write."""
    layout = parts.shapes()
    return {name: (layout[name], np.concatenate(list(parts.column(name)))) for name in ("images", "labels")}


def test_parts_add_up(parts):
    found = assembled(parts)
    assert found["images"][0] == (np.dtype("<f4"), (4, 2))
    np.testing.assert_array_equal(found["labels"][1], range(4))


def test_a_part_that_changes_while_the_run_goes_on_is_never_assembled(parts):
    wanted, path = assembled(parts), sorted(parts.folder.glob("*.part"))[1]
    whole, noticed = path.read_bytes(), 0
    for place in range(len(whole)):
        for bit in (0, 3, 7):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << bit)]) + whole[place + 1 :])
            try:
                found = assembled(parts)
            except AdvcliError as error:
                noticed += 1
                assert "changed on the disk" in str(error)
                continue
            for name, (layout, values) in found.items():
                assert layout == wanted[name][0]
                np.testing.assert_array_equal(values, wanted[name][1])
    assert noticed > 2.5 * len(whole)


def test_the_machines_arithmetic_belongs_to_the_conditions(parts):
    other = Parts.of(Path("a.h5"))
    other.begin(HOW, SILENT)
    assert [len(one) for one in other.finished()] == [2, 2]
    other = Parts.of(Path("a.h5"))
    other.begin({**HOW, "environment": {"threads": 2}}, SILENT)
    assert other.finished() == []


def test_parts_of_a_processor_with_other_instructions_are_given_up(parts, monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "OLD")
    other = Parts.of(Path("a.h5"))
    other.begin(HOW, SILENT)
    assert other.finished() == []

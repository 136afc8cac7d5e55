"""A folder of images is known by its bytes: a picture of the same size and name is noticed, and nothing is read twice."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advcli.files import sandbox
from advcli.images import folder_digest
from advcli.images.folder_digest import digests, listing_digest


@pytest.fixture
def pictures(folder, monkeypatch):
    monkeypatch.setenv("ADVCLI_CACHE", str(folder / "cache"))
    for name in "ab":
        for k in range(12):
            Path("pictures", name).mkdir(parents=True, exist_ok=True)
            draw(Path("pictures", name, f"{k}.bmp"), 10 * k + (name == "b"))
    return Path("pictures")


def draw(path, level):
    Image.fromarray(np.full((8, 8), level, np.uint8)).save(path)


def settle(monkeypatch):
    """As if the files had lain there for a while."""
    monkeypatch.setattr(folder_digest, "SETTLED", -1)


def read_files(monkeypatch):
    """The files whose bytes are read from now on."""
    read, whole = [], sandbox.digest_of
    monkeypatch.setattr(sandbox, "digest_of", lambda path: read.append(Path(path).name) or whole(path))
    return read


def test_other_bytes_of_the_same_size_are_another_folder(pictures):
    before = digests(pictures)
    draw(pictures / "a" / "3.bmp", 99)
    after = digests(pictures)
    assert after[1] == before[1] == listing_digest(pictures)
    assert after[0] != before[0]
    draw(pictures / "a" / "3.bmp", 30)
    assert digests(pictures) == before


def test_bytes_are_read_once_and_again_where_a_file_changed(pictures, monkeypatch):
    settle(monkeypatch)
    before, read = digests(pictures)[0], read_files(monkeypatch)
    assert digests(pictures)[0] == before
    assert read == []
    state = os.stat(pictures / "a" / "3.bmp")
    draw(pictures / "a" / "3.bmp", 99)
    os.utime(pictures / "a" / "3.bmp", ns=(state.st_atime_ns, state.st_mtime_ns))  # as tools do that keep times
    assert digests(pictures)[0] != before
    assert read == ["3.bmp"]


def test_a_file_that_was_just_written_is_not_remembered(pictures, monkeypatch):
    digests(pictures)[0]
    read = read_files(monkeypatch)
    digests(pictures)[0]
    assert len(read) == 24


@pytest.mark.parametrize("damage", [b"", b"[]", b'{"a/3.bmp": [1, 2]}', b"\xff"])
def test_a_damaged_cache_is_no_cache(pictures, monkeypatch, damage):
    settle(monkeypatch)
    before = digests(pictures)[0]
    (note,) = Path("cache/folders").iterdir()
    note.write_bytes(damage)
    assert digests(pictures)[0] == before
    shutil.rmtree("cache")
    Path("cache").write_text("no folder")
    assert digests(pictures)[0] == before


def test_a_set_of_changed_pictures_is_not_there_already(pictures, run):
    assert run("train", "--data", "pictures", "--arch", "softmax", "--epochs", "1", "--image-size", "8").code == 0
    words = ("attack", "--method", "fgsm", "--data", "pictures", "--split", "train", "-o", "a.h5")
    assert run(*words).code == 0
    assert "made by the same command" in run(*words).err
    draw(pictures / "a" / "3.bmp", 99)
    ran = run(*words)
    assert ran.code == 2, ran.err
    assert "made by the same command" not in ran.err
    assert "<folder sha256" in run("show", "a.h5").out, "the folder that it was made from is gone"
    draw(pictures / "a" / "3.bmp", 30)
    assert "--data pictures:train" in run("show", "a.h5").out

"""Limits in time: a reader that waits uses no processor time, and is ended all the same."""

import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advcli.errors import InputError
from advcli.files import sandbox
from advcli.images import decoder

pytestmark = pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="nothing forks there")
LONG = 300.0  # a reader that waits for this long was not ended


def waits(*_: object) -> None:
    time.sleep(LONG)


def test_a_reader_that_waits_is_ended(monkeypatch):
    monkeypatch.setattr(sandbox, "WALL", 0.5)
    begin = time.monotonic()
    with pytest.raises(InputError, match="far more time than its size"):
        sandbox.first_in_child("x.h5", waits, 100)
    assert time.monotonic() - begin < LONG / 2


def test_a_reader_that_answers_and_does_not_leave_is_ended(monkeypatch):
    def stays(look, size, writing):
        os.write(writing, b"{}")
        time.sleep(LONG)
        os._exit(0)

    monkeypatch.setattr(sandbox, "WALL", 0.5)
    monkeypatch.setattr(sandbox, "_child", stays)
    begin = time.monotonic()
    sandbox.first_in_child("x.h5", waits, 100)
    assert time.monotonic() - begin < LONG / 2


@pytest.mark.parametrize("mode", [None, "L"], ids=["looking", "decoding"])
def test_a_picture_that_is_waited_for_is_refused_by_name(monkeypatch, mode):
    monkeypatch.setattr(decoder, "PATIENCE", 0.5)
    monkeypatch.setattr(decoder, "load", waits)
    monkeypatch.setattr(decoder, "is_grey", waits)
    one, begin = decoder.Decoder(), time.monotonic()
    try:
        one.ask(["slow.png"], mode, (None, None))
        with pytest.raises(InputError, match=r"slow\.png: decoding it did not end"):
            one.answer()
    finally:
        one.stop()
    assert time.monotonic() - begin < LONG / 2


def test_a_pipe_among_pictures_is_refused_at_once(run, folder):
    for name in ("a", "b"):
        (Path("p") / name).mkdir(parents=True)
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(f"p/{name}/1.png")
    os.mkfifo("p/b/2.png")
    ran = run("import", "p")
    assert ran.code == 3
    assert "2.png: is not a regular file" in ran.err


@pytest.fixture
def waits_asked_for(monkeypatch) -> list[float]:
    """How long each wait for a child may last, on a clock that stands still."""
    asked, select = [], sandbox.select.select

    def noted(reading, writing, failing, seconds):
        asked.append(seconds)
        return select(reading, writing, failing, seconds)

    monkeypatch.setattr(sandbox.select, "select", noted)
    monkeypatch.setattr(sandbox.time, "monotonic", lambda: 0.0)
    return asked


def test_a_good_file_has_a_minute_on_a_busy_machine_and_a_large_one_more(waits_asked_for):
    sandbox.first_in_child("x.h5", lambda: None, 0)
    assert set(waits_asked_for) == {60.0}
    waits_asked_for.clear()
    sandbox.first_in_child("x.h5", lambda: None, 100_000_000)
    assert set(waits_asked_for) == {80.0}


def test_a_good_picture_has_a_minute_on_a_busy_machine(waits_asked_for, folder):
    Image.fromarray(np.zeros((8, 8), np.uint8)).save("one.png")
    one = decoder.Decoder()
    try:
        one.ask(["one.png"], "L", (None, None))
        assert one.answer() == [[1, 8, 8]]
    finally:
        one.stop()
    assert set(waits_asked_for) == {60.01}  # and a hundredth of a second for each picture of the question


def test_unknown_content_is_read_in_another_process_and_known_content_not_again(folder):
    def look():
        with Path("seen").open("a") as file:
            print(os.getpid(), file=file)

    sandbox.first_in_child("x.h5", look, 0, digest="of unknown content")
    sandbox.first_in_child("x.h5", look, 0, digest="of unknown content")
    (child,) = Path("seen").read_text().split()
    assert int(child) != os.getpid()


def test_a_large_file_is_refused_only_if_it_is_mostly_holes(monkeypatch, folder):
    monkeypatch.setattr(sandbox, "SMALL", 1000)
    Path("whole").write_bytes(os.urandom(100_000))
    assert sandbox.read("whole") == Path("whole").read_bytes()
    with Path("holes").open("wb") as file:
        file.truncate(100_000_000)
    with pytest.raises(InputError, match="sparse file of 100000000 bytes"):
        sandbox.read("holes")

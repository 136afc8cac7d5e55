"""Decoding of image files, by child processes with limits, into memory that they share with this process.

A child that a file crashes, floods or hangs is replaced, and the error names the file. Only the formats of the list are
tried, whatever the name of a file.
"""

import itertools
import json
import mmap
import os
import select
import signal
import sys
import threading
import warnings
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from advcli.errors import AdvcliError, InputError
from advcli.files import sandbox
from advcli.numerics.arrays import Array

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
GREY = {"1", "L", "LA", "I", "F"}
DEEP = {"I", "F", "I;16", "I;16L", "I;16B", "I;16N"}
MOST_PIXELS = 40_000_000
MEMORY = 1 << 29  # what a child may use
PATIENCE = 60.0  # seconds for one picture, on a busy machine too
CHUNK = 32  # pictures that a child decodes at a time
ORIENTATION = 0x0112  # the tag of EXIF
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
QUIETLY = partial(warnings.catch_warnings, action="ignore", category=UserWarning)  # of damage beside the pixels, as in EXIF
FORKS = sys.platform not in ("win32", "darwin")


Size = tuple[int | None, int | None]  # (shorter side before the crop, side of the square)


def load(file: str, mode: str, size: Size, out: Array | None = None) -> Array:
    """(C, H, W) bytes of one image file.

    With both sizes, the shorter side is resized to the first and the central square of the second is cut out; with the second
    alone, the image is resized to that square without keeping its proportions.
    """
    shorter, side = size
    try:
        with QUIETLY(), sandbox.regular(file) as source, Image.open(source, formats=FORMATS) as opened:
            _check(opened)
            wanted = shorter or side
            if wanted and opened.format == "JPEG":
                opened.draft(mode, (2 * wanted, 2 * wanted))  # decodes at half size where that is more than enough
            pixels = np.asarray(_sized(_upright(opened, mode), shorter, side))
    except InputError:
        raise
    except Exception as error:  # Pillow raises many kinds for a damaged picture
        raise _unreadable(file, error) from None
    found = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    if out is not None and found.size <= out.size:
        out[: found.size] = found.reshape(-1)
    return found


def _upright(opened: Image.Image, mode: str) -> Image.Image:
    """The image rotated and mirrored as its EXIF orientation says; unchanged if EXIF is damaged."""
    try:
        orientation = opened.getexif().get(ORIENTATION, 1)
    except Exception:  # Pillow raises many kinds
        orientation = 1
    picture = opened.convert(mode)
    return picture.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else picture


def _sized(picture: Image.Image, shorter: int | None, side: int | None) -> Image.Image:
    if shorter:
        scale = shorter / min(picture.size)
        target = (max(shorter, round(picture.width * scale)), max(shorter, round(picture.height * scale)))
        picture = picture.resize(target, Image.Resampling.BILINEAR)
        side = side or shorter
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        return picture.crop((left, top, left + side, top + side))
    if side and picture.size != (side, side):
        return picture.resize((side, side), Image.Resampling.BILINEAR)
    return picture


def _check(opened: Image.Image) -> None:
    if opened.mode in DEEP:
        raise ValueError(f"mode {opened.mode}: more than 8 bits a channel; convert it to 8 bits first")
    if opened.width * opened.height > MOST_PIXELS:
        raise ValueError(f"{opened.width}x{opened.height} pixels, more than {MOST_PIXELS} are not decoded")


def _unreadable(file: str, error: Exception) -> InputError:
    """The fault of an image file, as text."""
    reason = "of no known kind" if isinstance(error, UnidentifiedImageError) else str(error)[:80]
    return InputError(f"{file}: not a readable image file ({reason})")


def is_grey(file: str) -> bool:
    """True if an image file has no colour; only its first bytes are read."""
    try:
        with QUIETLY(), sandbox.regular(file) as source, Image.open(source, formats=FORMATS) as opened:
            return opened.mode in GREY | DEEP
    except InputError:
        raise
    except Exception as error:
        raise _unreadable(file, error) from None


class Decoder:
    """One child process, and the memory that it decodes into."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, 3 * MOST_PIXELS)  # room that costs nothing until it is used
        self.files: Sequence[str] = ()
        self.start()

    def start(self) -> None:
        asked, self._ask = os.pipe()
        self._said, saying = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of threads, which the child leaves alone
            self.pid = os.fork()
        if self.pid == 0:
            try:
                sandbox.limit(MEMORY)
                for one in {self, *crew}:  # so that every child hears when the process has gone
                    os.close(one._ask)
                    os.close(one._said)
                self._serve(asked, saying)
            finally:
                os._exit(0)
        os.close(asked)
        os.close(saying)

    def _serve(self, asked: int, saying: int) -> None:
        """The child process: one line of JSON in, one line of JSON out, until its input closes."""
        memory = np.frombuffer(self.memory, np.uint8)
        with os.fdopen(asked) as questions:
            for line in questions:
                answer: dict[str, Any] = {"shapes": []}
                question, at = json.loads(line), 0
                os.chdir(question["folder"])
                for file in question["files"]:
                    try:
                        if question["mode"] is None:
                            answer["shapes"].append(is_grey(file))
                            continue
                        os.write(saying, b".")  # alive, at the next picture
                        pixels = load(file, question["mode"], question["size"], memory[at:])
                        answer["shapes"].append(pixels.shape)
                        at += pixels.size
                    except AdvcliError as error:
                        answer = {"error": str(error)}
                        break
                    except MemoryError:
                        answer = {"error": f"{file}: decoding it takes too much memory; refused"}
                        break
                os.write(saying, json.dumps(answer).encode() + b"\n")

    def ask(self, files: Sequence[str], mode: str | None, size: Size) -> None:
        self.files = files
        data = json.dumps({"folder": os.getcwd(), "files": list(files), "mode": mode, "size": size}).encode() + b"\n"
        while data:
            data = data[os.write(self._ask, data) :]

    def answer(self) -> list[Any]:
        """Shapes of the decoded images in memory, in order; InputError names the file that failed."""
        said = b""
        while not said.endswith(b"\n"):
            ready = select.select([self._said], [], [], PATIENCE + 0.01 * len(self.files))[0]
            piece = os.read(self._said, 1 << 16) if ready else b""
            if not piece:
                file = self.files[max(0, said.count(b".") - 1)]
                self.stop()
                self.start()
                raise InputError(f"{file}: decoding it {'crashed' if ready else 'did not end'}; refused")
            said += piece
        found = json.loads(said.lstrip(b"."))
        if "error" in found:
            raise InputError(found["error"])
        return list(found["shapes"])

    def stop(self) -> None:
        os.close(self._ask)
        os.close(self._said)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


at_work = threading.Lock()
crew: list[Decoder] = []  # started when the first picture is wanted, for as long as the process lives


def decoders() -> list[Decoder]:
    """As many as there are free processors."""
    while len(crew) < min(8, os.cpu_count() or 1):
        crew.append(Decoder())
    return crew


def decode(files: Sequence[Path | str], mode: str, size: Size, shape: tuple[int, int, int] | None) -> list[Array]:
    """(C, H, W) bytes of every image file, in order."""
    names = [str(file) for file in files]
    room = max(1, min(CHUNK, 3 * MOST_PIXELS // int(np.prod(shape)) if shape else 1))
    return [pixels for chunk in _shared_out(names, mode, size, room) for pixels in chunk]


def mode_of(files: Iterable[str]) -> str:
    """L if all images are grey, else RGB."""
    rest = iter(files)
    while chunk := list(itertools.islice(rest, 4096)):
        if not all(all(some) for some in _shared_out(chunk, None, (None, None), 512)):
            return "RGB"
    return "L"


def _shared_out(names: list[str], mode: str | None, size: Size, room: int) -> list[list[Any]]:
    """Chunks of work, each to the next free decoder; the results in the order of the names."""
    if not FORKS:
        return [[is_grey(name) if mode is None else load(name, mode, size) for name in names]]
    with at_work:  # a thread that reads ahead and one that validates take turns
        return _in_turn(names, mode, size, room)


def _in_turn(names: list[str], mode: str | None, size: Size, room: int) -> list[list[Any]]:
    chunks = [names[i : i + room] for i in range(0, len(names), room)]
    found: list[list[Any]] = []
    workers = decoders()
    for start in range(0, len(chunks), len(workers)):
        busy = [(worker, chunk) for worker, chunk in zip(workers, chunks[start : start + len(workers)], strict=False)]
        for worker, chunk in busy:
            worker.ask(chunk, mode, size)
        failure: InputError | None = None
        for worker, _ in busy:  # every answer is fetched, so that the next question meets a free worker
            try:
                found.append(_fetched(worker, worker.answer()) if mode else worker.answer())
            except InputError as error:
                failure = failure or error
        if failure:
            raise failure
    return found


def _fetched(worker: Decoder, shapes: list[tuple[int, int, int]]) -> list[Array]:
    memory, at = np.frombuffer(worker.memory, np.uint8), 0
    found: list[Array] = []
    for shape in shapes:
        count = int(np.prod(shape))
        if at + count > len(memory):
            raise InputError(f"{worker.files[len(found)]}: too large beside its neighbours; give --image-size N")
        found.append(memory[at : at + count].reshape(shape).copy())
        at += count
    return found

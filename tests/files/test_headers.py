"""Headers of anybody's making: each key of each kind of header taken away or given another type, and every reader run on it."""

import json
import shutil
from copy import deepcopy
from pathlib import Path

import h5py
import numpy as np
import pytest

from advcli.errors import AdvcliError, InputError
from advcli.files import header_schema, sandbox
from advcli.files.header import canonical, digest
from advcli.networks import model_file
from advcli.workspace import replay

pytestmark = pytest.mark.sweep

READERS = (("show",), ("show", "--json"), ("verify",), ("stats", "--force"), ("evaluate", "--limit", "2"))
MAKE = {
    "adversarial.h5": "attack --method fgsm --limit 4 --eps 0.1",
    "perturbations.h5": "attack --method fgsm --limit 4 --eps 0.1",
    "sub.h5": "attack --method substitute --rounds 1 --epochs 1 --limit 4 --fit-limit 20 -o sub.h5",
    "sub.substitute.safetensors": "",
    "uni.h5": "attack --method universal --limit 4 --fit-limit 20 --eps 0.1 -o uni.h5",
    "uni.universal.h5": "",
    "fool.h5": "attack --method fool-gradient --steps 2 -o fool.h5",
    "filtered.h5": "defend adversarial.h5 --method gaussian -o filtered.h5",
    "detector.safetensors": "defend --method squeeze-detector --limit 60 -o detector.safetensors",
}


@pytest.fixture(scope="module")
def made(small_model, tmp_path_factory):
    """One file of every kind."""
    from contextlib import chdir

    from advcli.cli.app import main

    folder = tmp_path_factory.mktemp("made")
    shutil.copy(small_model, folder / "model.safetensors")
    with chdir(folder):
        for line in MAKE.values():
            assert not line or main([*line.split(), "--quiet"]) == 0
    return folder


def places(found, at=()):
    """The path of every key and every item of a document."""
    pairs = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
    for key, value in pairs:
        yield (*at, key)
        yield from places(value, (*at, key))


def damaged(found, place, how):
    """A copy without what stands at a place, or with something else there."""
    found = deepcopy(found)
    inner = found
    for key in place[:-1]:
        inner = inner[key]
    if how == "gone":
        del inner[place[-1]]
    else:
        inner[place[-1]] = {"null": None, "number": 7, "text": "x", "list": [], "object": {}}[how]
    return found


def trusted(target: Path, data: bytes) -> None:
    """Write a file that is read here and in no child: a process for each of thousands would take minutes."""
    target.write_bytes(data)
    sandbox.trusted_digests.add(digest(data[512:]) if target.suffix == ".h5" else digest(data))


def with_header(source: Path, target: Path, header) -> None:
    """The image set with another header, and its digest right again."""
    with h5py.File(source) as file, h5py.File(target, "w", libver=("v110", "v110"), userblock_size=512) as out:
        kind = h5py.h5t.C_S1.copy()
        kind.set_size(len(file.attrs["format"]))
        for name, one in file.items():
            out.create_dataset(name, data=np.frombuffer(canonical(header), np.uint8) if name == "header" else one[:])
        out.attrs["format"] = np.bytes_(file.attrs["format"])
    data = target.read_bytes()
    trusted(target, f"sha256: {digest(data[512:])}".encode().ljust(512, b"\0") + data[512:])


def with_metadata(source: Path, target: Path, metadata) -> None:
    """The model file with other metadata, and its digest right again."""
    head = {k: v for k, v in metadata.items() if k != "digest"}
    tensors = model_file.read(source).tensors
    trusted(target, model_file.serialise({**head, "digest": model_file.metadata_digest(head)}, tensors))


HOWS = ("gone", "number", "list", "text")  # a quarter of the places each
CASES = [(name, how) for name in MAKE for how in HOWS]


@pytest.mark.parametrize(("name", "how"), CASES, ids=lambda one: str(one))
def test_no_reader_trips_over_a_key(name, how, made, run, folder):
    """Exit 0 where the key does not matter, 1 or 3 where it does; never an internal error."""
    shutil.copy(made / "model.safetensors", "model.safetensors")
    source, target = made / name, Path(f"x{Path(name).suffix}")
    with_ = with_metadata if target.suffix == ".safetensors" else with_header
    if target.suffix == ".safetensors":
        header = model_file.read(source).metadata
    else:
        with h5py.File(source) as file:
            header = json.loads(bytes(file["header"][:]))
    every = [place for place in places(header) if place != ("digest",) and not ("classes" in place and place[-1] in range(1, 10))]
    for number, place in list(enumerate(every))[HOWS.index(how) :: len(HOWS)]:
        try:
            with_(source, target, damaged(header, place, how))
        except (TypeError, KeyError, AttributeError):
            continue  # not even our own writer makes such a file
        turn = number // len(HOWS)
        words = READERS[turn // 2 % len(READERS)] if turn % 2 else READERS[0]
        if words[0] == "evaluate" and target.suffix == ".safetensors":
            words = (*words, "--model")
        elif words[0] == "stats" and target.suffix == ".safetensors":
            words = READERS[1]
        ran = run(*words, target)
        assert "internal error" not in ran.err, (place, words, ran.err)
        assert ran.code in (0, 1, 3) or (words[0] == "evaluate" and ran.code == 2), (place, words, ran.err)


@pytest.mark.parametrize("name", MAKE)
def test_what_the_schema_believes_can_be_described(name, made, tmp_path):
    """Every key of a header gone or of another type: refused by its name, or `show` has all that it asks for."""
    path = made / name
    if path.suffix == ".h5":
        with h5py.File(path) as file:
            header, check = json.loads(bytes(file["header"][:])), header_schema.image_set
    else:
        header, check = model_file.read(path).metadata, header_schema.model
    for place in places(header):
        for how in ("gone", "null", "number", "text", "list", "object"):
            other = damaged(header, place, how)
            try:
                check(other, str(path))
            except InputError:
                continue
            try:
                replay.describe(other)
                replay.command(other, path, tmp_path)
            except AdvcliError:
                pass
            except Exception as error:
                pytest.fail(f"{place} {how}: {error!r}")

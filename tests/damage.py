"""Mutations of a file's bytes, and what makes them look right again: checksums, digests, archives."""

import hashlib
import io
import json
import random
import struct
import zipfile
import zlib
from pathlib import Path

from advcli.files import imageset_writer
from advcli.networks import model_file

NASTY = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1, 2**40]
ODD = [None, True, -1, 0, 1e308, 2**70, "", "..", "a\x00b", "\x1b[2J", [], {}, [[]], "x" * 5000, "9" * 400, "1/0", ["a", "a"]]


def lookup3(data: bytes) -> int:
    """Jenkins' hash, by which HDF5 checks its metadata."""
    a = b = c = (0xDEADBEEF + len(data)) & 0xFFFFFFFF
    rot = lambda x, k: ((x << k) | (x >> (32 - k))) & 0xFFFFFFFF  # noqa: E731  # the notation of the reference
    place = 0
    while len(data) - place > 12:
        x, y, z = struct.unpack_from("<III", data, place)
        a, b, c = (a + x) & 0xFFFFFFFF, (b + y) & 0xFFFFFFFF, (c + z) & 0xFFFFFFFF
        a = ((a - c) & 0xFFFFFFFF) ^ rot(c, 4)
        c = (c + b) & 0xFFFFFFFF
        b = ((b - a) & 0xFFFFFFFF) ^ rot(a, 6)
        a = (a + c) & 0xFFFFFFFF
        c = ((c - b) & 0xFFFFFFFF) ^ rot(b, 8)
        b = (b + a) & 0xFFFFFFFF
        a = ((a - c) & 0xFFFFFFFF) ^ rot(c, 16)
        c = (c + b) & 0xFFFFFFFF
        b = ((b - a) & 0xFFFFFFFF) ^ rot(a, 19)
        a = (a + c) & 0xFFFFFFFF
        c = ((c - b) & 0xFFFFFFFF) ^ rot(b, 4)
        b = (b + a) & 0xFFFFFFFF
        place += 12
    if place == len(data):
        return c
    x, y, z = struct.unpack("<III", data[place:].ljust(12, b"\0"))
    a, b, c = (a + x) & 0xFFFFFFFF, (b + y) & 0xFFFFFFFF, (c + z) & 0xFFFFFFFF
    for one, other, turn in (
        ("c", "b", 14),
        ("a", "c", 11),
        ("b", "a", 25),
        ("c", "b", 16),
        ("a", "c", 4),
        ("b", "a", 14),
        ("c", "b", 24),
    ):
        now = {"a": a, "b": b, "c": c}
        now[one] = ((now[one] ^ now[other]) - rot(now[other], turn)) & 0xFFFFFFFF
        a, b, c = now["a"], now["b"], now["c"]
    return c


CHECKED: dict[bytes, list[tuple[int, int]]] = {}
SIGNATURES = (
    b"\x89HDF\r\n\x1a\n",
    b"OHDR",
    b"OCHK",
    b"FRHP",
    b"FHDB",
    b"FHIB",
    b"FSHD",
    b"FSSE",
    b"BTHD",
    b"BTLF",
    b"BTIN",
    b"FAHD",
    b"FADB",
    b"EAHD",
    b"EAIB",
    b"EADB",
)


def checked_spans(seed: bytes) -> list[tuple[int, int]]:
    """Where HDF5 keeps a checksum in a whole file: (start, place of the sum), found by trying every length."""
    if seed not in CHECKED:
        found = []
        for mark in SIGNATURES:
            start = seed.find(mark)
            while start >= 0:
                ends = (
                    end
                    for end in range(start + 8, min(len(seed) - 4, start + 1500))
                    if struct.unpack_from("<I", seed, end)[0] == lookup3(seed[start:end])
                )
                if (end := next(ends, None)) is not None:
                    found.append((start, end))
                start = seed.find(mark, start + 1)
        CHECKED[seed] = found
    return CHECKED[seed]


def mend_set(data: bytes, seed: bytes, draw: random.Random) -> bytes:
    """Three times in four with HDF5's checksums right again, and nearly always with our digest."""
    if draw.random() < 0.75 and len(data) == len(seed):
        mended = bytearray(data)
        for start, end in checked_spans(seed):
            struct.pack_into("<I", mended, end, lookup3(bytes(mended[start:end])))
        data = bytes(mended)
    if draw.random() < 0.95 and len(data) > 512:
        data = imageset_writer.block(hashlib.sha256(data[512:]).hexdigest()) + data[512:]
    return data


def mend_model(data: bytes, seed: bytes, draw: random.Random) -> bytes:
    """Half of the files: a whole one again, with metadata of which one value is odd."""
    if draw.random() < 0.5:
        return data
    good = model_file.checked(Path("seed"), seed)
    metadata = json.loads(json.dumps(good.metadata))
    at, key = odd_place(metadata, draw)
    at[key] = draw.choice(ODD)
    try:
        metadata["weights"] = model_file.weights_digest(good.tensors)
        metadata["digest"] = model_file.metadata_digest(metadata)
        return model_file.serialise(metadata, good.tensors)
    except (ValueError, TypeError, UnicodeEncodeError):
        return data


def mend_png(data: bytes, seed: bytes, draw: random.Random) -> bytes:
    """Three times in four with the sums of all chunks right again."""
    mended, place = bytearray(data), 8
    while draw.random() < 0.97 and place + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, place)
        if place + 12 + size > len(data):
            break
        struct.pack_into(">I", mended, place + 8 + size, zlib.crc32(data[place + 4 : place + 8 + size]))
        place += 12 + size
    return bytes(mended)


def mend_zip(data: bytes, seed: bytes, draw: random.Random) -> bytes:
    """Half of the files: a whole archive again, of which one member is changed."""
    if draw.random() < 0.5:
        return data
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(seed)) as source, zipfile.ZipFile(made, "w") as target:
        chosen = draw.choice(source.infolist()).filename
        for one in source.infolist():
            content = source.read(one)
            target.writestr(
                one.filename, mutated(content, draw) if one.filename == chosen and content else content, one.compress_type
            )
    return made.getvalue()


def odd_place(document: object, draw: random.Random) -> tuple:
    """Some container in a JSON document, and one of its keys."""
    places = []

    def walk(one: object) -> None:
        for key in one if isinstance(one, dict) else range(len(one)) if isinstance(one, list) else ():
            places.append((one, key))
            walk(one[key])

    walk(document)
    return draw.choice(places)


def mutated(seed: bytes, draw: random.Random) -> bytes:
    """One to eight changes: bits, bytes, nasty numbers, cuts, copies, insertions."""
    data = bytearray(seed)
    for _ in range(draw.choice((1, 1, 2, 3, 8))):
        place = draw.randrange(len(data)) if draw.random() < 0.6 else draw.randrange(min(len(data), 1500))
        kind, size = draw.randrange(7), draw.choice((1, 2, 4, 8))
        if kind == 0:
            data[place] ^= 1 << draw.randrange(8)
        elif kind == 1:
            data[place] = draw.randrange(256)
        elif kind in (2, 3):
            number = draw.choice(NASTY) % 256**size
            data[place : place + size] = number.to_bytes(size, draw.choice(("little", "big")))
        elif kind == 4 and draw.random() < 0.3:
            del data[place:]
        elif kind == 5 and draw.random() < 0.3:
            data[place:place] = bytes(data[place : place + draw.randrange(64)])
        else:
            other = draw.randrange(len(data))
            piece = bytes(data[other : other + draw.randrange(1, 32)])
            data[place : place + len(piece)] = piece
        if not data:
            data = bytearray(b"\0")
    return bytes(data)

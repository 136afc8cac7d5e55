"""Finds files and folders by their content: the parents that a header names by digest."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from advcli.datasets.csv import names_of
from advcli.errors import InputError
from advcli.files import imageset_reader, sandbox
from advcli.files.header import Header
from advcli.images.folder_digest import digests, listing_digest
from advcli.networks import model_file

FOREIGN = (".pt", ".pth", ".safetensors", ".npz", ".onnx")


def find_folder(origin: Header, where: Path = Path()) -> str | None:
    """The folder in `where`, or in a folder of it, with the content that a header states; bytes are read last.

    Of a folder whose labels are in a CSV, the path of the CSV.
    """
    near = [p for p in sorted(where.iterdir()) if p.is_dir() and not p.name.startswith(".")]
    inner = [p for folder in near for p in sorted(folder.iterdir()) if p.is_dir()]
    labels = Path(str(origin["labels"])).name if "labels" in origin else None
    for one in [*near, *inner] if labels is None else [where, *near, *inner]:
        if labels and not (one / labels).is_file():
            continue
        with contextlib.suppress(InputError):  # what cannot be read is not it
            names = names_of(one / labels) if labels else None
            if listing_digest(one, names) != origin.get("listing", origin["digest"]):  # older headers know the listing alone
                continue
            if "listing" not in origin or digests(one, names)[0] == origin["digest"]:
                return str(one / labels if labels else one)
    return None


def find_file(digest: str, where: Path = Path()) -> Path | None:
    """The first file in a folder with that content."""
    for path, content, _ in files_in(where):
        if content == digest:
            with contextlib.suppress(InputError):  # a damaged copy is passed over
                header_of(path)
                return path
    for path in sorted(where.iterdir()):  # weights of other tools have no digest inside
        with contextlib.suppress(InputError):
            if path.suffix in FOREIGN and path.is_file() and sandbox.digest_of(path) == digest:
                return path
    return None


def files_in(where: Path) -> Iterator[tuple[Path, str, Header]]:
    """(path, digest, header) of advcli's files in a folder, as they state them."""
    for path in sorted(where.iterdir()):
        try:
            if path.suffix == ".h5" and path.is_file():
                with sandbox.regular(path) as file:
                    yield path, file.read(72)[8:].decode("ascii", "replace"), {}
            elif path.suffix == ".safetensors" and path.is_file():
                metadata = model_file.peek(path)
                yield path, str(metadata.get("digest")), metadata
        except (InputError, OSError):
            continue


def header_of(path: Path) -> tuple[str, Header]:
    """(digest, header) of an advcli file, checked against its bytes."""
    if path.suffix == ".safetensors":
        model = model_file.read(path)
        return model.digest, model.metadata
    with imageset_reader.ImageSet(path) as opened:
        return opened.digest, opened.header

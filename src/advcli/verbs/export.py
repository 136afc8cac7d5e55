"""`export`: writes a model as a plain state_dict, an image set as .npz, as .pt or as a folder of PNG files."""

import io
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from advcli.catalog.file_requests import ExportRequest
from advcli.errors import CommandError, InputError
from advcli.files import atomic, npz_writer, sandbox
from advcli.files.imageset_reader import ImageSet
from advcli.files.imageset_schema import IMAGES
from advcli.images import picture_origin
from advcli.images.evolved import drawing_of
from advcli.networks import model_file
from advcli.numerics.arrays import Array
from advcli.numerics.pixels import as_bytes
from advcli.runtime.reporter import SILENT, Reporter
from advcli.workspace import outputs

PICTURE = re.compile(r"\d{6,}-\d{6,}\.png")
Make = Callable[[Path], None]  # write the export under a name


def export(asked: ExportRequest, reporter: Reporter = SILENT) -> Path:
    """Write files for other tools."""
    source = Path(asked.file)
    if asked.size is not None and (source.suffix == ".safetensors" or Path(asked.output or source.stem).suffix):
        raise CommandError("--size: draws PNG files of an image set again; name its .h5 file, and a folder with -o")
    if source.suffix == ".safetensors":
        path = Path(asked.output or source.with_suffix(".pt"))
        if path.suffix not in (".pt", ".pth"):
            raise CommandError(f"-o {path}: a model is written to NAME.pt")
        tensors = model_file.read(source).tensors
        if not tensors:
            raise InputError(f"{source}: has no weights to export: it asks a function of your own")
        _publish(path, partial(_save, tensors), force=asked.force, reporter=reporter)
        return path
    path = Path(asked.output or source.with_suffix(".npz" if asked.size is None else ""))
    if path.suffix not in ("", ".npz", ".pt"):
        raise CommandError(f"-o {path}: an image set is written to NAME.npz, to NAME.pt or to a folder of PNG files")
    if not path.suffix:
        _check_pictures(path)
    with ImageSet(source) as opened:
        if opened.unclipped and path.suffix:
            reporter.warn(f"{source}: holds pixels outside [0, 1] (attack --no-clip); {path} holds them too")
        make = {".npz": partial(_npz, opened), ".pt": partial(_tensors, opened)}.get(path.suffix)
        drawn = None if asked.size is None else drawing_of(opened, asked.size)
        _publish(path, make or partial(_pictures, opened, drawn, reporter), force=asked.force, reporter=reporter)
    return path


def _publish(path: Path, make: Make, *, force: bool, reporter: Reporter) -> None:
    """Write a file or a folder; an existing one is kept if its content is the same, and overwritten only with --force."""
    if path.exists() and not force:
        with atomic.beside(path) as aside:
            again = aside / path.name if path.suffix else aside
            make(again)
            if _content(again) != _content(path):
                raise outputs.taken(path)
        reporter.note(f"{path} already exists, with the same content")
    elif path.suffix:
        with atomic.locked(path):
            make(path)
    else:
        with atomic.folder(path) as building:
            make(building)


def _content(path: Path) -> dict[str, str]:
    """Digests of a file, or of all files in a folder by their names."""
    files = [one for one in path.rglob("*") if one.is_file()] if path.is_dir() else [path]
    return {str(one.relative_to(path)): sandbox.digest_of(one) for one in files}


def _check_pictures(folder: Path) -> None:
    """Refuse a folder that contains anything other than exported files: the folder is replaced as a whole."""
    other = "use -o to choose another name"
    if folder.name in ("", ".."):
        raise CommandError(f"-o {folder}: name a folder of its own")
    if not folder.exists():
        return
    if folder.is_symlink() or not folder.is_dir():
        raise outputs.taken(folder, " and is no folder of pictures", other)
    for one in folder.iterdir():
        if one.name == picture_origin.NOTE:
            continue
        inner = list(one.iterdir()) if one.is_dir() and not one.is_symlink() else []
        strange = next((path for path in inner if not PICTURE.fullmatch(path.name)), None if inner else one)
        if strange:
            raise outputs.taken(folder, f" and holds {strange.relative_to(folder)}, no picture of advcli's", other)


def _tensors(opened: ImageSet, path: Path) -> None:
    """A dictionary that torch.load reads with weights_only=True: images as float32, every column, and words."""
    columns = {name: torch.from_numpy(opened.column(name)) for name in opened.names() if name not in ("header", *IMAGES)}
    pixels = {name: opened.rows(name, 0, opened.kept(name)[1][0]) for name in opened.names() if name in IMAGES}
    words = {"classes": list(opened.classes), "split": str(opened.header["split"]), "kind": opened.kind}
    _save({**pixels, **columns, **words}, path)


def _save(content: dict[str, Any], path: Path) -> None:
    data = io.BytesIO()
    torch.save(content, data)
    atomic.write(path, [data.getvalue()])


def _npz(opened: ImageSet, path: Path) -> None:
    words = {"classes": np.array(opened.classes), "split": np.array(opened.header["split"]), "kind": np.array(opened.kind)}
    arrays = {name: (one.dtype, one.shape, [one]) for name, one in words.items()}
    stored = {name: (*opened.kept(name), opened.pieces(name)) for name in opened.names() if name != "header"}
    npz_writer.write(path, {**arrays, **stored})


def _pictures(opened: ImageSet, drawn: Callable[[int], Array] | None, reporter: Reporter, folder: Path) -> None:
    """CLASS/000017-003.png: index and row. The files have 8 bits; rounding of stored images is reported."""
    if opened.signed:
        raise CommandError(
            f"{opened.path}: perturbations have negative values and cannot be PNG files; use .npz, or: advcli stats"
        )
    if opened.unclipped:
        raise CommandError(
            f"{opened.path}: holds pixels outside [0, 1] (attack --no-clip), which no PNG file has; use .npz or .pt"
        )
    labels, index, lost = opened.column("labels"), opened.column("index"), 0
    for row in range(len(opened)):
        x = drawn(row) if drawn else opened.rows("images", row, row + 1)[0].numpy()
        byte = as_bytes(x)
        lost += bool((np.abs(byte / np.float32(255) - x) > 1e-6).any())
        name = opened.classes[labels[row]] if labels[row] >= 0 else "unlabelled"
        data = io.BytesIO()
        Image.fromarray(byte[0] if len(byte) == 1 else byte.transpose(1, 2, 0)).save(data, "PNG")
        atomic.write(folder / name / f"{index[row]:06d}-{row:06d}.png", [data.getvalue()])
    atomic.write(folder / picture_origin.NOTE, [picture_origin.note(opened.kind, opened.digest)])
    if lost and not drawn:
        reporter.warn(f"{lost} of {len(opened)} images were rounded to 8 bits; attack with --quantize to keep them adversarial")

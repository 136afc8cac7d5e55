"""`export`: a model as a plain state_dict, an image set as .npz or as a folder of PNG pictures."""

import io
import re
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from advcli.catalog.requests import ExportRequest
from advcli.errors import CommandError
from advcli.files import atomic, npz_writer
from advcli.files.imageset_reader import ImageSet
from advcli.networks import model_file
from advcli.numerics.pixels import as_bytes
from advcli.runtime.reporter import SILENT, Talk

PICTURE = re.compile(r"\d{6,}-\d{6,}\.png")


def export(asked: ExportRequest, talk: Talk = SILENT) -> Path:
    """Write files for other tools."""
    source = Path(asked.file)
    if source.suffix == ".safetensors":
        path = Path(asked.output or source.with_suffix(".pt"))
        if path.suffix not in (".pt", ".pth"):
            raise CommandError(f"-o {path}: a model goes to a name.pt")
        _free(path, force=asked.force)
        data = io.BytesIO()
        torch.save(model_file.read(source).tensors, data)
        with atomic.locked(path):
            atomic.write(path, [data.getvalue()])
        return path
    path = Path(asked.output or source.with_suffix(".npz"))
    if path.suffix not in ("", ".npz"):
        raise CommandError(f"-o {path}: an image set goes to a name.npz or to a folder of pictures")
    _free(path, force=asked.force)
    with ImageSet(source) as opened:
        if path.suffix:
            with atomic.locked(path):
                _npz(opened, path)
        else:
            _check_pictures(path)
            with atomic.folder(path) as building:
                _pictures(opened, building, talk)
    return path


def _free(path: Path, *, force: bool) -> None:
    if path.exists() and not force:
        raise CommandError(f"{path}: stands there; --force replaces it, -o names another")


def _check_pictures(folder: Path) -> None:
    """Refuse a name under which anything lies that `export` does not write: the folder is replaced as a whole."""
    if folder.name in ("", ".."):
        raise CommandError(f"-o {folder}: name a folder of its own")
    if not folder.exists():
        return
    if folder.is_symlink() or not folder.is_dir():
        raise CommandError(f"{folder}: stands there and is no folder of pictures; name another with -o")
    for one in folder.iterdir():
        inner = list(one.iterdir()) if one.is_dir() and not one.is_symlink() else []
        strange = next((path for path in inner if not PICTURE.fullmatch(path.name)), None if inner else one)
        if strange:
            raise CommandError(f"{folder}: holds {strange.relative_to(folder)}, no picture of advcli's; name another with -o")


def _npz(opened: ImageSet, path: Path) -> None:
    words = {"classes": np.array(opened.classes), "split": np.array(opened.header["split"])}
    arrays = {name: (one.dtype, one.shape, [one]) for name, one in words.items()}
    stored = {name: (*opened.kept(name), opened.pieces(name)) for name in opened.names() if name != "header"}
    npz_writer.write(path, {**arrays, **stored})


def _pictures(opened: ImageSet, folder: Path, talk: Talk) -> None:
    """CLASS/000017-003.png: index and row. Eight bits: what is lost is said."""
    if opened.signed:
        raise CommandError(f"{opened.path}: perturbations are signed and no pictures; take .npz, or: advcli stats")
    labels, index, lost = opened.column("labels"), opened.column("index"), 0
    for row in range(len(opened)):
        x = opened.rows("images", row, row + 1)[0].numpy()
        byte = as_bytes(x)
        lost += bool((np.abs(byte / np.float32(255) - x) > 1e-6).any())
        name = opened.classes[labels[row]] if labels[row] >= 0 else "unlabelled"
        data = io.BytesIO()
        Image.fromarray(byte[0] if len(byte) == 1 else byte.transpose(1, 2, 0)).save(data, "PNG")
        atomic.write(folder / name / f"{index[row]:06d}-{row:06d}.png", [data.getvalue()])
    if lost:
        talk.warn(f"{lost} of {len(opened)} pictures were rounded to 8 bits; attack with --quantize to keep them adversarial")

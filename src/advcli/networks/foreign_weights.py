"""Weights of other tools: a state_dict, under any usual key and prefix, read without executing anything.

Reads PyTorch's zip and legacy files and safetensors. An unknown file is read in a child process first; its records must be
stored uncompressed, and its tensors must be inside the stored bytes.
"""

import os
import warnings
import zipfile
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from advcli.errors import InputError
from advcli.files import sandbox
from advcli.networks.model_file import MOST_HEADER

KEYS = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "params", "ema", "last")
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.")
COUNTER = "n_averaged"  # what torch's AveragedModel adds
EXPORTED = ("serialized_exported_program.json", "models/model.json")  # of older and newer archives
SMALL = 1 << 26
FROM = {
    "module": "a pickled module, which runs code when it is loaded",
    "script": "a TorchScript program, which runs code when it is loaded",
    "export": "a program of torch.export, which runs code when it is loaded",
}
LOADED = {
    "module": "torch.load({0!r}, weights_only=False)",
    "script": "torch.jit.load({0!r})",
    "export": "torch.export.load({0!r}).module()",
}
NOT_WEIGHTS = {  # how files begin that a download leaves in the place of weights
    b"<!doctype": "a web page, not weights: download the file itself (a link to a page, or one that asks for a login)",
    b"<html": "a web page, not weights: download the file itself (a link to a page, or one that asks for a login)",
    b"<?xml": "an XML document, not weights: download the file itself (often the error message of a file server)",
    b"version https://git-lfs": "a pointer of Git LFS, not the weights themselves; fetch them with: git lfs pull",
}


def state_dict(path: Path) -> tuple[dict[str, Tensor], str]:
    """The tensors of a foreign file, in float32 if they are real numbers; and the digest of its bytes."""
    digest = sandbox.digest_of(path)
    sandbox.first_in_child(path, lambda: _tensors(path), path.stat().st_size, digest)
    return _tensors(path), digest


def _tensors(path: Path) -> dict[str, Tensor]:
    found = _unwrapped(loaded(path))
    if not isinstance(found, dict) or not found or not all(isinstance(v, Tensor) for v in found.values()):
        raise InputError(f"{path}: holds no state_dict: expected names and tensors, bare or under {', '.join(KEYS)}")
    if not all(isinstance(name, str) for name in found):
        raise InputError(f"{path}: its tensors have no names; expected a state_dict")
    check_stored(path, found)
    return plain(found, str(path))


def plain(found: dict[str, Tensor], where: str) -> dict[str, Tensor]:
    """Copies of the tensors in the types that models use; refused if a number is not finite."""
    for name, tensor in found.items():
        if not bool(torch.isfinite(tensor).all()):
            raise InputError(f"{where}: {name} holds numbers that are not finite; the model is broken")
    return {name: _plain(tensor) for name, tensor in found.items()}


def check_stored(path: Path, found: dict[str, Tensor]) -> None:
    """Refuse tensors that are not plain numbers, all of them inside the file."""
    total = 0
    for name, tensor in found.items():
        if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized or tensor.is_complex():
            raise InputError(
                f"{path}: {name} is sparse, empty or not of a plain number type; convert it with the tool that made it"
            )
        size = tensor.numel() * tensor.element_size()
        total += size
        if size > tensor.untyped_storage().nbytes() or total > SMALL + 2 * path.stat().st_size:
            raise InputError(f"{path}: {name} declares {tensor.numel()} numbers, more than the file holds: refused")


def _plain(tensor: Tensor) -> Tensor:
    """A separate copy of a tensor, in the type that models use."""
    return tensor.detach().to(torch.float32 if tensor.is_floating_point() else tensor.dtype).clone().contiguous()


def loaded(path: Path, what: str = "state_dict") -> Any:
    """The content of a file, restricted to tensors and plain containers."""
    with sandbox.regular(path) as file:
        start = file.read(64)
        file.seek(0)
        if told := no_weights(start):
            raise InputError(f"{path}: {told}")
        if start[:4] == b"PK\x03\x04":
            _check_zip(path)
        elif path.suffix == ".safetensors":
            if len(start) < 8 or int.from_bytes(start[:8], "little") > MOST_HEADER:
                raise InputError(f"{path}: not a safetensors file, or a damaged one")
            try:
                return safetensors.torch.load(file.read())
            except (safetensors.SafetensorError, ValueError, RuntimeError, KeyError) as error:
                raise InputError(f"{path}: not a safetensors file, or a damaged one ({str(error)[:80]})") from None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what is strange is refused below, in words of our own
                return torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises many kinds for a damaged or refused file; all mean the same here
            if "unsupported global" in str(error).lower() or "unsupported class" in str(error).lower():
                raise _program(path, "module") from None
            long = type(error).__name__ == "UnpicklingError"  # torch adds a page of advice
            reason = "" if long else f": {' '.join(str(error).split())[:60]}"
            raise InputError(f"{path}: not a {what}, or a damaged one ({type(error).__name__}{reason})") from None


def no_weights(data: bytes) -> str | None:
    """What a file is that a download left in the place of weights, by how it begins; None for others."""
    begins = data[:64].lstrip().lower()
    return next((NOT_WEIGHTS[text] for text in NOT_WEIGHTS if begins.startswith(text)), None)


def _check_zip(path: Path) -> None:
    """Refuse compressed records, or records that claim more bytes than the file has: PyTorch never writes them."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as error:
        raise InputError(f"{path}: a damaged PyTorch file ({error})") from None
    if any(one.filename.endswith("constants.pkl") or "/code/" in one.filename for one in entries):
        raise _program(path, "script")
    if any(one.filename.endswith(EXPORTED) for one in entries):
        raise _program(path, "export")
    size = os.path.getsize(path)
    for one in entries:
        if one.compress_type != zipfile.ZIP_STORED or one.file_size > size:
            raise InputError(f"{path}: its record {one.filename[:60]!r} is compressed, which PyTorch never does: refused")


def _program(path: Path, kind: str) -> InputError:
    load = LOADED[kind].format(path.name)
    return InputError(
        f"{path}: {FROM[kind]}: refused. Where you trust it, turn it into weights:\n"
        f"    model = {load}\n"
        "    torch.save(model.state_dict(), 'weights.pt')"
    )


def _unwrapped(found: Any) -> Any:
    """The state_dict under the usual keys, nested to any depth."""
    for _ in range(3):
        key = next((key for key in KEYS if isinstance(found, dict) and isinstance(found.get(key), dict)), None)
        if key is None:
            break
        found = found[key]
    return found


def spellings(found: dict[str, Tensor], more: tuple[str, ...] = ()) -> list[dict[str, Tensor]]:
    """The tensors by their names as stored, and without the prefixes of wrappers, one prefix after the other."""
    each = [found]
    names = {name for name in found if name != COUNTER}
    while prefix := next((one for one in (*PREFIXES, *more) if names and all(name.startswith(one) for name in names)), None):
        found = {name.removeprefix(prefix): tensor for name, tensor in found.items() if name != COUNTER}
        names = set(found)
        each.append(found)
    return each


def spelled_for(network: nn.Module, found: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under those names of which the network has most; of equals, those without prefixes."""
    own = network.state_dict().keys()
    return max(reversed(spellings(found)), key=lambda one: len(own & one.keys()))

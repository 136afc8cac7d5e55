"""Model files: safetensors whose header has one key of ours, `advcli`, which holds the metadata as canonical JSON.

The metadata states the architecture, the input, the classes, the normalisation and the stack of defenses, and has a SHA-256 of
itself (without that key) and of every tensor. A file is intact only if it is the canonical serialisation of its content.
Loading executes nothing.
"""

import contextlib
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from advcli.catalog import discovery, web_address
from advcli.errors import AdvcliError, Damaged, InputError
from advcli.files import atomic, header_schema, sandbox
from advcli.files.header import Header, canonical, parse
from advcli.files.header import digest as sha256
from advcli.networks import build, graph_network
from advcli.networks.classifier import Classifier

KEY = "advcli"
MOST_HEADER = 1 << 22
NEEDED = {"format", "arch", "input", "classes", "normalize", "defenses", "data", "made", "weights", "digest"}


@dataclass(frozen=True, slots=True)
class ModelFile:
    """The metadata and the weights of a model."""

    path: Path
    metadata: Header
    tensors: dict[str, Tensor]

    @property
    def digest(self) -> str:
        return str(self.metadata["digest"])

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.metadata["classes"])

    @property
    def shape(self) -> tuple[int, int, int]:
        c, h, w = self.metadata["input"]
        return c, h, w

    @property
    def defenses(self) -> list[dict[str, Any]]:
        return list(self.metadata["defenses"])

    @property
    def stacks(self) -> list[list[dict[str, Any]]]:
        """The defenses of the model, and those of each of its members."""
        return [self.defenses, *(member["defenses"] for member in self.metadata.get("members", []))]

    @property
    def network(self) -> str:
        """The digest of what decides without a defense: architecture, input, classes, normalisation and own weights."""
        bare = {name: tensor for name, tensor in self.tensors.items() if not name.startswith((build.MEMBER, build.DEFENSE))}
        normalize = {name: [float(one) for one in values] for name, values in self.metadata["normalize"].items()}
        parts = [self.metadata["arch"], self.metadata["input"], list(self.classes), normalize, weights_digest(bare)]
        return sha256(canonical(parts))

    @property
    def answers(self) -> str | None:
        """The answers of functions of the user's own in the model, scores or labels; None for networks alone."""
        kinds = {one["arch"].get(build.ANSWERS) for one in (self.metadata, *self.metadata.get("members", []))}
        return next((kind for kind in ("labels", "scores") if kind in kinds), None)

    def is_random(self, *, static: bool = False) -> bool:
        """True if the model, or a member of it, draws random numbers."""
        return not static and any(build.is_random(defenses) for defenses in self.stacks)

    def has_surrogate(self, *, static: bool = False) -> bool:
        """True if a defense of the model, or of a member of it, uses a surrogate gradient."""
        return not static and any(build.has_surrogate(defenses) for defenses in self.stacks)

    def module(self, *, static: bool = False) -> nn.Module:
        """The model with its defenses; without them for a static attack."""
        try:
            model = build.build(self.metadata, [] if static else self.defenses)
        except AdvcliError as error:
            raise InputError(f"{self.path}: its network cannot be built: {error}") from None
        build.load_all(model, self.tensors, str(self.path), static=static)
        return model.eval()


def weights_digest(tensors: dict[str, Tensor]) -> str:
    """One digest of every tensor's name, type, shape and bytes."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        found.update(canonical([name, str(tensor.dtype), list(tensor.shape)]))
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def metadata_digest(metadata: Header) -> str:
    return hashlib.sha256(canonical({k: v for k, v in metadata.items() if k != "digest"})).hexdigest()


def write(path: Path, metadata: Header, tensors: dict[str, Tensor]) -> str:
    """Check and publish a model file, then read it back; returns its digest."""
    data = packed(metadata, tensors)
    found = checked(path, data)
    with torch.random.fork_rng(devices=[]):  # fresh weights are drawn, and replaced
        found.module()
    atomic.write(path, [data])
    if sandbox.digest_of(path) != sha256(data):
        path.unlink()
        raise AdvcliError(f"{path}: the file on the disk differs from what was written; run the same command again")
    sandbox.trusted_digests.add(sha256(data))
    return found.digest


def packed(metadata: Header, tensors: dict[str, Tensor]) -> bytes:
    """The bytes of a model file."""
    tensors = apart({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    metadata = {**metadata, "weights": weights_digest(tensors)}
    return serialise({**metadata, "digest": metadata_digest(metadata)}, tensors)


def apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors without shared memory: a weight that two layers share is stored twice."""
    used: set[int] = set()
    found = {}
    for name, tensor in tensors.items():
        place = tensor.untyped_storage().data_ptr()
        found[name] = tensor.clone() if place in used else tensor
        used.add(place)
    return found


def serialise(metadata: Header, tensors: dict[str, Tensor]) -> bytes:
    found: bytes = safetensors.torch.save(tensors, metadata={KEY: canonical(metadata).decode()})
    return found


def peek(path: Path) -> Header:
    """The metadata alone, unchecked: for lists of the files in a folder."""
    with sandbox.regular(path) as file:
        head = file.read(8)
        size = int.from_bytes(head, "little")
        if len(head) < 8 or size > MOST_HEADER:
            raise InputError(f"{path}: not a safetensors file")
        return metadata_in(parse(file.read(size), str(path)), str(path))


def metadata_in(head: Header, where: str) -> Header:
    """Our metadata in the header of a safetensors file; empty if there is none."""
    kept = head.get("__metadata__")
    text = kept.get(KEY) if isinstance(kept, dict) else None
    return parse(text.encode("utf-8", "surrogatepass"), where) if isinstance(text, str) else {}


def read(path: str | Path) -> ModelFile:
    """Read and check a model file; an unknown file is read in a child process first.

    A model that needs code of the user's own is not built until that code is allowed, but can be shown and exported.
    """
    name, path = str(path), Path(path)
    if web_address.is_address(name):
        raise InputError(
            f"{name}: is an address, not a model file; import it first: advcli import {name} --data DATA -o FILE.safetensors"
        )
    if discovery.names_function(name):
        raise InputError(
            f"{path}: is code, not a model file; its normalisation, classes and size of images are stated once, at import:\n"
            f"    advcli import {path} --data DATA [--mean X --std X] -o FILE.safetensors"
        )
    if not path.exists():
        raise InputError(f"{path}: no such file or directory; make one with: advcli train")
    data = sandbox.read(path)
    with contextlib.suppress(Exception):  # whatever is wrong with it, the child will say
        metadata = metadata_in(_head(data, str(path)), str(path))
        header_schema.model(metadata, str(path))
        build.import_architectures(metadata)  # before the limits of the child count what it takes

    def look() -> None:
        found = checked(path, data)
        if not build.needs_permission(found.metadata):  # else it can be shown and exported, and nothing of it is run
            try_graphs(found.module(), str(path))

    digest = sha256(data)
    sandbox.first_in_child(path, look, len(data), digest)
    if build.needs_permission((found := checked(path, data)).metadata):
        sandbox.trusted_digests.discard(digest)
    return found


def try_graphs(model: nn.Module, where: str) -> None:
    """Run the graphs in a model on one image, where nothing that goes wrong does harm."""
    for one in model.modules():
        if isinstance(one, Classifier) and isinstance(one.network, graph_network.GraphNetwork):
            try:
                graph_network.try_out(one.network, one.shape, one.classes)
            except InputError as error:
                raise InputError(f"{where}: {error}") from None


def _head(data: bytes, where: str) -> Header:
    """The header of a safetensors file."""
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8:
        raise InputError(f"{where}: not a safetensors file: it has {len(data)} bytes")
    if size > MOST_HEADER:
        raise InputError(f"{where}: not a safetensors file, or a damaged one (a header of {size} bytes)")
    return parse(data[8 : 8 + size], where)


def checked(path: Path, data: bytes) -> ModelFile:
    """From bytes to a model with every part checked."""
    if data[:4] == b"PK\x03\x04" or data[:2] == b"\x80\x02":
        raise InputError(f"{path}: a PyTorch file, not a model of advcli; import it with: advcli import {path} --arch NAME")
    metadata = metadata_in(_head(data, str(path)), str(path))
    if not metadata.keys() >= NEEDED:
        raise InputError(f"{path}: weights without metadata of advcli; import them with: advcli import {path} --arch NAME")
    try:
        found = safetensors.torch.load(data)
        tensors = {name: found[name] for name in sorted(found)}  # in another order at every call
    except (safetensors.SafetensorError, ValueError, RuntimeError, KeyError) as error:
        raise InputError(f"{path}: not a safetensors file, or a damaged one ({str(error)[:80]})") from None
    whole = metadata["digest"] == metadata_digest(metadata) and metadata["weights"] == weights_digest(tensors)
    if not whole or serialise(metadata, tensors) != data:
        raise Damaged(f"{path}: its content does not match its digest; the file was changed or damaged")
    header_schema.model(metadata, str(path))
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise InputError(f"{path}: {name} holds numbers that are not finite; the model is broken")
    return ModelFile(path, metadata, tensors)

"""`verify`: recomputes the claims of a file from its bytes, its model and its data, and reports what cannot be recomputed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from advcli.catalog import discovery
from advcli.catalog.file_requests import VerifyRequest
from advcli.catalog.request_parts import Selection
from advcli.errors import AdvcliError, Damaged, InputError
from advcli.evaluation import against_itself, against_model, against_source
from advcli.evaluation.finding import BATCH, Finding
from advcli.files.header import MEMORY, NOTHING, Header
from advcli.files.imageset_reader import ImageSet
from advcli.files.imageset_schema import DERIVED
from advcli.images.dataset import Dataset
from advcli.networks import content, model_file
from advcli.networks.model_file import ModelFile
from advcli.runtime.reporter import SILENT, Reporter
from advcli.workspace import inputs, lookup


@dataclass(frozen=True, slots=True)
class Verification:
    """The findings of all files."""

    findings: list[Finding]

    @property
    def passed(self) -> bool:
        return not any(one.wrong for one in self.findings)

    def document(self) -> dict[str, Any]:
        return {"passed": self.passed, "files": [one.document() for one in self.findings]}


def verify(asked: VerifyRequest, reporter: Reporter = SILENT) -> Verification:
    """Check files against themselves, their model and their data."""
    discovery.allow(asked.allow)
    return Verification([_one(Path(name), asked) for name in asked.files])


def _one(path: Path, asked: VerifyRequest) -> Finding:
    finding = Finding(str(path))
    try:
        if path.suffix in (".safetensors",):
            model_file.read(path).module()
            finding.checked += ["digest", "weights fit the architecture"]
            finding.unchecked += [
                "how it was trained: that is its header's word",
                "how accurate it is: advcli evaluate measures it",
            ]
        else:
            with ImageSet(path) as opened:
                finding.checked.append("digest")
                _images(opened, finding, asked)
    except Damaged as error:
        finding.wrong.append(str(error))
    return finding


def _images(opened: ImageSet, finding: Finding, asked: VerifyRequest) -> None:
    against_itself.check(opened, finding)
    if opened.kind == "adversarial":
        _against_models(opened, finding, asked)
    if opened.signed:
        _derived(opened, finding) if opened.kind == "perturbation" else None
    else:
        _against_source(opened, finding, asked)
    finding.unchecked += _words_only(opened)


def _words_only(opened: ImageSet) -> list[str]:
    """Claims that no file can prove about itself."""
    if opened.kind in ("clean", "unknown"):
        return []
    if opened.kind == "filtered":
        return ["that its images went through the filter, and what the attack was before: those are its header's words"]
    found = ["how the attack ran (method, steps, queries, seed): that is its header's word; advcli show prints the command"]
    victim = opened.header.get("victim", {})
    if victim.get("defenses") and not victim["static"]:
        found.append("that the attack went through the defenses, and is adaptive: that is its header's word")
    return found


def _against_models(opened: ImageSet, finding: Finding, asked: VerifyRequest) -> None:
    """Check the set against its victim, and against the substitute that it was made on."""
    header = opened.header
    finding.wrong += against_model.own_words(header)
    model = _model(header["victim"], opened, asked.model)
    if model is None:
        finding.unchecked.append("predictions and successes: its model is not here (give --model)")
    else:
        against_model.check(opened, model, asked.device, finding)
    if "source" in header:
        source = _model(header["source"], opened, None)
        if source is None:
            finding.unchecked.append("the model that it was made on: it is not here")
        else:
            finding.wrong += against_model.contradictions(header, "source", source)
            finding.checked.append(f"what the header says of the model that it was made on: {source.path.name}")


def _model(said: Header, opened: ImageSet, given: str | None) -> ModelFile | None:
    """The given model file, or the one with the digest in the header, here or beside the set.

    A set that was made on a module in memory takes any file with the same network.
    """
    digest = said["digest"]
    path = given or lookup.find_file(digest) or lookup.find_file(digest, opened.path.parent)
    if path is None:
        return None
    try:
        model = model_file.read(path)
    except Damaged as error:
        raise InputError(str(error)) from None
    if model.digest != digest and not _is_in_memory(said, model):
        raise InputError(f"{path}: is not the model that {opened.path} was made against")
    return model


def _is_in_memory(said: Header, model: ModelFile) -> bool:
    """True if a set was made on a module in memory with this model's network and defenses."""
    network = str(said.get("network"))
    return network.startswith(content.MARK) and content.is_network(network, model) and said["defenses"] == model.defenses


def _against_source(opened: ImageSet, finding: Finding, asked: VerifyRequest) -> None:
    """Check the set against the data that its header names, if available."""
    said = against_source.named(opened)
    if said is None and asked.data is None:
        finding.unchecked.append("images and labels against their source, and which images were left out: it names no data set")
        return
    said = said or {}
    if said.get("name") == NOTHING:
        return
    try:
        whole = _source(said, opened, asked)
    except AdvcliError as error:
        if asked.data is not None:
            raise
        finding.unchecked.append(
            f"images and labels against their source, and which images were left out: {str(error).splitlines()[0]}"
        )
        return
    try:
        against_source.check(opened, whole, said, finding)
    except AdvcliError as error:
        finding.wrong.append(f"header: the images that it names cannot be taken ({str(error).splitlines()[0]})")


def _source(said: Header, opened: ImageSet, asked: VerifyRequest) -> Dataset:
    """The whole split that a header names: from --data, a known set in the data folder, or a folder or file found by content."""
    name, split = str(said.get("name")), str(said.get("split") or opened.header["split"])
    sizes = {key: said[key] for key in ("image_size", "resize") if isinstance(said.get(key), int)}
    chosen = Selection(data_dir=asked.data_dir, **sizes)
    if asked.data is not None:
        given = inputs.open_data(asked.data, None if inputs.split_suffix(asked.data)[1] else split, chosen)
        if said and name not in (MEMORY, given.origin["name"]):
            raise InputError(f"{opened.path}: was made from {name}, not from {asked.data}")
        return given
    if name in inputs.known_sets():
        return inputs.open_data(name, split, chosen)
    for where in (Path(), opened.path.parent):
        folder = lookup.find_folder(said, where) if name == "folder" else None
        file = lookup.find_file(str(said.get("digest")), where) if name == "file" else None
        if found := folder or file:
            return inputs.open_data(str(found), split, chosen)
    if name == MEMORY:
        raise InputError("its images were in the memory of a Python program (give --data)")
    raise InputError(f"the {name} that it was made from was not found (give --data)")


def _as_parent(path: Path) -> ImageSet:
    """A file that another one needs; its damage is not a finding about that other file."""
    try:
        return ImageSet(path)
    except Damaged as error:
        raise InputError(str(error)) from None


def _derived(opened: ImageSet, finding: Finding) -> None:
    """Check a perturbation file against the set that it belongs to: images, columns and header."""
    source = lookup.find_file(opened.header["of"], opened.path.parent)
    if source is None:
        finding.unchecked.append("its values: the set that it was derived from is not beside it")
        return
    with _as_parent(source) as whole:
        if len(opened) != len(whole) or opened.shape != whole.shape:
            finding.wrong.append(f"has other rows or images than {source}")
            return
        for name in ("labels", "index", *DERIVED):
            if not np.array_equal(opened.column(name), whole.column(name), equal_nan=name == "epsilon"):
                finding.wrong.append(f"/{name} differs from that of {source}")
        for key in ("classes", "split", "norm", "epsilon", "made"):
            if opened.header[key] != whole.header[key]:
                finding.wrong.append(f"header: {key} differs from that of {source}")
        origin = whole.column("original")
        for start in range(0, len(opened), BATCH):
            part = slice(start, start + BATCH)
            wanted = whole.rows("images", start, start + BATCH) - whole.pick("originals", origin[part])
            if not torch.equal(wanted, opened.rows("images", start, start + BATCH)):
                finding.wrong.append(f"rows from {start}: differ from {source}")
    finding.checked.append(f"equals {source.name}")

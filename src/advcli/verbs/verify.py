"""`verify`: recompute what a file claims: its digest, bounds and norms, and with its model every prediction."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from advcli.catalog import discovery
from advcli.catalog.requests import VerifyRequest
from advcli.errors import Damaged, InputError
from advcli.evaluation import distinct
from advcli.files.header import from_nothing
from advcli.files.imageset_reader import ImageSet
from advcli.files.imageset_schema import DERIVED
from advcli.networks import model_file
from advcli.networks.memory_format import placed
from advcli.networks.rejection import decision
from advcli.networks.rejection import rejects as can_reject
from advcli.numerics.arrays import Array
from advcli.numerics.balls import FREE, distance, tolerance
from advcli.numerics.quantize import on_grid
from advcli.numerics.rng import SampleRNG
from advcli.runtime import devices
from advcli.runtime.reporter import SILENT, Talk
from advcli.search.goal import SURE
from advcli.workspace import lookup

BATCH = 512
TINY = 1e-12


@dataclass(slots=True)
class Finding:
    """What was checked of a file, what was wrong, and what is too close to call."""

    path: str
    checked: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    ties: int = 0

    def document(self) -> dict[str, Any]:
        return {"path": self.path, "checked": self.checked, "wrong": self.wrong, "ties": self.ties}


@dataclass(frozen=True, slots=True)
class Verification:
    findings: list[Finding]

    @property
    def passed(self) -> bool:
        return not any(one.wrong for one in self.findings)

    def document(self) -> dict[str, Any]:
        return {"passed": self.passed, "files": [one.document() for one in self.findings]}


def verify(asked: VerifyRequest, talk: Talk = SILENT) -> Verification:
    """Check files against themselves and their model."""
    discovery.allow(asked.allow)
    return Verification([_one(Path(name), asked, talk) for name in asked.files])


def _one(path: Path, asked: VerifyRequest, talk: Talk) -> Finding:
    finding = Finding(str(path))
    try:
        if path.suffix in (".safetensors",):
            model_file.read(path).module()
            finding.checked += ["digest", "weights fit"]
        else:
            with ImageSet(path) as opened:
                finding.checked.append("digest")
                _images(opened, finding, asked, talk)
    except Damaged as error:
        finding.wrong.append(str(error))
    return finding


def _images(opened: ImageSet, finding: Finding, asked: VerifyRequest, talk: Talk) -> None:
    for start in range(0, len(opened), BATCH):
        opened.rows("images", start, start + BATCH)  # refuses what is out of range
    finding.checked.append("range")
    if opened.kind != "universal":
        finding.wrong += distinct.faults(opened)
        finding.checked.append("every row once")
    if opened.kind == "perturbation":
        _derived(opened, finding, talk)
    if opened.kind == "universal":
        _bounds(opened, finding)
    if opened.kind != "adversarial":
        return
    if opened.header["norm"] not in FREE and opened.header["epsilon"]:
        _bounds(opened, finding)
    if opened.header["made"]["options"]["quantize"]:
        _eight_bit(opened, finding)
    _predictions(opened, finding, asked, talk)


def _bounds(opened: ImageSet, finding: Finding) -> None:
    bound = opened.column("epsilon").astype(np.float64) + tolerance(float(opened.column("epsilon").max(initial=0)))
    origin, norm = opened.column("original") if "original" in opened else None, opened.header["norm"]
    for start in range(0, len(opened), BATCH):
        part = slice(start, start + BATCH)
        x = opened.rows("images", start, start + BATCH)
        size = distance(x, x * 0 if origin is None else opened.pick("originals", origin[part]), norm).numpy()
        for row in np.flatnonzero(~(size <= bound[part])):
            finding.wrong.append(f"row {start + row}: {norm} distance {size[row]:.6g} is beyond its budget")
    finding.checked.append(f"{norm} distances")


def _eight_bit(opened: ImageSet, finding: Finding) -> None:
    origin = opened.column("original")
    for start in range(0, len(opened), BATCH):
        x = opened.rows("images", start, start + BATCH)
        kept = (x == opened.pick("originals", origin[start : start + BATCH])).flatten(1).all(1)
        for row in np.flatnonzero(~(on_grid(x) | kept).numpy()):
            finding.wrong.append(f"row {start + row}: is not an 8-bit picture")
    finding.checked.append("8-bit pixels")


def _as_parent(path: Path) -> ImageSet:
    """A file that another one needs; its damage is no answer about that other one."""
    try:
        return ImageSet(path)
    except Damaged as error:
        raise InputError(str(error)) from None


def _derived(opened: ImageSet, finding: Finding, talk: Talk) -> None:
    """A perturbation file against the set that it is a view of: pictures, columns and header."""
    source = lookup.find_file(opened.header["of"], opened.path.parent)
    if source is None:
        talk.note(f"{opened.path}: the set that it was derived from is not beside it; its values were not compared")
        return
    with _as_parent(source) as whole:
        if len(opened) != len(whole) or opened.shape != whole.shape:
            finding.wrong.append(f"has other rows or pictures than {source}")
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


def _predictions(opened: ImageSet, finding: Finding, asked: VerifyRequest, talk: Talk) -> None:
    """Every stored prediction and success by a fresh forward; flips within the margin are ties."""
    victim = opened.header["victim"]
    path = asked.model or lookup.find_file(victim["digest"]) or lookup.find_file(victim["digest"], opened.path.parent)
    if path is None:
        talk.note(f"{opened.path}: its model is not here (give --model); predictions were not recomputed")
        return
    try:
        model = model_file.read(path)
    except Damaged as error:
        raise InputError(str(error)) from None
    if model.digest != victim["digest"]:
        raise InputError(f"{path}: is not the model that {opened.path} was made with")
    if opened.shape != model.shape:
        finding.wrong.append(f"its pictures have another shape than {path} takes")
        return
    device = devices.find_device(asked.device)
    module = placed(model.module(static=victim["static"]), device)
    rejects = can_reject(module)
    seed, origin = int(opened.header["made"]["options"]["seed"]), opened.column("original")
    ids = opened.column("index")
    margins = np.zeros(len(opened), np.float32)
    for name, images in (("clean_prediction", "originals"), ("prediction", "images")):
        stored = opened.column(name)
        for start in range(0, len(opened), BATCH):
            stop = min(start + BATCH, len(opened))
            x = opened.rows("images", start, stop) if images == "images" else opened.pick(images, origin[start:stop])
            draws = SampleRNG(seed, torch.from_numpy(ids[start:stop]).to(device), ("verdict",))
            with devices.threads(opened.shape), torch.no_grad():
                logits = module(x.to(device), draws).cpu()
            _compare(finding, name, logits, stored, start, rejects)
            top = logits.topk(2, 1).values
            margins[start:stop] = (top[:, 0] - top[:, 1]) / logits.abs().amax(1).clamp_min(TINY)
    _successes(opened, finding, margins)
    finding.checked += ["predictions", "successes"]


def _compare(finding: Finding, name: str, logits: torch.Tensor, stored: Array, start: int, rejects: bool) -> None:
    said = torch.from_numpy(stored[start : start + len(logits)])
    best, column = logits.amax(1), torch.where(said < 0, logits.shape[1] - 1, said)
    gap = best - logits.gather(1, column[:, None])[:, 0]
    gap[(said < 0) & (not rejects)] = torch.inf  # it cannot have said that
    decided = decision(logits, rejects)
    differs = decided != said
    close = gap <= SURE * logits.abs().amax(1)
    finding.ties += int((differs & close).sum())
    for row in (differs & ~close).nonzero()[:, 0].tolist():
        finding.wrong.append(f"row {start + row}: {name} is {int(decided[row])}, the file says {int(said[row])}")


def _successes(opened: ImageSet, finding: Finding, margins: Array) -> None:
    """Every success is one, and every image that was clearly turned is called one."""
    labels, target, decided = (opened.column(name) for name in ("labels", "target", "prediction"))
    clean, won = opened.column("clean_prediction"), opened.column("success").astype(bool)
    label = np.where(labels < 0, clean, labels)
    reached = np.where(target >= 0, (decided == target) & (target != label), (decided != label) & (decided >= 0))
    reached &= (clean == label) & (clean >= 0)
    if from_nothing(opened.header):
        reached = decided == target
    for row in np.flatnonzero(won & ~reached):
        finding.wrong.append(f"row {row}: is called a success and is none")
    for row in np.flatnonzero(reached & ~won & (margins > 10 * SURE)):
        finding.wrong.append(f"row {row}: is a success and is not called one")

"""An adversarial set checked against its model: the header's statements, every stored prediction, and every success."""

from typing import Any

import numpy as np
import torch

from advcli.evaluation.finding import Finding
from advcli.files.header import Header, from_nothing
from advcli.files.imageset_reader import ImageSet
from advcli.networks.content import is_network
from advcli.networks.memory_format import optimize_for
from advcli.networks.model_file import ModelFile
from advcli.networks.rejection import decision
from advcli.networks.rejection import rejects as can_reject
from advcli.numerics.arrays import Array
from advcli.numerics.rng import Purpose, SampleRNG
from advcli.runtime import devices
from advcli.search.goal import SURE

TINY = 1e-12


def contradictions(header: Header, key: str, model: ModelFile) -> list[str]:
    """Statements of the header about a model (its `victim`, or the substitute as `source`) that the model's file contradicts."""
    said: dict[str, Any] = header[key]
    found = []
    if "network" in said and not is_network(said["network"], model):  # older sets name the file alone
        found.append(f"header: {key}.network is not that of {model.path}")
    if said["defenses"] != model.defenses:
        names = [", ".join(str(one.get("name")) for one in each) or "none" for each in (said["defenses"], model.defenses)]
        found.append(f"header: {key}.defenses ({names[0]}) are not those of {model.path} ({names[1]})")
    if said["static"] and not model.defenses:
        found.append(f"header: {key}.static says that defenses were left out, {model.path} has none")
    return found


def own_words(header: Header) -> list[str]:
    """Statements of the header that contradict each other."""
    victim, how = header["victim"], header["made"]
    found = []
    if bool(how["options"].get("static", False)) != victim["static"]:
        found.append("header: victim.static is not what made.options says")
    parents = [one["digest"] for one in how["parents"] if one["role"] == "model"]
    if parents != [victim["digest"]]:
        found.append("header: victim.digest is not the model among the parents")
    return found


def check(opened: ImageSet, model: ModelFile, device_name: str, finding: Finding) -> None:
    """Predictions and successes by a fresh forward pass; flips within the margin are ties."""
    finding.wrong += contradictions(opened.header, "victim", model)
    finding.checked.append(f"what the header says of its model: digest, network and defenses of {model.path.name}")
    if opened.shape != model.shape:
        finding.wrong.append(f"its images have another shape than {model.path} takes")
        return
    device = devices.find_device(device_name)
    batch = devices.default_batch(None, device)
    module = optimize_for(model.module(static=opened.header["victim"]["static"]), device)
    rejects = can_reject(module)
    seed, origin = int(opened.header["made"]["options"]["seed"]), opened.column("original")
    ids = opened.column("index")
    margins = np.zeros(len(opened), np.float32)
    for name, images in (("clean_prediction", "originals"), ("prediction", "images")):
        stored = opened.column(name)
        for start in range(0, len(opened), batch):
            stop = min(start + batch, len(opened))
            x = opened.rows("images", start, stop) if images == "images" else opened.pick(images, origin[start:stop])
            draws = SampleRNG(seed, torch.from_numpy(ids[start:stop]).to(device), (Purpose.VERDICT,))
            with devices.threads(opened.shape), torch.no_grad():
                logits = module(x.to(device), draws).cpu()
            _compare(finding, name, logits, stored, start, rejects)
            top = logits.topk(2, 1).values
            margins[start:stop] = (top[:, 0] - top[:, 1]) / logits.abs().amax(1).clamp_min(TINY)
    _successes(opened, finding, margins)
    finding.checked.append("predictions and successes, by a fresh forward pass")


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
    """Every stored success is one, and every image that is clearly broken is stored as a success."""
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

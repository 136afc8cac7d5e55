"""The outputs of every layer for clean images and for their adversarial ones, compared while they are computed.

Of each layer and row only sums of squares and products are kept, in float64.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from advcli.evaluation.judge import Judge
from advcli.evaluation.selected_rows import SelectedRows
from advcli.networks.classifier import frozen
from advcli.networks.layers import WITHOUT_EFFECT, watched
from advcli.numerics.arrays import Array
from advcli.numerics.rng import Purpose, SampleRNG
from advcli.runtime import devices

SAME = 1e-3  # relative difference of an image from itself, by rounding
FIRST, LAST = "image", "logits"


@dataclass(slots=True)
class Sums:
    """Of one layer and every row: sums of clean values squared, of moved ones squared, of differences squared, of products."""

    kind: str
    rows: Array = field(repr=False)  # (4, rows)

    @property
    def difference(self) -> Array:
        found: Array = np.sqrt(self.rows[2])
        return found

    @property
    def relative(self) -> Array:
        """NaN where the clean values are all zero."""
        clean = self.rows[0]
        return np.where(clean > 0, np.sqrt(self.rows[2] / np.where(clean > 0, clean, 1)), np.nan)

    @property
    def cosine(self) -> Array:
        """NaN where either values are all zero."""
        size = np.sqrt(self.rows[0] * self.rows[1])
        return np.where(size > 0, self.rows[3] / np.where(size > 0, size, 1), np.nan)


def measured(rows: SelectedRows, model: Judge) -> dict[str, Sums]:
    """The sums of every layer, in the order in which an image passes them; of the network as it is written."""
    module, ids = model.file.module().to(model.device), rows.column("index")
    found: dict[str, Sums] = {}
    with devices.threads(model.file.shape), frozen(module), torch.no_grad():
        for part, pictures in rows.batches("originals", "images"):
            clean, moved = (torch.from_numpy(pictures[name]) for name in ("originals", "images"))
            if not found:
                found = _empty(module, model, clean[:1], ids[:1], len(rows))
            for start in range(0, len(clean), max(1, model.batch // 2)):
                some = slice(start, min(start + max(1, model.batch // 2), len(clean)))
                here = slice(part.start + some.start, part.start + some.stop)
                for name, (_, sums) in _compared(module, model, clean[some], moved[some], ids[here]).items():
                    if name in found:
                        found[name].rows[:, here] += sums.numpy()
    return found


def _empty(module: nn.Module, model: Judge, x: Tensor, ids: Array, count: int) -> dict[str, Sums]:
    """The layers that keep images apart, as rows: of an image beside itself they give the same twice."""
    twice = _compared(module, model, x, x, ids)
    return {
        name: Sums(kind, np.zeros((4, count)))
        for name, (kind, sums) in twice.items()
        if float(sums[2]) <= SAME**2 * float(sums[0]) or not float(sums[:2].sum())
    }


def _compared(module: nn.Module, model: Judge, clean: Tensor, moved: Tensor, ids: Array) -> dict[str, tuple[str, Tensor]]:
    """The type of every layer, and (4, N) sums of its outputs; of several passes through a layer together."""
    found: dict[str, tuple[str, Tensor]] = {}

    def add(name: str, kind: str, values: Tensor) -> None:
        if len(values) % (2 * len(clean)):
            return
        x, y = values.double().reshape(2, len(clean), -1)
        sums = torch.stack([x.square().sum(1), y.square().sum(1), (y - x).square().sum(1), (x * y).sum(1)]).cpu()
        found[name] = (kind, sums if name not in found else found[name][1] + sums)

    def seen(name: str, layer: nn.Module, values: Tensor) -> None:
        if not isinstance(layer, WITHOUT_EFFECT):
            add(name, type(layer).__name__, values)

    both = torch.cat([clean, moved]).to(model.device)
    draws = SampleRNG(model.seed, torch.from_numpy(np.tile(ids, 2)).to(model.device), (Purpose.EVALUATE, "0"))
    add(FIRST, "", both)
    with watched(module, seen):
        logits = module(both, draws).float()
    add(LAST, "", logits)
    return found

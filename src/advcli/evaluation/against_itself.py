"""An image set checked against its own header: pixel range, rows, bounds, 8-bit pixels, and how much of its budget was used."""

import numpy as np

from advcli.evaluation import distinct
from advcli.evaluation.finding import BATCH, Finding
from advcli.files.imageset_reader import ImageSet
from advcli.numerics.balls import FREE, distance, tolerance
from advcli.numerics.quantize import on_grid


def check(opened: ImageSet, finding: Finding) -> None:
    """Check everything that a set states about its own rows."""
    for start in range(0, len(opened), BATCH):
        opened.rows("images", start, start + BATCH)  # refuses what is out of range
    outside = f" of its header, {opened.header['range'][0]:.3g} to {opened.header['range'][1]:.3g}: no image file can hold them"
    finding.checked.append("pixels in range" + outside * opened.unclipped)
    if opened.kind != "universal":
        finding.wrong += distinct.faults(opened)
        whole = ", none missing" if "original" in opened else ""
        finding.checked.append(f"{len(opened)} rows, each once{whole}")
    bounded = opened.kind == "universal" or (opened.kind == "adversarial" and opened.header["epsilon"])
    if bounded and opened.header["norm"] not in FREE:
        _bounds(opened, finding)
    if opened.kind == "adversarial" and opened.header["made"]["options"]["quantize"]:
        _eight_bit(opened, finding)


def _bounds(opened: ImageSet, finding: Finding) -> None:
    """No row exceeds its budget; rows equal to their original are counted, since nothing was tried there."""
    stored, norm = opened.column("epsilon").astype(np.float64), opened.header["norm"]
    bound = stored + tolerance(float(stored.max(initial=0)))
    origin = opened.column("original") if "original" in opened else None
    size = np.zeros(len(opened))
    for start in range(0, len(opened), BATCH):
        part = slice(start, start + BATCH)
        x = opened.rows("images", start, start + BATCH)
        size[part] = distance(x, x * 0 if origin is None else opened.pick("originals", origin[part]), norm).numpy()
    for row in np.flatnonzero(~(size <= bound)):
        finding.wrong.append(f"row {row}: {norm} distance {size[row]:.6g} is beyond its budget")
    finding.checked.append(f"{norm} distances within the budgets")
    if origin is not None:
        labels = opened.column("labels")
        held = (opened.column("clean_prediction") == labels) & (opened.column("target") != labels) & (stored > 0)
        held &= opened.column("success") == 0
        still = int((held & (size == 0)).sum())
        if still:
            finding.unchecked.append(
                f"whether the attack tried: {still} of the {int(held.sum())} rows that it did not break are unchanged originals"
            )


def _eight_bit(opened: ImageSet, finding: Finding) -> None:
    origin = opened.column("original")
    for start in range(0, len(opened), BATCH):
        x = opened.rows("images", start, start + BATCH)
        kept = (x == opened.pick("originals", origin[start : start + BATCH])).flatten(1).all(1)
        for row in np.flatnonzero(~(on_grid(x) | kept).numpy()):
            finding.wrong.append(f"row {start + row}: is not on the 8-bit grid")
    finding.checked.append("8-bit pixels")

"""Image sets after a filter: the images that a model behind the defense would see."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from advcli.catalog.registry import Bound
from advcli.catalog.requests import DefendRequest
from advcli.errors import CommandError
from advcli.files import atomic, imageset_schema, imageset_writer
from advcli.files.imageset_reader import ImageSet
from advcli.files.provenance import provenance_of
from advcli.images.passes import passes
from advcli.numerics.arrays import Array
from advcli.numerics.rng import Purpose
from advcli.runtime import devices
from advcli.runtime.estimate import Estimate
from advcli.runtime.reporter import Reporter
from advcli.workspace import outputs


def filtered(source: Path, bound: Bound, asked: DefendRequest, reporter: Reporter) -> Path:
    """Write the set with every image filtered, beside its source."""
    path = outputs.output_path(asked.output, source.with_suffix(".filtered.h5"))
    outputs.keep_inputs([path], [source])
    device = devices.find_device(asked.device)
    with ImageSet(source) as opened:
        if opened.signed:
            raise CommandError(f"{source}: holds perturbations; filter the image set that they belong to")
        if opened.unclipped:
            raise CommandError(f"{source}: holds pixels outside [0, 1] (attack --no-clip), which no filter of images takes")
        batch = devices.default_batch(asked.batch_size, device)
        made = provenance_of(
            "defend",
            method=bound.spec.name,
            parameters=bound.parameters,
            options={"seed": asked.seed},
            parents=[{"role": "file", "digest": opened.digest}],
            data=None,
            environment=devices.environment(device, batch),
        )
        header = {**opened.header, "kind": "filtered", "of": opened.header, "made": made}
        rule: Any = bound(nn.Identity()).to(device)
        read = partial(opened.rows, "images")
        names = [name for name in (*imageset_schema.COLUMNS, "originals") if name in opened]
        layout = {name: opened.kept(name) for name in names}
        layout["images"] = (np.dtype("<f4"), (len(opened), *opened.shape))

        def pictures() -> Iterator[Array]:
            with reporter.progress(f"filtering {source}", len(opened), "images") as tick, torch.no_grad():
                for part in passes(read, opened.column("index"), batch, device, asked.seed, (Purpose.FILTER,)):
                    yield rule.filter(part.x, part.draws).cpu().numpy()
                    tick(len(part.x), "")

        with atomic.locked(path):
            default = asked.output is None
            if not outputs.is_finished(path, made, default_name=default, force=asked.force, reporter=reporter):
                fill = {name: (lambda name=name: opened.pieces(name)) for name in names}
                imageset_writer.write(path, header, layout, {**fill, "images": pictures})
    return path


def estimate(files: tuple[str, ...]) -> Estimate:
    """Rows and bytes of the filtered sets."""
    rows = size = 0
    for file in files:
        with ImageSet(file) as opened:
            rows += len(opened)
            size += Path(file).stat().st_size + len(opened) * int(np.prod(opened.shape)) * 3 * opened.eight_bit
    return Estimate(rows, size, 0.0)

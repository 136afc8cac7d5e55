"""`import` of images: an image set from a .npz, a .pt or a folder."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from advcli.catalog.file_requests import ImportRequest
from advcli.catalog.request_parts import Selection
from advcli.files import atomic, header_schema, imageset_writer
from advcli.files.provenance import provenance_of
from advcli.numerics.arrays import Array
from advcli.runtime.reporter import Reporter
from advcli.workspace import inputs, outputs

BATCH = 256


def image_set(asked: ImportRequest, reporter: Reporter) -> Path:
    """An image set from a .npz, a .pt or a folder, with unchanged pixels: bytes stay bytes."""
    path = outputs.output_path(asked.output, inputs.IMAGES)
    outputs.keep_inputs([path], [asked.file])
    chosen = Selection(classes=asked.classes, image_size=asked.image_size, resize=asked.resize)
    data = inputs.open_data(asked.file, asked.split or "test", chosen)
    header_schema.refuse_names(list(data.classes), data.name)
    header = {"kind": "unknown", "classes": list(data.classes), "split": data.split, "range": [0, 1]}
    made = provenance_of(
        "import",
        method=None,
        parameters={},
        options={"split": asked.split, "classes": asked.classes, "image_size": asked.image_size, "resize": asked.resize},
        parents=[],
        data=data.origin,
        environment={},
    )
    layout, fill = imageset_writer.in_memory({"labels": data.labels, "index": data.index})
    layout["images"] = (np.dtype("u1" if data.eight_bit else "<f4"), (len(data), *data.shape))

    def pictures() -> Iterator[Array]:
        with reporter.progress(f"reading {data.name}", len(data), "images") as tick:
            for start in range(0, len(data), BATCH):
                x, _ = data.batch(start, start + BATCH)
                tick(len(x), "")
                yield (x * 255).round().to(torch.uint8).numpy() if data.eight_bit else x.numpy()

    with atomic.locked(path):
        if not outputs.is_finished(path, made, default_name=asked.output is None, force=asked.force, reporter=reporter):
            imageset_writer.write(path, {**header, "made": made}, layout, {**fill, "images": pictures})
    return path

"""Batches for training: from memory if the set is there, otherwise read ahead in a thread."""

import queue
import threading
from collections.abc import Iterator
from math import prod

import numpy as np
import torch
from torch import Tensor

from advcli.images.dataset import Dataset
from advcli.numerics.arrays import Array

MOST = 2 << 30  # bytes of a set that is taken into memory
AHEAD = 3
Batch = tuple[Tensor, Tensor, Tensor]  # images, labels, places in the set


class Batches:
    """Images, labels and places on the device."""

    def __init__(self, data: Dataset, device: torch.device, size: int) -> None:
        self.data, self.device, self.size = data, device, size
        self.pixels: Tensor | None = None
        if (found := _in_memory(data)) is not None:
            self.pixels = found.to(device)
            self.labels = torch.from_numpy(data.labels).to(device)

    def of(self, order: list[Array]) -> Iterator[Batch]:
        """One batch for each array of places."""
        if self.pixels is None:
            yield from self._ahead(order)
            return
        for places in order:
            chosen = torch.from_numpy(places).to(self.device)
            x = self.pixels[chosen]
            yield x / 255 if x.dtype == torch.uint8 else x, self.labels[chosen], chosen

    def _ahead(self, order: list[Array]) -> Iterator[Batch]:
        """Read in a thread while the caller computes; its failures are raised here."""
        ready: queue.Queue[Batch | BaseException] = queue.Queue(AHEAD)
        over = threading.Event()

        def read() -> None:
            try:
                for places in order:
                    found = self._read(places)
                    while not over.is_set():
                        try:
                            ready.put(found, timeout=0.2)
                            break
                        except queue.Full:
                            continue
                    if over.is_set():
                        return
            except BaseException as error:
                ready.put(error)

        reader = threading.Thread(target=read, name="reader", daemon=True)
        reader.start()
        try:
            for _ in order:
                found = ready.get()
                if isinstance(found, BaseException):
                    raise found
                x, label, chosen = found
                yield x.to(self.device), label.to(self.device), chosen.to(self.device)
        finally:
            over.set()
            reader.join()

    def _read(self, places: Array) -> Batch:
        x = self.data.read(places)
        return x, torch.from_numpy(self.data.labels[places]), torch.from_numpy(places)


def _in_memory(data: Dataset) -> Tensor | None:
    """All images, as bytes if possible; None if they must be decoded, or are too many."""
    if data.pixels is not None:
        return data.pixels
    if not data.packed or len(data) * prod(data.shape) * (1 if data.eight_bit else 4) > MOST:
        return None
    pieces = []
    for start in range(0, len(data), 1024):
        x = data.read(np.arange(start, min(start + 1024, len(data))))
        pieces.append((x * 255).round().to(torch.uint8) if data.eight_bit else x)
    return torch.cat(pieces)

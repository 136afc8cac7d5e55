"""Batches that are read ahead: all of them, in order, however slow the one who learns is."""

import threading
from dataclasses import replace

import numpy as np
import torch

from advcli.training import loader
from conftest import in_memory


def test_a_slow_learner_loses_no_batch(monkeypatch):
    """The reader waits for a free place more than once: the learner takes nothing before it has waited."""
    waited, put = threading.Event(), loader.queue.Queue.put

    def waiting(self, item, block=True, timeout=None):
        try:
            put(self, item, timeout=0.01)
        except loader.queue.Full:
            waited.set()
            raise

    monkeypatch.setattr(loader.queue.Queue, "put", waiting)
    data = replace(in_memory(torch.rand(40, 1, 2, 2), torch.arange(40), 40), packed=False)
    order = np.arange(40).reshape(10, 4)
    found = []
    for _, label, _ in loader.Batches(data, torch.device("cpu"), 4).of(list(order)):
        if len(found) + loader.AHEAD + 1 < len(order):
            waited.clear()
            assert waited.wait(60)
        found.append(label.tolist())
    assert found == order.tolist()

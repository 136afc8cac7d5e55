"""How near the training loop comes to bare arithmetic: images per second of `train`, over those of forward, backward and
optimizer step on a batch that stays where it is. Interleaved, so that a busy machine disturbs both alike.

    python benchmarks/training.py mnist cnn [--data-dir DIR] [--rounds 5] [--steps 60]
"""

import argparse
import statistics
import sys
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "src"))

import torch

from advcli.catalog import discovery
from advcli.catalog.request_parts import Selection
from advcli.networks.classifier import Dropout
from advcli.runtime import allocator, devices
from advcli.runtime.reporter import SILENT
from advcli.training.loop import State, Trainer
from advcli.verbs import train
from advcli.workspace import inputs

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("data")
parser.add_argument("arch")
parser.add_argument("--data-dir")
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--steps", type=int, default=60)
parser.add_argument("--option", action="append", default=[], help="NAME=VALUE of the architecture or of train")
given = parser.parse_args()

options = dict(one.split("=") for one in given.option)
_, known = discovery.verb("train")
settings = {one.name: one.default for one in known} | {"data": given.data, "arch": given.arch, "data_dir": given.data_dir}
settings |= {k: v for k, v in options.items() if k in settings}
settings = inputs.checked("train", settings)
settings["lr"], settings["epochs"] = settings["lr"] or train.RATES[settings["optimizer"]], 1
size = settings["batch_size"] = settings["batch_size"] or 128
objective, network = train.split_options("standard", given.arch, {k: v for k, v in options.items() if k not in settings})
images = inputs.open_data(given.data, None, Selection(data_dir=given.data_dir, limit=size * given.steps))
device = devices.find_device("auto")

allocator.keep_freed()


def loop() -> float:
    """Seconds of one pass of ours."""
    trainer = Trainer(train._plan(images, objective, network, {**settings, "stop_at": None}, device, SILENT))
    trainer.plan.val = None
    begin = time.perf_counter()
    trainer._epoch(0, State(), lambda *_: None, lambda: False)
    return time.perf_counter() - begin


def bare() -> float:
    """Seconds of as many steps on one resident batch."""
    trainer = Trainer(train._plan(images, objective, network, settings, device, SILENT))
    x, label, _ = next(trainer.batches.of(trainer._order(0)))
    net, optimizer = trainer.classifier.network.train(), trainer.optimizer
    for group in optimizer.param_groups:
        group["lr"] = 1e-9  # a batch that is learned by heart has gradients so small that the processor slows down
    for one in [m for m in net.modules() if isinstance(m, Dropout)]:  # stock dropout: what a bare loop would have
        one.forward = partial(torch.nn.functional.dropout, p=one.rate) if one.rate else (lambda x: x)
    begin = time.perf_counter()
    for _ in range(given.steps):
        optimizer.zero_grad(set_to_none=True)
        torch.nn.functional.cross_entropy(net(x), label).backward()
        optimizer.step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begin


loop(), bare()
ratios = []
for _ in range(given.rounds):
    ours, floor = loop(), bare()
    ratios.append(floor / ours)
    speeds = f"{size * given.steps / ours:.0f} images/s, bare {size * given.steps / floor:.0f}"
    print(f"{given.data} {given.arch}: {speeds}, ratio {floor / ours:.3f}")
print(f"median ratio {statistics.median(ratios):.3f}, {torch.get_num_threads()} threads, torch {torch.__version__}, {device}")

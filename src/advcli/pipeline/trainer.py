"""The one training loop: order by seed, loss by recipe, one line of log and one published state an epoch.

Recipes are per-sample losses that it calls. Whoever is interrupted goes on from the last finished epoch, and ends with
the weights of an undisturbed run: order and draws are functions of seed and epoch, all else lies in the state.
"""

import json
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from advcli import leaving, stack
from advcli.arrays import Array
from advcli.dataset import Dataset
from advcli.errors import AdvcliError
from advcli.interval import exact_interval
from advcli.pipeline.estimate import Estimate
from advcli.pipeline.outputs import Parts
from advcli.registry import Bound
from advcli.rng import SampleRNG
from advcli.stack import frozen
from advcli.talk import Talk

Log = list[dict[str, Any]]


class Trainer:
    """The one loop: order by seed, loss by recipe, one line of log per epoch."""

    def __init__(
        self, data: Dataset, objective: Bound, network: Bound, given: dict[str, Any], epochs: int, device: torch.device
    ) -> None:
        self.data, self.objective, self.network, self.given = data, objective, network, given
        self.epochs, self.device, self.seed = epochs, device, int(given["seed"])
        self.pixels = [0.0] * data.shape[0], [1.0] * data.shape[0]
        with torch.random.fork_rng(devices=[]):
            torch.random.manual_seed(self.seed)  # inside the fork: the caller's random state stays as it is
            net = network(data.shape, len(data.classes))
        self.model: nn.Module = stack.Classifier(net, *self.pixels).to(device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=given["lr"], weight_decay=given["weight_decay"])

    def fit(self, val: Dataset | None, parts: Parts, talk: Talk) -> Log:
        """Train, epoch by epoch; the log has a line for each."""
        log = self.resume(parts)
        if log:
            talk.note(f"going on after epoch {len(log)} of {self.epochs}, from {parts.folder}")
        shown = len(log) * len(self.data)
        with talk.progress("training", self.epochs * len(self.data), "images") as tick, leaving.patiently() as asked:
            tick(shown, "")
            for epoch in range(len(log), self.epochs):
                begin, total = time.perf_counter(), 0.0
                for places in self._order(epoch):
                    total += self._step(epoch, places) * len(places)
                    tick(len(places), f"epoch {epoch + 1}/{self.epochs}")
                    if asked():
                        raise KeyboardInterrupt
                seconds = round(time.perf_counter() - begin, 3)
                line = {"epoch": epoch + 1, "loss": total / len(self.data), "seconds": seconds}
                k, n = self.accuracy(val) if val else (0, 0)
                log.append({**line, "val": {"k": k, "n": n}})
                tick(0, f"epoch {epoch + 1}/{self.epochs}, loss {line['loss']:.3f}")
                self.publish(parts, log)
        if val:
            k, n = log[-1]["val"]["k"], log[-1]["val"]["n"]
            low, high = exact_interval(k, n)
            talk.note(f"validation accuracy {k / n:.1%} ({k} of {n}; 95 % interval {low:.1%} to {high:.1%})")
        return log

    def publish(self, parts: Parts, log: Log) -> None:
        """All that the next epoch depends on, as the one part that is kept."""
        state: dict[str, Tensor] = {f"model/{name}": tensor for name, tensor in self.model.state_dict().items()}
        for number, slots in self.optimizer.state_dict()["state"].items():
            state |= {f"optimizer/{number}/{name}": value for name, value in slots.items() if isinstance(value, Tensor)}
        arrays = {name: tensor.detach().cpu().numpy() for name, tensor in state.items()}
        parts.save(0, len(log), {**arrays, "log": np.frombuffer(json.dumps(log).encode(), np.uint8)})
        parts.keep_only(len(log))

    def resume(self, parts: Parts) -> Log:
        """Take up the last finished epoch, if there is one; returns its log."""
        found = parts.latest()
        if found is None:
            return []
        tensors = {name: torch.from_numpy(array) for name, array in found[1].items()}
        self.model.load_state_dict({n.removeprefix("model/"): t for n, t in tensors.items() if n.startswith("model/")})
        slots: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimizer/"):
                _, number, slot = name.split("/", 2)
                slots.setdefault(int(number), {})[slot] = tensor
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": slots})
        log: Log = json.loads(bytes(found[1]["log"]))
        return log

    def _order(self, epoch: int) -> list[Array]:
        """The batches of one epoch, shuffled by seed and epoch alone."""
        ids = torch.arange(len(self.data))
        drawn = SampleRNG(self.seed, ids, ("order", str(epoch))).bits(1)[:, 0]
        order = drawn.argsort(stable=True).numpy()
        size = self.given["batch_size"]
        return [order[i : i + size] for i in range(0, len(order), size)]

    def _step(self, epoch: int, places: Array) -> float:
        x = self.data.read(places).to(self.device)
        label = torch.from_numpy(self.data.labels[places]).to(self.device)
        ids = torch.from_numpy(self.data.index[places]).to(self.device)
        rng = SampleRNG(self.seed, ids, ("training", str(epoch)))
        self.model.train()
        loss: Tensor = self.objective(self.model, x, label, rng=rng).mean()
        self.optimizer.zero_grad(set_to_none=True)
        if not bool(torch.isfinite(loss)):
            raise AdvcliError(f"training: the loss became {float(loss.detach())} in epoch {epoch + 1}; a lower --lr may help")
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.optimizer.step()
        return float(loss.detach())

    def accuracy(self, data: Dataset) -> tuple[int, int]:
        """How many images of a set the model has right, of how many."""
        right = 0
        with frozen(self.model), torch.no_grad():
            for start in range(0, len(data), 512):
                x, label = data.batch(start, start + 512)
                right += int((self.model(x.to(self.device)).argmax(1).cpu() == label).sum())
        return right, len(data)

    def recipe(self, arch: str, made: dict[str, Any], last: dict[str, Any]) -> dict[str, Any]:
        """The model file's document."""
        mean, std = self.pixels
        return {
            "format": "advcli/model/1",
            "arch": {"name": arch, "parameters": self.network.parameters},
            "input": list(self.data.shape),
            "classes": list(self.data.classes),
            "normalize": {"mean": mean, "std": std},
            "defenses": [],
            "figures": {"accuracy": {"split": "val", **last["val"]}},
            "data": self.data.origin,
            "made": made,
        }

    def estimate(self) -> Estimate:
        """Time by a few steps."""
        batches = self._order(0)
        self._step(0, batches[0])
        begin, count = time.perf_counter(), min(5, len(batches))
        for places in batches[:count]:
            self._step(0, places)
        seconds = (time.perf_counter() - begin) / count * len(batches) * self.epochs
        size = sum(t.numel() * t.element_size() for t in self.model.state_dict().values())
        return Estimate(len(self.data), size, seconds)

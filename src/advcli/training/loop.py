"""The one training loop: order by seed, loss by recipe, one log line and one published state for each epoch.

Recipes are per-sample losses that it calls. An interrupted training resumes after the last finished epoch, and ends with
the weights of an uninterrupted run: order and draws are functions of seed and epoch, everything else is in the state.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from advcli.errors import AdvcliError, InputError
from advcli.files.parts import Parts
from advcli.images.dataset import Dataset
from advcli.networks import classifier
from advcli.numerics.arrays import Array
from advcli.numerics.rng import Purpose, SampleRNG, Table, torch_draws
from advcli.runtime import interrupts
from advcli.runtime.estimate import Estimate
from advcli.runtime.reporter import Reporter
from advcli.training import augmentation, monitor, optimizer
from advcli.training.averaging import MovingAverage
from advcli.training.loader import Batch, Batches
from advcli.training.monitor import Log
from advcli.training.plan import Plan

LOOKS = 10  # how often in an epoch --stop-at looks at the validation images
AUXILIARY = 0.3  # what side heads weigh against the main one (Szegedy et al. 2015)
LONG = 5.0  # seconds after which the time of a step is known well enough
CHECK = 50  # steps between two looks at the loss: each waits for the device


@dataclass
class State:
    """The state of a training that a rerun resumes from."""

    log: Log = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    done: bool = False


class Trainer:
    """The loop over epochs, batches and steps."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.options, self.model = plan, plan.options, plan.model.to(plan.device)
        self.classifier = classifier.classifier_of(self.model)
        self.teacher = plan.teacher.to(plan.device).requires_grad_(False) if plan.teacher else None
        self.seed, self.words = self.options.seed, augmentation.augmentations(self.options.augment)
        self.optimizer = optimizer.optimizer(self.options, self.model.parameters())
        self.average = MovingAverage(self.model, self.options.ema) if self.options.ema else None
        self.batches = Batches(plan.data, plan.device, self.options.batch_size)
        self.ids = torch.from_numpy(plan.data.index).to(plan.device)
        self.draws = Table(self.ids, {})
        self.carried: dict[str, Tensor] = {}  # what a recipe keeps from step to step of an epoch
        self.shown = len(plan.data) * plan.replays  # in an epoch
        self.steps = -(-len(plan.data) // self.options.batch_size) * plan.replays

    def fit(self, parts: Parts | None, publish_log: Callable[[Log], None], reporter: Reporter) -> Log:
        """Train all epochs; the log has a line for each. Without parts, an interrupted training starts from the beginning."""
        state, plan = self.resume(parts) if parts else State(), self.plan
        if parts and state.log:
            reporter.note(f"resuming after epoch {len(state.log)} of {plan.options.epochs}, from {parts.folder}")
        with (
            reporter.progress("training", plan.options.epochs * self.shown, "images") as tick,
            interrupts.finish_batch_first() as asked,
        ):
            tick(len(state.log) * self.shown, "")
            for epoch in range(len(state.log), plan.options.epochs):
                if state.done:
                    break
                self._epoch(epoch, state, tick, asked)
                if parts:
                    self.publish(parts, state)
                publish_log(state.log)
        self._finish(state)
        if self.options.stop_at is not None and not state.done:
            reporter.warn(f"--stop-at {self.options.stop_at:g}: not reached in {plan.options.epochs} epochs; --epochs gives more")
        monitor.report_figures(state.log, self.options.keep, reporter)
        return state.log

    def _epoch(self, epoch: int, state: State, tick: Callable[[int, str], None], asked: Callable[[], bool]) -> None:
        """One pass over the data, and its line in the log."""
        begin, total, seen = time.perf_counter(), torch.zeros((), device=self.plan.device), 0
        where = word = f"epoch {epoch + 1}/{self.options.epochs}"
        self._train_mode()
        self.draws = Table(self.ids, {})
        self.carried.clear()
        for number, (x, label, places) in enumerate(self._replayed(self._order(epoch))):
            loss = self._step(epoch * self.steps + number, epoch, x, label, places)
            total += loss * len(x)
            seen += len(x)
            if number % CHECK == 0:
                self._check(total, epoch)
                word = f"{where}, loss {float(total) / seen:.3f}"
            tick(len(x), word)
            if asked():
                raise KeyboardInterrupt
            if self._stops_here(number):
                state.done = True
                break
        self._check(total, epoch)
        self._check_weights(epoch)
        seconds = round(time.perf_counter() - begin, 3)
        line = {"epoch": epoch + 1, "loss": float(total) / seen, "images": seen, "seconds": seconds, "lr": self._rate(epoch)}
        state.log.append({**line, **self._validated()})
        age = len(state.log) - 1 - monitor.kept_epoch(state.log, "best")
        if age == 0 and self.options.keep == "best":
            with self._averaged():
                state.best = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
        if self.options.patience and age >= self.options.patience:
            state.done = True

    def _validated(self) -> dict[str, Any]:
        """The figures of one epoch: of all validation images, and of the first ones under attack."""
        plan = self.plan
        k, n = self.accuracy(plan.val) if plan.val else (0, 0)
        found: dict[str, Any] = {"val": {"k": k, "n": n}}
        if plan.val and plan.threat:
            with self._averaged():
                found["attacked"] = monitor.validate_under_attack(
                    self.model, plan.threat, plan.val, plan.device, self.seed, plan.draws
                )
        return found

    def _train_mode(self) -> None:
        self.model.train()
        for one in self.plan.frozen:  # their statistics stay as they are, too
            one.eval()

    def _stops_here(self, number: int) -> bool:
        """True if --stop-at is reached, checked ten times an epoch on the validation images."""
        if self.options.stop_at is None or self.plan.val is None or (number + 1) % max(1, self.steps // LOOKS):
            return False
        k, n = self.accuracy(self.plan.val)
        self._train_mode()
        return bool(k >= self.options.stop_at * n)

    def _check(self, total: Tensor, epoch: int) -> None:
        if not bool(torch.isfinite(total)):
            raise AdvcliError(f"training: the loss became {float(total)} in epoch {epoch + 1}; a lower --lr may help")

    def _check_weights(self, epoch: int) -> None:
        """Refuse weights that are not finite, as the file's reader would; the loss was computed before the last step."""
        for name, tensor in self.model.state_dict().items():
            if not bool(torch.isfinite(tensor).all()):
                raise AdvcliError(f"training: {name} is not finite after epoch {epoch + 1}; a lower --lr may help")

    def _rate(self, epoch: int) -> float:
        return float(
            self.options.lr * optimizer.lr_factor(self.options.schedule, epoch * self.steps, self.options.epochs * self.steps)
        )

    def _order(self, epoch: int) -> list[Array]:
        """The batches of one epoch, shuffled by seed and epoch alone, or as they lie."""
        ids = torch.arange(len(self.plan.data))
        drawn = SampleRNG(self.seed, ids, (Purpose.ORDER, str(epoch))).bits(1)[:, 0]
        order = (drawn.argsort(stable=True) if self.plan.shuffled else ids).numpy()
        size = self.options.batch_size
        return [order[i : i + size] for i in range(0, len(order), size)]

    def _replayed(self, order: list[Array]) -> Iterator[Batch]:
        """Each batch as often as the recipe trains on it."""
        for batch in self.batches.of(order):
            for _ in range(self.plan.replays):
                yield batch

    def _step(self, number: int, epoch: int, x: Tensor, label: Tensor, places: Tensor) -> Tensor:
        """Forward, backward, update; returns the mean loss, which stays on the device."""
        rng = SampleRNG(self.seed, self.ids[places], (Purpose.TRAINING, str(epoch)), table=self.draws.at(places))
        factor = optimizer.lr_factor(self.options.schedule, number, self.options.epochs * self.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.lr * factor
        self.optimizer.zero_grad(set_to_none=True)
        with self._arithmetic(), torch_draws(f"{self.seed}/step/{number}", self.plan.device):
            x = augmentation.augmented(x, self.words, rng)
            beside = {"rng": rng, "teacher": self.teacher, "epoch": number / self.steps, "carried": self.carried}
            asked = {name: beside[name] for name in self.plan.asks}
            loss = self.plan.objective(self.model, x, label, **asked).mean()
            for side in self.classifier.auxiliary:
                loss = loss + AUXILIARY * nn.functional.cross_entropy(side, label)
        if not loss.requires_grad:
            raise InputError("the weights get no gradient from the loss: the network computes without gradients")
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        if self.options.clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.options.clip)
        self.optimizer.step()
        if self.average:
            self.average.update(self.model)
        return loss.detach()

    def _arithmetic(self) -> contextlib.AbstractContextManager[None]:
        if self.options.precision == "bfloat16":
            return torch.autocast(self.plan.device.type, torch.bfloat16)
        return contextlib.nullcontext()

    def accuracy(self, data: Dataset) -> tuple[int, int]:
        """(correct, total) on a set, with the weights that would be kept."""
        with self._averaged():
            return monitor.accuracy(self.model, data, self.plan.device, self.seed)

    def _averaged(self) -> contextlib.AbstractContextManager[None]:
        return self.average.applied(self.model) if self.average else contextlib.nullcontext()

    def _finish(self, state: State) -> None:
        """Leave the weights to keep in the model."""
        if state.best:
            self.model.load_state_dict(state.best)
        elif self.average:
            self.model.load_state_dict(self.average.tensors)

    def publish(self, parts: Parts, state: State) -> None:
        """Write everything that the next epoch depends on, as the one part that is kept."""
        tensors = {"model": self.model.state_dict(), "best": state.best, "ema": self.average.tensors if self.average else {}}
        flat = {f"{kind}/{name}": tensor for kind, some in tensors.items() for name, tensor in some.items()}
        for number, slots in self.optimizer.state_dict()["state"].items():
            flat |= {f"optimizer/{number}/{name}": value for name, value in slots.items() if isinstance(value, Tensor)}
        arrays = {name: tensor.detach().cpu().numpy() for name, tensor in flat.items()}
        note = json.dumps({"log": state.log, "done": state.done}).encode()
        parts.save(0, len(state.log), {**arrays, "note": np.frombuffer(note, np.uint8)})
        parts.keep_only(len(state.log))

    def resume(self, parts: Parts) -> State:
        """Load the state after the last finished epoch, if there is one."""
        found = parts.latest()
        if found is None:
            return State()
        kinds: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "ema": {}, "optimizer": {}}
        for name, array in found[1].items():
            kind, _, rest = name.partition("/")
            if rest:
                kinds[kind][rest] = torch.from_numpy(array).to(self.plan.device)
        self.model.load_state_dict(kinds["model"])
        if self.average:
            self.average.tensors = kinds["ema"]
        slots: dict[int, dict[str, Tensor]] = {}
        for name, tensor in kinds["optimizer"].items():
            number, _, slot = name.partition("/")
            slots.setdefault(int(number), {})[slot] = tensor
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": slots})
        return State(best=kinds["best"], **json.loads(bytes(found[1]["note"])))

    def estimate(self) -> Estimate:
        """Measure the time of a few steps, the first of which warms up."""
        self._train_mode()
        order, begin = self._order(0)[:6], time.perf_counter()
        for number, (x, label, places) in enumerate(self._replayed(order)):
            self._step(number, 0, x, label, places)
            taken, tried = time.perf_counter() - begin, max(1, number)
            if taken > LONG:
                break
            begin = begin if number or self.steps == 1 else time.perf_counter()
        seconds = taken / tried * self.steps * self.options.epochs
        size = sum(t.numel() * t.element_size() for t in self.model.state_dict().values())
        return Estimate(len(self.plan.data), size, seconds)

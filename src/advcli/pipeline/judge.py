"""One model before one set: its decisions, the figures of every metric, and the worst case over several sets."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from advcli.arrays import Array
from advcli.errors import AdvcliError, CommandError
from advcli.modelfile import ModelFile
from advcli.numbers import as_float32, fraction
from advcli.pipeline import inputs, noise
from advcli.pipeline.subjects import Subject, budgets_of
from advcli.pipeline.threat import threat
from advcli.registry import Bound
from advcli.rng import SampleRNG
from advcli.stack import frozen
from advcli.talk import Talk
from advcli.verdicts import Figure, Verdicts, rate

KNOWLEDGE = ("none", "transfer", "static", "adaptive", "white-box")  # from the weakest claim to the strongest


class Judge:
    """One model, ready to decide."""

    def __init__(self, model: ModelFile, given: dict[str, Any]) -> None:
        self.file, self.seed = model, given["seed"]
        self.device = inputs.find_device(given["device"])
        self.batch = given["batch_size"] or 512
        self.module: nn.Module = model.module().to(self.device)
        self.rounds = given["draws"] if model.is_random() else 1

    def decide(
        self, count: int, pictures: Callable[[int, int], Tensor], ids: Array, turn: int, labels: Array
    ) -> tuple[Array, Array, Array]:
        """(decisions, ranks of the label, confidence) of a set's images."""
        decisions, ranks, sure = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0, np.float32)]
        with inputs.threads(self.file.shape), frozen(self.module), torch.no_grad():
            for start in range(0, count, self.batch):
                stop = min(start + self.batch, count)
                draws = SampleRNG(self.seed, torch.from_numpy(ids[start:stop]).to(self.device), ("evaluate", str(turn)))
                logits = self.module(pictures(start, stop).to(self.device), draws).float().cpu()
                if not bool(torch.isfinite(logits).all()):
                    raise AdvcliError(f"{self.file.path}: answers with numbers that are not finite; nothing can be said about it")
                label = torch.from_numpy(labels[start:stop]).clamp_min(0)[:, None]
                own = logits.gather(1, label)
                ties = (logits == own) & (torch.arange(logits.shape[1]) < label)  # a tie goes to the lower class
                ranks.append(((logits > own) | ties).sum(1).numpy())
                decisions.append(logits.argmax(1).numpy())
                sure.append(logits.softmax(1).amax(1).numpy())
        return np.concatenate(decisions), np.concatenate(ranks), np.concatenate(sure)

    def rows(self, subject: Subject, metrics: list[Bound], worst: "Worst", talk: Talk) -> list[dict[str, Any]]:
        """All figures of the model on one set."""
        noise.check(metrics, self.file, self.module)
        with talk.progress(f"{self.file.path} on {subject.name}", self.rounds, "draws" if self.rounds > 1 else "pass") as tick:
            rounds = []
            for turn in range(self.rounds):
                rounds.append(self._verdicts(subject, turn))
                tick(1, "")
        found = []
        for text, mask in budgets_of(subject):
            line = threat(subject.header, self.file, text, subject.eight_bit)
            for bound in metrics:
                traits = bound.spec.traits
                if (traits.of == "adversarial" and rounds[0].clean is None) or (traits.of == "clean" and line["attack"]):
                    continue
                again = rounds
                if traits.needs == "noise":
                    again = [replace(rounds[0], noise=noise.noise(self.file, self.module, subject, self.seed, self.device, talk))]
                each = [list(bound(verdicts[mask])) for verdicts in again]
                found += [self._row(subject, text, line, [one[k] for one in each]) for k in range(len(each[0]))]
            if subject.header["kind"] == "adversarial" and text is not None:
                worst.add(self.file, subject, text, mask, rounds[0], line)
        return found

    def _verdicts(self, subject: Subject, turn: int) -> Verdicts:
        table = np.array([*(self.file.classes.index(name) for name in subject.header["classes"]), -1], np.int64)
        labels = table[subject.labels]
        decided, rank, sure = self.decide(subject.count, subject.pictures, subject.ids, turn, labels)
        opened = subject.file
        if opened is None or "original" not in opened:
            return Verdicts(self.file.classes, labels, decided, rank, sure)
        origin, first = np.unique(opened.column("original"), return_index=True)
        clean = np.full(int(origin.max(initial=-1)) + 1, -1, np.int64)
        clean[origin], _, _ = self.decide(
            len(origin), lambda a, b: opened.pick("originals", origin[a:b]), subject.ids[first], turn, labels[first]
        )
        targets = table[opened.column("target")]
        return Verdicts(self.file.classes, labels, decided, rank, sure, targets, clean[opened.column("original")])

    def _row(self, subject: Subject, text: str | None, line: dict[str, Any], each: list[Figure]) -> dict[str, Any]:
        figure = each[0]
        row = {
            "model": str(self.file.path),
            "set": subject.name,
            "kind": subject.header["kind"],
            "epsilon": None if text is None else float(fraction(text)),
            "metric": figure.metric,
            "value": figure.value,
            "n": figure.n,
            "k": figure.k,
            "low": figure.low,
            "high": figure.high,
            "threat": {**line, **figure.certificate, "certified": True} if figure.certificate else line,
            **figure.about,
        }
        if len(each) > 1:
            values = [one.value for one in each]
            row["spread"] = {"draws": len(each), "min": min(values), "max": max(values)}
        return row


class Worst:
    """Per image, the worst case over all adversarial sets of one norm and budget."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str, bytes], dict[int, bool]] = {}
        self._lines: dict[tuple[str, str, bytes], list[dict[str, Any]]] = {}
        self._names: dict[tuple[str, str, bytes], list[str]] = {}
        self._sources: dict[str, str] = {}

    def add(self, model: ModelFile, subject: Subject, text: str, mask: Array, verdicts: Verdicts, line: dict[str, Any]) -> None:
        """One set's decisions; images are matched by their place in one and the same source."""
        assert subject.file is not None  # only files have budgets
        source = {k: v for k, v in subject.header["made"]["data"].items() if k in ("name", "split", "digest")}
        self._sources[subject.name] = str(source)
        key = (str(model.path), str(line["norm"]), as_float32(fraction(text)))
        held, right = self._held.setdefault(key, {}), verdicts.predictions == verdicts.labels
        for index, kept in zip(subject.file.column("index")[mask], right[mask], strict=True):
            held[int(index)] = held.get(int(index), True) and bool(kept)
        self._lines.setdefault(key, []).append(line)
        self._names.setdefault(key, []).append(subject.name)

    def rows(self, *, asked: bool) -> list[dict[str, Any]]:
        """Robust accuracy per model and budget, where there is more than one set, or where it is asked for."""
        if len(set(self._sources.values())) > 1:
            if asked:
                raise CommandError("--fail-under robust_accuracy: the sets attack different images; evaluate them apart")
            return []
        return [self._row(key) for key, names in self._names.items() if asked or len(names) > 1]

    def _row(self, key: tuple[str, str, bytes]) -> dict[str, Any]:
        held, lines = self._held[key], self._lines[key]
        one, text = rate("robust_accuracy", sum(held.values()), len(held)), lines[0]["epsilon"]
        weakest = [word for word in KNOWLEDGE if any(line["knowledge"] == word for line in lines)]
        best = weakest[-1]  # one set made with the model in view is enough for the claim
        notes = [] if best in ("adaptive", "white-box") else [f"{best}: no set was made against this very model"]
        return {
            "model": key[0],
            "set": " + ".join(self._names[key]),
            "kind": "worst case",
            "epsilon": float(fraction(text)),
            "metric": one.metric,
            "value": one.value,
            "n": one.n,
            "k": one.k,
            "low": one.low,
            "high": one.high,
            "threat": {"attack": "worst of the sets", "norm": key[1], "epsilon": text, "knowledge": best, "notes": notes},
        }

"""One model evaluated on one set: its decisions, and everything else that metrics need."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from advcli.bounds.graph import Graph
from advcli.catalog.requests import EvaluateRequest
from advcli.errors import AdvcliError, InputError
from advcli.evaluation import filter_effect, noise_votes, proofs
from advcli.evaluation.clean_accuracy import CleanAccuracy
from advcli.evaluation.decisions import AttackedVerdicts, Decisions, Distances, FilterEffect, Verdicts
from advcli.evaluation.rows import JudgedSet
from advcli.evaluation.sets import Subject, budgets_of, from_file
from advcli.evaluation.threat_model import threat_model
from advcli.files.header import from_nothing, short
from advcli.files.imageset_reader import ImageSet
from advcli.images.passes import passes
from advcli.networks.classifier import frozen
from advcli.networks.logits import gradient_of
from advcli.networks.memory_format import optimize_for
from advcli.networks.model_file import ModelFile
from advcli.networks.rejection import split
from advcli.numerics.arrays import Array
from advcli.numerics.quantize import snap_to_byte
from advcli.numerics.rng import Purpose
from advcli.runtime import devices
from advcli.runtime.reporter import Reporter

SOME = 200  # rows that are rounded to 8 bits
OTHER = 0.01  # share of predictions that another batch size or machine may change


class Judge:
    """One model, ready to be evaluated; without its defenses for the victim of a static attack."""

    def __init__(self, model: ModelFile, asked: EvaluateRequest, *, static: bool = False) -> None:
        self.file, self.seed, self.eps = model, asked.seed, asked.eps
        self.device = devices.find_device(asked.device)
        self.batch = devices.default_batch(asked.batch_size, self.device)
        self.module: nn.Module = optimize_for(model.module(static=static), self.device)
        self.rounds = asked.draws if model.is_random(static=static) else 1

    @cached_property
    def graph(self) -> Graph:
        """The model as bounds read it."""
        return proofs.graph_of(self.file, self.module)

    def decide(self, pictures: Callable[[int, int], Tensor], ids: Array, labels: Array, turn: int = 0) -> Decisions:
        """The model's decisions on some images."""
        classes = len(self.file.classes)
        return joined(
            [said(logits, torch.from_numpy(labels[places]), classes) for places, logits in self._logits(pictures, ids, turn)]
        )

    def logits(self, x: Tensor, ids: Array, turn: int = 0) -> Tensor:
        """The model's logits for some images in memory; of a random model in this draw."""
        found = [logits for _, logits in self._logits(lambda start, stop: x[start:stop], ids, turn)]
        return torch.cat(found) if found else torch.zeros(0, len(self.file.classes))

    def gradient(self, x: Tensor, ids: Array, loss: Callable[[Tensor], Tensor]) -> Tensor:
        """The gradient, for each image in memory, of `loss` of its logits: (images, classes) -> (images,), or zero."""
        found = []
        with devices.threads(self.file.shape), frozen(self.module):
            for part in passes(
                lambda start, stop: x[start:stop], ids, self.batch, self.device, self.seed, (Purpose.EVALUATE, "0")
            ):
                seen = part.x.detach().requires_grad_()
                found.append(gradient_of(loss(self.module(seen, part.draws).float()).sum(), seen).cpu())
        return torch.cat(found) if found else torch.zeros_like(x)

    def numbers(self, classes: Sequence[str]) -> Array:
        """The number in this model of every class of a set, and -1 at the end for no class."""
        return np.array([*(self.file.classes.index(name) for name in classes), -1], np.int64)

    def _logits(self, pictures: Callable[[int, int], Tensor], ids: Array, turn: int) -> Iterator[tuple[slice, Tensor]]:
        """(places, logits) of the images, batch by batch."""
        with devices.threads(self.file.shape), frozen(self.module), torch.no_grad():
            for part in passes(pictures, ids, self.batch, self.device, self.seed, (Purpose.EVALUATE, str(turn))):
                logits = self.module(part.x, part.draws).float().cpu()
                if not bool(torch.isfinite(logits).all()):
                    raise AdvcliError(f"{self.file.path}: its logits are not finite; it cannot be evaluated")
                yield part.places, logits

    def see(self, subject: Subject, needs: set[str], facts: "Facts", reporter: Reporter) -> Iterator[JudgedSet]:
        """The verdicts on a set, budget by budget."""
        rounds, turns = [], self.rounds
        with reporter.progress(f"{self.file.path} on {subject.name}", turns, "draws" if turns > 1 else "pass") as tick:
            for turn in range(turns):
                rounds.append(self._verdicts(subject, turn, needs, facts))
                tick(1, "")
        if "noise" in needs:
            found = noise_votes.noise(self.file, self.module, subject, self.seed, self.device, reporter)
            rounds[0] = replace(rounds[0], asked_noise=found)
        if about_clean := self._clean_doubt(subject, rounds[0]):
            reporter.warn(f"{self.file.path}: {about_clean}")
        doubts = tuple(filter(None, (self._doubt(subject, rounds[0]), about_clean)))
        for budget, mask in budgets_of(subject):
            line = threat_model(subject.header, self.file, budget, subject.pixels)
            line = replace(line, notes=(*line.notes, *doubts))
            undone = self._undone(subject, rounds[0], mask)
            seen = [one[mask] for one in rounds]
            if "bounds" in needs:
                place = proofs.Place(subject, mask, rounds[0].labels, budget, self.eps)
                own = proofs.bounds(self.file, self.module, self.graph, place, reporter)
                seen[0] = replace(seen[0], asked_bounds=own)
            yield JudgedSet(self.file, subject, budget, subject.ids[mask], seen, line, undone)

    def _undone(self, subject: Subject, seen: Verdicts, mask: Array) -> tuple[int, int] | None:
        """Of some of the broken rows, how many are correct again with the nearest 8-bit pixels."""
        opened = subject.file
        if opened is None or not isinstance(seen, AttackedVerdicts) or subject.pixels != "float" or self.file.is_random():
            return None
        rows = np.flatnonzero(mask & (seen.labels >= 0) & (seen.clean == seen.labels) & (seen.predictions != seen.labels))
        rows = rows[np.linspace(0, len(rows) - 1, min(SOME, len(rows))).astype(np.int64)]
        rounded = self.decide(lambda a, b: snap_to_byte(opened.pick("images", rows[a:b])), subject.ids[rows], seen.labels[rows])
        return int((rounded.predictions == seen.labels[rows]).sum()), len(rows)

    def _doubt(self, subject: Subject, seen: Verdicts) -> str | None:
        """A note for a set that says it was made against this very model but stores other predictions."""
        header, opened = subject.header, subject.file
        if opened is None or header["kind"] != "adversarial" or subject.rounded or self.file.is_random():
            return None
        victim = header["victim"]
        if victim["digest"] != self.file.digest or (victim["static"] and self.file.defenses):
            return None
        table = self.numbers(header["classes"])
        other = int((table[opened.column("prediction")] != seen.predictions).sum())
        if other <= max(1, OTHER * len(seen.labels)):
            return None
        return f"{other} of {len(seen.labels)} predictions in the file are not this model's; advcli verify shows them"

    def _clean_doubt(self, subject: Subject, seen: Verdicts) -> str | None:
        """A note for a model whose clean accuracy on the images of the set is chance, or looks like permuted classes."""
        if isinstance(seen, AttackedVerdicts):
            answers = seen.before.answers
        elif subject.header["kind"] == "clean":
            answers = seen.said.answers
        else:
            return None  # nobody knows whether such images are clean
        _, once = np.unique(subject.ids, return_index=True)
        return CleanAccuracy.of(seen.labels[once], answers[once], self.file.classes).doubt()

    def _verdicts(self, subject: Subject, turn: int, needs: set[str], facts: "Facts") -> Verdicts:
        table = self.numbers(subject.header["classes"])
        labels = table[subject.labels]
        found = self.decide(subject.pictures, subject.ids, labels, turn)
        opened = subject.file
        if opened is None or "original" not in opened:
            return Verdicts(classes=self.file.classes, labels=labels, said=found, image=subject.ids)
        number, first, place = np.unique(opened.column("original"), return_index=True, return_inverse=True)
        before = self.decide(lambda a, b: subject.originals(number[a:b]), subject.ids[first], labels[first], turn)
        stages = tuple((subject.header["of"] if opened.kind == "filtered" else subject.header).get("stages", ()))
        victim, recomputed = facts.victim(subject) if "victim" in needs else (None, False)
        again = lambda a, b: subject.originals(opened.column("original")[a:b])  # noqa: E731  # row by row
        return AttackedVerdicts(
            classes=self.file.classes,
            labels=labels,
            said=found,
            image=subject.ids,
            generated=from_nothing(subject.header),
            before=before[place],
            original=opened.column("original"),
            targets=table[opened.column("target")],
            attacked=opened.column("clean_prediction") == subject.labels,
            asked_victim=None if victim is None else table[victim],
            recomputed=recomputed,
            stages=stages,
            asked_stage=opened.column("stage") if "stages" in needs and stages else None,
            asked_distance=facts.distances(subject) if "distance" in needs else None,
            asked_filter=self._filter_effect(subject, labels, turn, facts) if "filter" in needs else None,
            asked_rank=self.decide(again, subject.ids, found.answers, turn).rank if "rank" in needs else None,
        )

    def _filter_effect(self, subject: Subject, labels: Array, turn: int, facts: "Facts") -> FilterEffect | None:
        """The decisions on the other side of a filtered set's filters; None for another set."""
        if subject.header["kind"] != "filtered" or subject.file is None:
            return None
        source, filters = facts.before_filters(subject), filter_effect.recorded(subject.header, subject.name)
        number, first, place = np.unique(subject.file.column("original"), return_index=True, return_inverse=True)
        ids = subject.ids[first]

        def pictures(start: int, stop: int) -> Tensor:
            return filter_effect.through(filters, subject, number[start:stop], ids[start:stop])

        attacked = self.decide(source.pictures, subject.ids, labels, turn)
        return FilterEffect(attacked, self.decide(pictures, ids, labels[first], turn)[place])


class Facts:
    """Facts about a set that do not depend on the judged model; each is computed once."""

    def __init__(self, models: list[ModelFile], asked: EvaluateRequest, unfiltered: Mapping[str, ImageSet] | None = None) -> None:
        self.models, self.asked = {one.digest: one for one in models}, asked
        self.unfiltered = unfiltered or {}  # by their digests
        self._victims: dict[tuple[str, bool], Array] = {}
        self._sizes: dict[tuple[str, bool], Array] = {}
        self._distances: dict[tuple[str, bool], Distances] = {}

    def before_filters(self, subject: Subject) -> Subject:
        """The attacked set that a filtered one was made of, row by row."""
        digest = filter_effect.before_filters(subject.header)
        if (opened := self.unfiltered.get(digest)) is None:
            raise InputError(f"{subject.name}: was filtered; give the set that it was made of too ({short(digest)})")
        if not np.array_equal(opened.column("index"), subject.ids):
            raise InputError(f"{subject.name}: holds other images than {opened.path}, of which its header says it was made")
        found = from_file(opened, str(opened.path))
        return found.in_8_bit() if subject.rounded else found

    def victim(self, subject: Subject) -> tuple[Array, bool]:
        """The victim's decisions in the set's own classes: computed again if it is among the models, else as stored."""
        assert subject.file is not None  # clean data has no victim
        header, key = subject.header, (subject.name, subject.rounded)
        model = self.models.get(header["victim"]["digest"]) if header["kind"] == "adversarial" else None
        if model is None or list(model.classes) != header["classes"]:
            return subject.file.column("prediction"), False
        if key not in self._victims:
            judge = Judge(model, self.asked, static=header["victim"]["static"])
            self._victims[key] = judge.decide(subject.pictures, subject.ids, subject.labels).predictions
        return self._victims[key], True

    def sizes(self, subject: Subject) -> Array:
        """The distance of every row from its original, in the set's own norm."""
        key = (subject.name, subject.rounded)
        if key not in self._sizes:
            (self._sizes[key],) = subject.distances((subject.header["norm"],))
        return self._sizes[key]

    def distances(self, subject: Subject) -> Distances:
        """The distance of every row from its original."""
        key = (subject.name, subject.rounded)
        if key not in self._distances:
            self._distances[key] = Distances(*subject.distances(("linf", "l2")))
        return self._distances[key]


def said(logits: Tensor, labels: Tensor, classes: int) -> Decisions:
    """The decisions in some logits; one column more than there are classes is a rejection."""
    scores, beyond = split(logits, rejects=logits.shape[1] > classes)
    label = labels.clamp_min(0)[:, None]
    own = scores.gather(1, label)
    ties = (scores == own) & (torch.arange(classes) < label)  # a tie goes to the lower class
    rank = ((scores > own) | ties).sum(1)
    sure, score = scores.softmax(1).amax(1).numpy(), None if beyond is None else beyond.numpy()
    return Decisions(scores.argmax(1).numpy(), rank.numpy(), sure, score, scores.amax(1).numpy())


def joined(pieces: list[Decisions]) -> Decisions:
    """Batches of decisions as one."""
    if not pieces:
        return Decisions(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32), logit=np.zeros(0, np.float32))
    score = None if pieces[0].score is None else np.concatenate([one.score for one in pieces if one.score is not None])
    answers, rank, sure = (np.concatenate([getattr(one, name) for one in pieces]) for name in ("answers", "rank", "confidence"))
    logit = np.concatenate([one.logit for one in pieces if one.logit is not None])
    return Decisions(answers, rank, sure, score, logit)

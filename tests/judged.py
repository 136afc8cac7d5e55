"""Decisions written by hand, and the figures that a metric makes of them."""

import numpy as np

from advcli.catalog import discovery
from advcli.evaluation.decisions import AttackedVerdicts, Decisions, Verdicts


def said(predictions, confidence=None, score=None, rank=None, logit=None):
    """Decisions; -1 is a rejection of class 0."""
    predictions, zeros = np.asarray(predictions), np.zeros(len(predictions))
    score = np.where(predictions < 0, 1.0, -1.0) if score is None and (predictions < 0).any() else score
    rank = zeros.astype(np.int64) if rank is None else rank
    sure = zeros + 0.5 if confidence is None else confidence
    return Decisions(np.maximum(predictions, 0), rank, sure, score, zeros if logit is None else logit)


def verdicts(labels, predictions, classes=3, clean=None, rank=None, confidence=None, score=None, **more):
    """Decisions on clean images, or on attacked ones where the decisions on their originals are given."""
    own = {"classes": tuple(map(str, range(classes))), "labels": labels, "said": said(predictions, confidence, score, rank)}
    if clean is None:
        return Verdicts(**own)
    rows = np.arange(len(labels))
    more = {"original": rows, "targets": np.full(len(rows), -1), "attacked": rows >= 0, **more}
    return AttackedVerdicts(**own, before=said(clean), **more)


def from_table(probabilities, labels):
    """Decisions by a table of probabilities, and the rank of each row's label in it, by sorting."""
    table = np.asarray(probabilities, float)
    order = (-table).argsort(1, kind="stable")
    rank = (order == np.asarray(labels)[:, None]).argmax(1)
    return Decisions(order[:, 0], rank, table.max(1).astype(np.float32), None, table.max(1))


def figures(name, given, **options):
    return list(discovery.spec("metric", name).bind(options)(given))

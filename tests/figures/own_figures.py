"""Figures of one's own, one of each kind: of decisions, of a set and a model, of a model alone, of several sets."""

import torch
from matplotlib.figure import Figure

from advcli.extend import Drawing, Judge, JudgedSet, SelectedRows, figure


@figure(model="verdicts", needs=("distance",))
def right(verdicts: list[JudgedSet]) -> Drawing:
    return Drawing(
        Figure(),
        [
            {
                "model": one.model.path.name,
                "set": one.subject.name,
                "epsilon": one.budget,
                "right": int((each.predictions == each.labels).sum()),
                "farthest": float(each.distance.linf.max()),  # type: ignore[attr-defined]  # verdicts on an attacked set
            }
            for one in verdicts
            for each in one.rounds
        ],
    )


@figure(model="one")
def answers(rows: SelectedRows, model: Judge) -> Drawing:
    found, slopes = [], []
    for part, pictures in rows.batches("images"):
        x, ids = torch.from_numpy(pictures["images"]), rows.column("index")[part]
        found += model.logits(x, ids).argmax(1).tolist()
        slopes += model.gradient(x, ids, lambda logits: logits.amax(1)).flatten(1).norm(dim=1).tolist()
    return Drawing(Figure(), [{"answer": one, "slope": slope} for one, slope in zip(found, slopes, strict=True)])


@figure(sets="none", model="one")
def layers(model: Judge) -> Drawing:
    return Drawing(Figure(), [{"layer": name or "whole"} for name, _ in model.module.named_modules()])


@figure(sets="all")
def sizes(sets: list[SelectedRows]) -> Drawing:
    return Drawing(Figure(), [{"set": one.title, "rows": len(one)} for one in sets])

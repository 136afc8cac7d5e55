"""Precision, recall and F1 of every class and their unweighted means; 0/0 counts as 0 and is marked.

precision = TP / (TP + FP), recall = TP / (TP + FN), F1 = 2 TP / (2 TP + FP + FN).
"""

from typing import Annotated

from advcli.catalog.params import Param
from advcli.catalog.registry import metric
from advcli.errors import CommandError
from advcli.evaluation.decisions import Figure, Figures, Verdicts


@metric(of="any")
def per_class(
    verdicts: Verdicts,
    *,
    positive: Annotated[str | None, Param("Report only this class.", form="CLASS")] = None,
) -> Figures:
    if positive is not None and positive not in verdicts.classes:
        raise CommandError(f"--positive {positive}: not a class; available: {', '.join(verdicts.classes[:12])}")
    known, found = verdicts.known(), []
    for number, name in enumerate(verdicts.classes):
        if positive in (None, name):
            said, true = known.predictions == number, known.labels == number
            hits = int((said & true).sum())
            found += [
                known.share("precision", true, said, **{"class": name}),
                known.share("recall", said, true, **{"class": name}),
                _f1(hits, int(said.sum()), known[true], name),
            ]
    yield from found
    if positive is None:
        for metric_ in ("precision", "recall", "f1"):
            values = [one.value for one in found if one.metric == metric_]
            yield Figure(metric_, sum(values) / len(values), known.images, about={"class": "mean"})


def _f1(hits: int, said: int, true: Verdicts, name: str) -> Figure:
    both = said + len(true.labels)
    about = {"class": name} if both else {"class": name, "undefined": True}
    return Figure("f1", 2 * hits / both if both else 0.0, true.images, about=about)

"""Minimal-norm sets at a budget: an image is broken at eps if the distance found is at most eps.

Otherwise the row counts as its original. So the share of correct images is an upper bound on robust accuracy: the attack
looked for the closest point, and if it found none within eps, one may still exist.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from advcli.errors import CommandError
from advcli.evaluation.decisions import AttackedVerdicts, Decisions
from advcli.evaluation.rows import JudgedSet
from advcli.evaluation.sets import Subject
from advcli.numerics.arrays import Array
from advcli.numerics.balls import FREE, tolerance
from advcli.numerics.quantities import BUDGETS, Budget, as_float32, budgets, fraction, refuse_beyond

NOTE = "by the distances of a minimal-norm attack: an upper bound on robust accuracy at this budget"


def is_minimal(subject: Subject) -> bool:
    """True if a set of images was made without a budget, as close to its originals as the attack could."""
    header = subject.header
    bounded = header["kind"] == "adversarial" and header["norm"] not in FREE
    return bounded and not header["epsilon"] and not subject.unclipped


def budgets_at(subject: Subject, others: Iterable[Subject], eps: str | None) -> tuple[Budget, ...]:
    """The budgets at which a set is evaluated: --eps; else its norm's default and the budgets of the other sets of its norm."""
    norm = subject.header["norm"]
    if eps is not None:
        refuse_beyond(norm, budgets(eps), subject.pictures(0, 1)[0].numel())
        return budgets(eps)
    texts = [BUDGETS[norm][subject.pictures(0, 1).shape[1] == 3]] if norm in BUDGETS else []
    texts += [text for one in others if one.header.get("norm") == norm for text in one.header.get("epsilon") or []]
    found = {as_float32(fraction(text)): text for text in texts}
    return budgets(",".join(sorted(found.values(), key=fraction))) if found else ()


def check(eps: str | None, subjects: Iterable[Subject]) -> None:
    """Refuse --eps if no set has distances, or if the sets have several norms."""
    norms = {one.header["norm"] for one in subjects if is_minimal(one)}
    if eps is not None and not norms:
        raise CommandError("--eps: is for sets of minimal-norm attacks, and none was given; other sets hold their own budgets")
    if eps is not None and len(norms) > 1:
        raise CommandError(f"--eps: the sets have several norms ({', '.join(sorted(norms))}); evaluate them separately")


def within(seen: JudgedSet, wanted: Iterable[Budget], size: Array) -> Iterator[JudgedSet]:
    """The evaluated minimal-norm set at every budget; `size` holds the distances of its rows."""
    for budget in wanted:
        inside = size <= budget.value + tolerance(budget.value)
        rounds = [_clipped(one, inside) for one in seen.rounds if isinstance(one, AttackedVerdicts)]
        line = replace(seen.threat, epsilon=budget.text, notes=(*seen.threat.notes, NOTE))
        yield replace(seen, budget=budget.text, rounds=rounds, threat=line, rounded=None)


def _clipped(verdicts: AttackedVerdicts, inside: Array) -> AttackedVerdicts:
    """The decisions on the rows within the budget, and on the originals of the others."""
    said, before = verdicts.said, verdicts.before

    def chosen(one: Array | None, other: Array | None) -> Array | None:
        return None if one is None or other is None else np.where(inside, one, other)

    mixed = Decisions(
        np.where(inside, said.answers, before.answers),
        np.where(inside, said.rank, before.rank),
        np.where(inside, said.confidence, before.confidence),
        chosen(said.score, before.score),
        chosen(said.logit, before.logit),
    )
    return replace(verdicts, said=mixed)

"""Minimal-norm sets at a budget: an image is broken at eps where the distance that was found is no more than eps.

Beyond it stands the original. So the share that is right is an upper bound on robust accuracy: the attack looked for the
closest point, and where it found none within eps there may be one.
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
    """True if a set was made without a budget, as close to its originals as the attack could."""
    header = subject.header
    return header["kind"] == "adversarial" and not header["epsilon"] and header["norm"] not in FREE


def budgets_at(subject: Subject, others: Iterable[Subject], eps: str | None) -> tuple[Budget, ...]:
    """The budgets at which a set is judged: --eps; else its norm's default and those of the other sets of its norm."""
    norm = subject.header["norm"]
    if eps is not None:
        refuse_beyond(norm, budgets(eps), subject.pictures(0, 1)[0].numel())
        return budgets(eps)
    texts = [BUDGETS[norm][subject.pictures(0, 1).shape[1] == 3]] if norm in BUDGETS else []
    texts += [text for one in others if one.header.get("norm") == norm for text in one.header.get("epsilon") or []]
    found = {as_float32(fraction(text)): text for text in texts}
    return budgets(",".join(sorted(found.values(), key=fraction))) if found else ()


def check(eps: str | None, subjects: Iterable[Subject]) -> None:
    """Refuse --eps where there is nothing that it could mean, or where it would mean several norms."""
    norms = {one.header["norm"] for one in subjects if is_minimal(one)}
    if eps is not None and not norms:
        raise CommandError("--eps: is for sets of minimal-norm attacks, and there is none here; others hold their budgets")
    if eps is not None and len(norms) > 1:
        raise CommandError(f"--eps: the sets have several norms ({', '.join(sorted(norms))}); evaluate them apart")


def within(seen: JudgedSet, wanted: Iterable[Budget], size: Array) -> Iterator[JudgedSet]:
    """The judged minimal-norm set at every budget; `size` holds the distances of its rows."""
    for budget in wanted:
        inside = size <= budget.value + tolerance(budget.value)
        rounds = [_clipped(one, inside) for one in seen.rounds if isinstance(one, AttackedVerdicts)]
        line = replace(seen.threat, epsilon=budget.text, notes=(*seen.threat.notes, NOTE))
        yield replace(seen, budget=budget.text, rounds=rounds, threat=line, rounded=None)


def _clipped(verdicts: AttackedVerdicts, inside: Array) -> AttackedVerdicts:
    """The decisions on the rows that are inside, and on the originals of the others."""
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

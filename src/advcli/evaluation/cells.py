"""The cells of the tables of `evaluate`: figure, count, interval, budget and threat model as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the help must not wait for torch
    from advcli.evaluation.rows import Row
    from advcli.evaluation.threat_model import ThreatModel

ABOUT = ("class", "label", "prediction", "positives", "stage", "category")  # what makes several figures of one metric
SEEN = {"scores": "scores only", "labels": "decisions only"}
LONGEST = 60  # characters of a word of a threat model
UNEQUAL = "unequal attacks"  # the finding of a pair of models that shows nothing
FEW = 3  # sets that a worst case names


def metric(row: Row) -> str:
    return " ".join([row.metric, *(str(row.about[key]) for key in ABOUT if row.about.get(key))])


def budget(row: Row) -> str:
    return str(row.threat.epsilon or "")


def set_name(row: Row) -> str:
    """The set; for a worst case the sets, or their number."""
    count = row.set.count(" + ") + 1
    return f"{count} sets" if row.kind == "worst case" and count > FEW else row.set


def value(row: Row) -> str:
    """The figure; 0 of 0 is shown as no figure."""
    if row.undefined:
        return "n=0"
    return f"{row.value:.1%}" if row.low is not None else f"{row.value:.4g}"


def interval(row: Row) -> str:
    return "" if row.low is None or row.high is None or row.undefined else f"{row.low:.1%} to {row.high:.1%}"


def short_interval(row: Row) -> str:
    return "" if row.low is None or row.high is None or row.undefined else f"{100 * row.low:.1f}-{100 * row.high:.1f}"


def beside(row: Row, images: int) -> tuple[str, ...]:
    """A cell of the wide table: the figure, its interval, the spread of its draws, and its n if it differs from the line's."""
    other = f"n={row.n}" if row.n != images and not row.undefined else ""
    return value(row), short_interval(row), short_draws(row), other


def draws(row: Row) -> str:
    spread = row.spread
    return f"{spread.draws}: {spread.min:.1%} to {spread.max:.1%}" if spread else ""


def short_draws(row: Row) -> str:
    spread = row.spread
    return f"[{100 * spread.min:.1f}-{100 * spread.max:.1f}]" if spread and row.low is not None else ""


def count(row: Row) -> str:
    """k/n, or n alone if it is not a rate; rows and their images if an image has several rows."""
    if "rows" in row.about:
        return f"{row.about['hits']}/{row.about['rows']} ({row.n} images)"
    return f"{row.k}/{row.n}" if row.k is not None else str(row.n)


def rounded(row: Row) -> str:
    return " (8-bit)" if "rounded" in (row.threat.pixels or "") else ""


def threat(line: ThreatModel) -> str:
    """The threat model as text."""
    if (proof := line.certificate) is not None:
        return proof.words()
    behind = f"behind {' + '.join(line.defenses)}" if line.defenses else None
    filtered = f"filtered by {line.filter or line.filtered}" if line.filtered else None
    if not line.attack:
        kind = "unknown origin" if line.knowledge == "unknown" else "clean"
        pixels = line.pixels if line.pixels != "float" else None
        return ", ".join(word for word in (kind, pixels, filtered, behind) if word)
    seen = SEEN.get(line.access)
    known = {"none": "no knowledge", "white-box": None if seen else "white-box"}.get(line.knowledge, line.knowledge)
    words = [line.attack, line.norm, known, seen, line.strength]
    steps = f"{line.steps} steps" if line.steps else None
    words += [f"at most {line.queries} queries" if line.queries else steps]  # few queries end a search before its steps do
    words += [f"{line.restarts} restarts" if (line.restarts or 1) > 1 else None]
    words += [f"EOT {line.eot}" if line.eot else None, f"target {line.target}" if line.target else None]
    words += ["labels: predicted" if line.labels == "pred" else None, line.pixels]
    words += [filtered, behind, *line.checks]
    return ", ".join(middle_cut(word, LONGEST) for word in words if word)


def middle_cut(text: str, most: int) -> str:
    """The beginning and the end of a text that is too long."""
    if len(text) <= most:
        return text
    head = (most - 2) // 2
    return f"{text[:head]}...{text[head + 3 - most :]}"

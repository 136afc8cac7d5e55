"""The tables of `evaluate`: every figure with its interval and its threat model, in the width that there is."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advcli.cli.text_tables import Line, fitted, table, widest

if TYPE_CHECKING:  # the help must not wait for torch
    from advcli.evaluation.rows import Row
    from advcli.evaluation.threat_model import ThreatModel

ABOUT = ("class", "label", "prediction", "positives")  # what makes several figures of one metric
WINNERS = ("won", "won-alone", "wrong-from-start")
CELL = ("model", "set", "epsilon")
OWN = ("transfer", "difference", "confusion", *WINNERS)  # metrics with tables of their own


def report(rows: Sequence[Row], *, wide: bool = False, width: int | None = None) -> str:
    """All tables of one evaluation, the notes last."""
    plain = [row for row in rows if row.metric not in OWN]
    beside = [row for row in plain if wide and row.kind != "worst case"]
    below = [_line(row) for row in plain if row not in beside]
    parts = [_wide(beside, width) if beside else "", fitted(below, width) if below else ""]
    parts += [_winners([row for row in rows if row.metric in WINNERS], width)]
    parts += [_confusion(group) for group in _grouped([row for row in rows if row.metric == "confusion"], CELL)]
    parts += [_transfer([row for row in rows if row.metric == "transfer"], width)]
    parts += [_compared([row for row in rows if row.metric == "difference"], width)]
    return "\n".join(["\n\n".join(part for part in parts if part) or "(no rows)", *_notes(rows, width)])


def _grouped(rows: Iterable[Row], keys: Sequence[str]) -> Iterator[list[Row]]:
    """Rows that agree in some keys, in the order of their first."""
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        found.setdefault((*(getattr(row, key) for key in keys), row.threat.pixels), []).append(row)
    yield from found.values()


def _eps(row: Row) -> str:
    return str(row.threat.epsilon or "")


def _metric(row: Row) -> str:
    return " ".join([row.metric, *(str(row.about[key]) for key in ABOUT if row.about.get(key))])


def _value(row: Row) -> str:
    """The figure; 0 of 0 is no figure."""
    if row.undefined:
        return "n=0"
    return f"{row.value:.1%}" if row.low is not None else f"{row.value:.4g}"


def _interval(row: Row) -> str:
    return "" if row.low is None or row.high is None or row.undefined else f"{row.low:.1%} to {row.high:.1%}"


def _draws(row: Row) -> str:
    spread = row.spread
    return f"{spread.draws}: {spread.min:.1%} to {spread.max:.1%}" if spread else ""


def _count(row: Row) -> str:
    """k/n; n alone of what is no rate; rows and their images where an image has several rows."""
    if "rows" in row.about:
        return f"{row.about['hits']}/{row.about['rows']} ({row.n} images)"
    return f"{row.k}/{row.n}" if row.k is not None else str(row.n)


def _line(row: Row) -> Line:
    return {
        "model": row.model,
        "set": row.set,
        "eps": _eps(row),
        "metric": _metric(row),
        "value": _value(row),
        "k/n": _count(row),
        "95 % interval": _interval(row),
        "draws": _draws(row),
        "threat model": threat(row.threat),
    }


def _short_interval(row: Row) -> str:
    return "" if row.low is None or row.high is None or row.undefined else f"{100 * row.low:.1f}-{100 * row.high:.1f}"


def _wide(rows: Sequence[Row], width: int | None) -> str:
    """One line for each model, set and budget; the metrics side by side, their intervals below them where it is narrow."""

    def lines(between: str) -> list[Line]:
        found, titles = [], {_metric(row): "" for row in rows}
        for group in _grouped(rows, CELL):
            one, count = group[0], next((row.n for row in group if row.metric == "accuracy"), group[0].n)
            cells = {_metric(row): between.join(text for text in (_value(row), _short_interval(row)) if text) for row in group}
            ends = {"model": one.model, "set": one.set, "eps": _eps(one), "n": str(count)}
            found.append({**ends, **titles, **cells, "threat model": threat(one.threat)})
        return found

    side = table(lines(" "))
    return side if width is None or widest(side) <= width else fitted(lines("\n"), width)


def _winners(rows: Sequence[Row], width: int | None) -> str:
    """Which set won how many images of the worst case."""
    lines = []
    for group in _grouped(rows, CELL):
        one, count = group[0], {row.metric: f"{row.k} ({row.value:.1%})" for row in group}
        lost = count.get("wrong-from-start")
        who = {"model": one.model, "set": ("wrong from the start" if lost else one.set) + _rounded(one), "eps": _eps(one)}
        lines.append({**who, "won": lost or count["won"], "won alone": count.get("won-alone", "")})
    told = "worst case per image: won is what a set broke before any other did, in the order given; won alone what no other broke"
    return _titled(told, fitted(lines, width), width) if lines else ""


def _confusion(rows: Sequence[Row]) -> str:
    """Counts of one model on one set."""
    lines: dict[str, Line] = {}
    for row in rows:
        label, prediction = row.about["label"], row.about["prediction"]
        lines.setdefault(label, {"label": label})[prediction] = str(row.about.get("hits", row.k))
    one, eps = rows[0], f", eps {_eps(rows[0])}" if _eps(rows[0]) else ""
    return f"{one.model} on {one.set}{eps}: labels down, predictions across\n{table(list(lines.values()))}"


def _transfer(rows: Sequence[Row], width: int | None) -> str:
    """The matrix of sources (sets) and targets (models)."""
    if not rows:
        return ""
    sources = _sources(rows)
    targets = list(dict.fromkeys(row.model for row in rows))
    short = _shortened(targets)
    room = width or 10**6
    flat = _matrix(sources, targets, short, "{value} {count} ({interval})".format, "  ")
    if widest(table(flat)) <= room:
        bodies = [table(flat)]
    else:
        bodies, left = [], targets
        while left:
            take = len(left)
            while take > 1 and widest(_tall(sources, left[:take], short)) > room:
                take -= 1
            bodies.append(_tall(sources, left[:take], short))
            left = left[take:]
    told = "transfer: of the images that a model (across) has right, the share that the set (down) has it get wrong; "
    told += "linf and l2: mean distance to the original; *: the set was made against this model"
    return _titled(told, "\n\n".join(bodies), width)


def _tall(sources: Sequence[list[list[Row]]], targets: Sequence[str], short: dict[str, str]) -> str:
    return table(_matrix(sources, targets, short, "{value}\n{count}\n{interval}".format, "\n"))


def _sources(rows: Sequence[Row]) -> list[list[list[Row]]]:
    """The rows of each set and budget; those of one budget together, unless every set has one of its own."""
    sets = list(_grouped(rows, ("set", "epsilon")))
    alone = len({row.set for row in rows}) == len({(row.set, row.epsilon) for row in rows})
    found: dict[tuple[str, str], list[list[Row]]] = {}
    for group in sets:
        found.setdefault((_rounded(group[0]), "" if alone else _eps(group[0])), []).append(group)
    return list(found.values())


def _matrix(
    sources: Sequence[list[list[Row]]], targets: Sequence[str], short: dict[str, str], form: Callable[..., str], gap: str
) -> list[Line]:
    """A line for each source and, below, the mean over the sources that are not the model itself."""
    lines = []
    for together in sources:
        for group in together:
            one = group[0]
            label = [
                f"{one.set} {_eps(one)}".strip() + _rounded(one),
                f"linf {one.about['linf']:.3g}",
                f"l2 {one.about['l2']:.3g}",
            ]
            lines.append({"set": gap.join(label), **{short[r.model]: _cell(r, form) for r in group if r.model in targets}})
        others = [row for group in together for row in group if not _own(row) and not row.undefined]
        values = {name: [row.value for row in others if row.model == name] for name in targets}
        means = {short[name]: f"{sum(each) / len(each):.1%}" for name, each in values.items() if each}
        lines += [{"set": gap.join(["mean of", "the others"]).replace("  ", " "), **means}] if len(together) > 1 else []
    return lines


def _rounded(row: Row) -> str:
    return " (8-bit)" if "rounded" in (row.threat.pixels or "") else ""


def _own(row: Row) -> bool:
    return row.threat.knowledge in ("adaptive", "white-box")


def _cell(row: Row, form: Callable[..., str]) -> str:
    if row.undefined:
        return "n=0"
    return form(value=f"{'*' * _own(row)}{row.value:.1%}", count=_count(row), interval=_short_interval(row))


def _shortened(names: Sequence[str]) -> dict[str, str]:
    """File names without folder and ending, where that leaves them apart."""
    short = {name: Path(name).stem for name in names}
    return short if len(set(short.values())) == len(names) else {name: name for name in names}


def _compared(rows: Sequence[Row], width: int | None) -> str:
    """Pairs of models: the difference, McNemar's p, and whether anything may be said."""
    lines = []
    for row in rows:
        if (pair := row.pair) is None:
            continue
        known = (pair.against_threat.knowledge, row.threat.knowledge) if row.threat.attack else ("clean", "clean")
        lines.append({
            "model": row.model,
            "against": f"against {pair.against}",
            "set": row.set + _rounded(row),
            "eps": _eps(row),
            "n": str(row.n),
            "b": str(pair.b),
            "c": str(pair.c),
            "c - b": f"{row.value:+.1%}",
            "95 % interval": f"{row.low:+.1%} to {row.high:+.1%}",
            "p": f"{pair.p:.1g}",
            f"p of {len(rows)}": f"{pair.p_holm:.1g}" if len(rows) > 1 else "",
            "finding": pair.finding,
            "threat model": known[0] if known[0] == known[1] else " / ".join(known),
        })  # fmt: skip
    told = "accuracy against the first model's, image by image; b: only the first is right, c: only this one; p: McNemar, exact"
    told += f"; p of {len(rows)}: raised for so many tests (Holm)" if len(rows) > 1 else ""
    return _titled(told, fitted(lines, width), width) if lines else ""


def _titled(title: str, text: str, width: int | None) -> str:
    return "\n".join([*textwrap.wrap(title, width or 200), text])


SEEN = {"scores": "scores only", "labels": "decisions only"}


def threat(line: ThreatModel) -> str:
    """The threat model in words."""
    if proof := line.certificate:
        noise = f"noise {proof.sigma:g}, {proof.copies} copies after {proof.first_copies}"
        return f"certified, {proof.norm}, alpha {proof.alpha:g}, {noise}"
    if not line.attack:
        return ("unknown origin" if line.knowledge == "unknown" else "clean") + (
            f", {line.pixels}" if line.pixels not in (None, "float") else ""
        )
    seen = SEEN.get(line.access)
    known = {"none": "no knowledge", "white-box": None if seen else "white-box"}.get(line.knowledge, line.knowledge)
    words = [line.attack, line.norm, known, seen, line.strength]
    steps = f"{line.steps} steps" if line.steps else None
    words += [f"at most {line.queries} queries" if line.queries else steps]  # few queries end a search before its steps do
    words += [f"{line.restarts} restarts" if (line.restarts or 1) > 1 else None]
    words += [f"EOT {line.eot}" if line.eot else None, f"target {line.target}" if line.target else None]
    words += ["labels: predicted" if line.labels == "pred" else None, line.pixels]
    words += [f"filtered by {line.filtered}" if line.filtered else None]
    return ", ".join(word for word in words if word)


def _notes(rows: Sequence[Row], width: int | None) -> list[str]:
    found = {f"{row.set} against {row.model}: {note}": None for row in rows for note in row.threat.notes}
    return [line for note in found for line in (textwrap.wrap(note, width, subsequent_indent="    ") if width else [note])]

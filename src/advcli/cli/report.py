"""The tables of `evaluate`: every figure with its interval and its threat model, in the width that there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from advcli.cli.output import on_one_line
from advcli.cli.rows_together import at_strongest_budget, of_set, of_worst_case, together
from advcli.cli.text_tables import Line, fitted, table, widest, wrapped
from advcli.cli.transfer_table import TITLE, transfer_table
from advcli.evaluation import cells

if TYPE_CHECKING:  # the help must not wait for torch
    from advcli.evaluation.rows import Row
    from advcli.evaluation.trust import Checked

BREAKERS = ("newly-broken", "uniquely-broken", "wrong-from-start")
OWN = ("transfer", "difference", "confusion", *BREAKERS)  # metrics with tables of their own
WIDTH = 160  # where there is no terminal
MANY = 60  # figures, or sets and budgets, that one still reads
MANY_CLASSES = 40  # of a table of confusions


def report(rows: Sequence[Row], checks: Sequence[Checked] = (), *, wide: bool = False, width: int = WIDTH) -> str:
    """All tables of one evaluation; below them the checks that did not pass, and the notes."""
    rows, checks = (
        [_on_one_line(row) for row in rows],
        [replace(one, model=on_one_line(one.model), set=on_one_line(one.set)) for one in checks],
    )
    plain = [row for row in rows if row.metric not in OWN]
    worst, each = [row for row in plain if row.kind == "worst case"], [row for row in plain if row.kind != "worst case"]
    side_by_side = wide or len(each) > MANY
    shown = each
    if not wide and len(list(together(each))) > MANY:
        shown = at_strongest_budget(each, of_set, [row for row in each if row.metric == "accuracy"])
    beside, below = (shown, worst) if side_by_side else ([], plain)
    breakers = [row for row in rows if row.metric in BREAKERS]
    few = not wide and len(breakers) > MANY
    if few:
        breakers = at_strongest_budget(breakers, of_worst_case, [row for row in worst if row.metric == "robust_accuracy"])
    parts = [_side_by_side(beside, width) if beside else "", fitted([_line(row) for row in below], width) if below else ""]
    parts += [_breakers(breakers, width, few=few) if breakers else ""]
    parts += [_confusion(group, width) for group in together(row for row in rows if row.metric == "confusion")]
    moved = [row for row in rows if row.metric == "transfer"]
    parts += [_titled(TITLE, transfer_table(moved, width), width) if moved else ""]
    parts += [_compared([row for row in rows if row.metric == "difference"], width)]
    tables = "\n\n".join(part for part in parts if part) or "(no rows)"
    drawn = _draws([*beside, *breakers, *moved], width)
    return "\n".join([tables, *drawn, *_doubts(checks, width), *_notes(rows, width), *_left_out(each, shown, width)])


def _on_one_line(row: Row) -> Row:
    """The same row with the names of its files on one line."""
    pair = row.pair and replace(row.pair, against=on_one_line(row.pair.against))
    return replace(row, model=on_one_line(row.model), set=on_one_line(row.set), pair=pair)


def _draws(rows: Sequence[Row], width: int) -> list[str]:
    """What the brackets of some tables are."""
    most = max((row.spread.draws for row in rows if row.spread and cells.short_draws(row)), default=0)
    return wrapped(f"[ ]: the least and the largest of {most} draws, in percent", width) if most else []


def _left_out(each: Sequence[Row], shown: Sequence[Row], width: int) -> list[str]:
    """A note about omitted lines, and the option that prints them."""
    count, whole = len(list(together(shown))), len(list(together(each)))
    told = f"shown: of every model and set the budget under which fewest images are right, {count} of {whole} lines; "
    return wrapped(told + "--wide prints all, --json every figure", width) if count < whole else []


def _line(row: Row) -> Line:
    return {
        "model": row.model,
        "set": cells.set_name(row),
        "eps": cells.budget(row),
        "metric": cells.metric(row),
        "value": cells.value(row),
        "k/n": cells.count(row),
        "95 % interval": cells.interval(row),
        "draws": cells.draws(row),
        "threat model": cells.threat(row.threat),
    }


def _side_by_side(rows: Sequence[Row], width: int) -> str:
    """One line for each model, set and budget, with its metrics side by side; in a narrow terminal the intervals go below."""

    def lines(between: str) -> list[Line]:
        found, titles = [], {cells.metric(row): "" for row in rows}
        for group in together(rows):
            one, count = group[0], next((row.n for row in group if row.metric == "accuracy"), group[0].n)
            each = {cells.metric(row): between.join(text for text in cells.beside(row, count) if text) for row in group}
            ends = {"model": one.model, "set": one.set, "eps": cells.budget(one), "n": str(count)}
            found.append({**ends, **titles, **each, "threat model": cells.threat(one.threat)})
        return found

    flat = fitted(lines(" "), width)
    return flat if widest(flat) <= width else fitted(lines("\n"), width)


def _breakers(rows: Sequence[Row], width: int, *, few: bool) -> str:
    """The number of images of the worst case that each set broke."""
    lines, idle = [], 0
    for group in together(rows):
        one, count = group[0], {row.metric: _with_draws(f"{row.k} ({row.value:.1%})", row) for row in group}
        if few and not any(row.k for row in group):
            idle += 1
            continue
        lost = count.get("wrong-from-start")
        what = ("wrong from the start" if lost else one.set) + cells.rounded(one)
        who = {"model": one.model, "set": what, "eps": cells.budget(one)}
        lines.append({**who, "newly broken": lost or count["newly-broken"], "uniquely broken": count.get("uniquely-broken", "")})
    told = (
        "images that each set broke; newly: not broken by any set before it in this order; uniquely: not broken by any other set"
    )
    if few:
        told += f"; at the budget under which fewest images are right, without {idle} sets that broke none"
    return _titled(told, fitted(lines, width), width)


def _with_draws(text: str, row: Row) -> str:
    """A count with the least and the largest over the draws of a random model."""
    return f"{text} {cells.short_draws(row)}".rstrip()


def _confusion(rows: Sequence[Row], width: int) -> str:
    """Counts of one model on one set; of many classes, the most frequent mistakes."""
    one, eps = rows[0], f", eps {cells.budget(rows[0])}" if cells.budget(rows[0]) else ""
    eps += f", first of {one.spread.draws} draws" if one.spread else ""
    counts = {(row.about["label"], row.about["prediction"]): int(row.about.get("hits", row.k) or 0) for row in rows}
    lines: dict[str, Line] = {}
    for (label, prediction), count in counts.items():
        lines.setdefault(label, {"label": label})[prediction] = str(count)
    text, told = table(list(lines.values())), "labels down, predictions across"
    if len(lines) > MANY_CLASSES or widest(text) > width:
        wrong = sorted(((n, pair) for pair, n in counts.items() if n and pair[0] != pair[1]), key=lambda each: -each[0])
        text = fitted([{"label": a, "prediction": b, "images": str(n)} for n, (a, b) in wrong[:MANY_CLASSES]], width)
        told = f"the most frequent of {len(wrong)} kinds of mistakes; --json has every count"
    return _titled(f"{one.model} on {one.set}{eps}: {told}", text, width)


def _compared(rows: Sequence[Row], width: int) -> str:
    """Pairs of models: the difference, McNemar's p, and whether anything may be said."""
    lines, several = [], len({row.model for row in rows}) > 1
    for row in rows:
        if (pair := row.pair) is None:
            continue
        known = (pair.against_threat.knowledge, row.threat.knowledge) if row.threat.attack else ("clean", "clean")
        lines.append({
            "model": row.model,
            "against": f"against {pair.against}",
            "set": cells.set_name(row) + cells.rounded(row),
            "eps": cells.budget(row),
            "n": str(row.n),
            "b": str(pair.b),
            "c": str(pair.c),
            "c - b": f"{row.value:+.1%}",
            "95 % interval": f"{row.low:+.1%} to {row.high:+.1%}",
            "draws": cells.draws(row),
            "p": f"{pair.p:.1g}",
            f"p of {len(rows)}": f"{pair.p_holm:.1g}" if len(rows) > 1 else "",
            "finding": pair.finding,
            **({"best": "best" if pair.best else ""} if several else {}),
            "threat model": known[0] if known[0] == known[1] else " / ".join(known),
        })  # fmt: skip
    told = "accuracy against the first model's, image by image; b: only the first is right, c: only this one; p: McNemar, exact"
    told += f"; p of {len(rows)}: raised for so many tests (Holm)" if len(rows) > 1 else ""
    told += "; A / B: each model on the set that this attack made against it" if any(" / " in row.set for row in rows) else ""
    told += "; best: most images right of these models on a set" if several else ""
    return "\n".join([_titled(told, fitted(lines, width), width), *_concluded(rows, width)]) if lines else ""


def _concluded(rows: Sequence[Row], width: int) -> list[str]:
    """What the comparisons with the best of the other models allow to say of the first."""
    pairs = [row.pair for row in rows if row.pair and row.pair.best and row.pair.finding != cells.UNEQUAL]
    count = {finding: sum(pair.finding == finding for pair in pairs) for finding in ("worse", "better", "inconclusive")}
    left = sum(row.pair.finding == cells.UNEQUAL for row in rows if row.pair and row.pair.best)
    told = f"{rows[0].pair.against if rows[0].pair else ''} against the best other model, {len(pairs)} comparisons: "
    told += f"shown better in {count['worse']}, shown worse in {count['better']}, no difference shown in {count['inconclusive']}"
    return wrapped(told + (f"; {left} more under unequal attacks say nothing" if left else ""), width)


def _titled(title: str, text: str, width: int) -> str:
    return "\n".join([*wrapped(title, width), text])


def _doubts(checks: Sequence[Checked], width: int) -> list[str]:
    """A line for each check that is not PASS, with the sets that it concerns."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for one in checks:
        if one.result.status != "PASS":
            on = one.set + (f" at {one.epsilon}" if one.epsilon else "")
            found.setdefault((one.label, f"{one.result.found}; {one.result.advice}"), {})[on] = None
    worst_first = sorted(found.items(), key=lambda line: not line[0][0].startswith("FAIL"))
    lines = [f"{label} ({_several(list(sets), ', ')}): {text}" for (label, text), sets in worst_first]
    return [part for line in lines for part in wrapped(line, width)]


def _several(sets: Sequence[str], between: str) -> str:
    """A few sets by name, or their number."""
    return between.join(sets) if len(sets) <= cells.FEW else f"{len(sets)} sets"


def _notes(rows: Sequence[Row], width: int) -> list[str]:
    """Each note once for a model, with the sets that it concerns."""
    of: dict[tuple[str, str], dict[str, None]] = {}
    for row in rows:
        for note in row.threat.notes:
            of.setdefault((row.model, note), {})[cells.set_name(row)] = None
    found: dict[str, None] = {}
    for (model, note), sets in of.items():
        found[f"{_several(list(sets), ' and ')} against {model}: {note}"] = None
    return [line for text in found for line in wrapped(text, width)]

"""The rows of a report as one table for a paper: every row one line, printed as in the terminal."""

from collections.abc import Sequence

from advcli.evaluation import cells
from advcli.evaluation.rows import Row


def lines(rows: Sequence[Row]) -> list[dict[str, str]]:
    """One line for each row, with the comparison of two models in columns of its own."""
    return [_line(row) for row in rows]


def notes(rows: Sequence[Row]) -> list[str]:
    """Each note on a threat model once, with its model and set."""
    return list(dict.fromkeys(f"{row.model}, {row.set}: {note}" for row in rows for note in row.threat.notes))


def _line(row: Row) -> dict[str, str]:
    pair = row.pair
    return {
        "model": row.model,
        "against": pair.against if pair else "",
        "set": cells.set_name(row),
        "eps": cells.budget(row),
        "metric": cells.metric(row),
        "value": f"{row.value:+.1%}" if pair else cells.value(row),
        "k/n": cells.count(row),
        "95 % interval": cells.interval(row),
        "b": str(pair.b) if pair else "",
        "c": str(pair.c) if pair else "",
        "p": f"{pair.p:.1g}" if pair else "",
        "p (Holm)": f"{pair.p_holm:.1g}" if pair else "",
        "finding": pair.finding if pair else "",
        "best": "best" if pair and pair.best else "",
        "draws": cells.draws(row),
        "threat model": cells.threat(row.threat),
    }

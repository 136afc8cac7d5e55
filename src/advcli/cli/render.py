"""How results look: aligned tables on stdout, conversation and progress on stderr."""

import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from advcli.talk import Talk, unheard

QUIET_SECONDS = 30.0  # between two lines of progress where there is no terminal


class Console(Talk):
    """The voice of the command line, on stderr; `quiet` keeps warnings only."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet

    def note(self, text: str) -> None:
        if not self.quiet:
            print(text, file=sys.stderr)

    def warn(self, text: str) -> None:
        print(f"warning: {text}", file=sys.stderr)

    @contextmanager
    def progress(self, what: str, total: int, unit: str) -> Iterator[Callable[[int, str], None]]:
        if self.quiet:
            yield unheard
        elif sys.stderr.isatty():
            with self._bar(what, total, unit) as tick:
                yield tick
        else:
            yield self._lines(what, total, unit)

    def _lines(self, what: str, total: int, unit: str) -> Callable[[int, str], None]:
        """A line now and then, for a log."""
        state = {"done": 0, "begin": time.monotonic(), "last": time.monotonic()}

        def tick(more: int, word: str = "") -> None:
            state["done"] += more
            now = time.monotonic()
            if now - state["last"] >= QUIET_SECONDS:
                rate = state["done"] / (now - state["begin"])
                left = (total - state["done"]) / rate if rate else math.inf
                done = f"{state['done']} of {total} {unit}, {rate:,.0f}/s"
                print(f"{what}: {done}, {left:.0f} s left {word}".rstrip(), file=sys.stderr)
                state["last"] = now

        return tick

    @contextmanager
    def _bar(self, what: str, total: int, unit: str) -> Iterator[Callable[[int, str], None]]:
        from rich.console import Console as Terminal
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = ("{task.description}", BarColumn(), TextColumn("{task.completed}/{task.total} " + unit),
                   TextColumn("{task.fields[rate]}"), TimeRemainingColumn(), TextColumn("{task.fields[word]}"))  # fmt: skip
        with Progress(*columns, console=Terminal(stderr=True), transient=True) as bar:
            task, begin = bar.add_task(what, total=total, word="", rate=""), time.monotonic()

            def tick(done: int, word: str = "") -> None:
                finished = bar.tasks[0].completed + done
                rate = finished / max(1e-6, time.monotonic() - begin)
                bar.update(task, advance=done, word=word, rate=f"{rate:,.0f}/s")

            yield tick


def table(rows: Sequence[dict[str, str]]) -> str:
    """Columns aligned by spaces; numbers to the right. Columns that are empty throughout are left out."""
    if not rows:
        return "(no rows)"
    names = [name for name in rows[0] if any(row.get(name) for row in rows)]
    widths = {name: max(len(name), *(len(row.get(name, "")) for row in rows)) for name in names}
    right = {name for name in names if all(_numeric(row.get(name, "")) for row in rows)}
    lines = [{name: name for name in names}, *rows]
    return "\n".join(
        "  ".join(line.get(n, "").rjust(widths[n]) if n in right else line.get(n, "").ljust(widths[n]) for n in names).rstrip()
        for line in lines
    )


def _numeric(text: str) -> bool:
    return not text or text[0] in "-+.0123456789" or text == "nan"


def report(rows: Sequence[dict[str, Any]]) -> str:
    """The table of `evaluate`: value, counts and interval of every figure, and what the attacker knew."""
    lines = []
    for row in rows:
        threat, about = row["threat"], [str(row[key]) for key in ("class", "label", "prediction") if row.get(key)]
        spread = (
            f" ({row['spread']['min']:.1%} to {row['spread']['max']:.1%} over {row['spread']['draws']} draws)"
            if "spread" in row
            else ""
        )
        lines.append({
            "model": row["model"],
            "set": row["set"],
            "eps": str(threat.get("epsilon") or ""),
            "metric": " ".join([row["metric"], *about]),
            "value": f"{row['value']:.1%}" if row["low"] is not None else f"{row['value']:.4g}",
            "k/n": f"{row['k']}/{row['n']}" if row["k"] is not None else str(row["n"]),
            "95 % interval": f"{row['low']:.1%} to {row['high']:.1%}{spread}" if row["low"] is not None else spread.strip(),
            "threat model": _threat(threat),
        })  # fmt: skip
    return table(lines) + _notes(rows)


def _threat(line: dict[str, Any]) -> str:
    if line.get("certified"):
        noise = f"noise {line['sigma']:g}, {line['copies']} copies after {line['first_copies']}"
        return f"certified, {line['norm']}, alpha {line['alpha']:g}, {noise}"
    if not line["attack"]:
        return "clean" + (", 8-bit" if line.get("pixels") == "8-bit" else "")
    knowledge = {"none": "no knowledge"}.get(line["knowledge"], line["knowledge"])
    words = [line["attack"], line["norm"], knowledge, line.get("strength")]
    words += [f"{line['steps']} steps" if line.get("steps") else None]
    words += [f"{line['restarts']} restarts" if (line.get("restarts") or 1) > 1 else None]
    words += [f"EOT {line['eot']}" if line.get("eot") else None, f"target {line['target']}" if line.get("target") else None]
    words += ["labels: predicted" if line.get("labels") == "pred" else None, line.get("pixels")]
    words += [f"filtered by {line['filtered']}" if line.get("filtered") else None]
    return ", ".join(word for word in words if word)


def _notes(rows: Sequence[dict[str, Any]]) -> str:
    found: dict[str, None] = {}
    for row in rows:
        for note in row["threat"]["notes"]:
            found[f"{row['set']} against {row['model']}: {note}"] = None
    return "".join(f"\n{note}" for note in found)


def statistics(rows: Sequence[dict[str, Any]]) -> str:
    """The table of `stats`."""
    return table(
        [{key: _cell(value) for key, value in {**row, "of": row["norm"] or row["of"]}.items() if key != "norm"} for row in rows]
    )


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.5g}" if isinstance(value, float) else str(value)


def stories(found: Sequence[Any]) -> str:
    """The text of `show`."""
    return "\n\n".join(
        f"{one.path}: {one.what}\n  digest   {one.digest}\n  command  {one.command}\n"
        + json.dumps(one.header, indent=2, ensure_ascii=False)
        for one in found
    )


def verification(found: Any) -> str:
    """The text of `verify`: one line a file, and the first few things that are wrong."""
    lines = []
    for one in found.findings:
        ties = f", {one.ties} ties" if one.ties else ""
        lines.append(f"{one.path}: {'FAILED' if one.wrong else 'ok'} ({', '.join(one.checked) or 'nothing else checked'}{ties})")
        lines += [f"  {text}" for text in one.wrong[:5]]
        lines += [f"  and {len(one.wrong) - 5} more"] if len(one.wrong) > 5 else []
    return "\n".join(lines)


def estimate(one: Any) -> str:
    """The text of `--dry-run`."""
    size, unit = float(one.bytes), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if size >= 1000:
            size, unit = size / 1000, larger
    return f"{one.rows} rows, {size:.3g} {unit}, about {one.seconds:.2g} seconds"

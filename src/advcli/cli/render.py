"""The form of results: text on stdout, messages and progress on stderr."""

import json
import math
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from advcli.cli.output import on_one_line, say, visible
from advcli.cli.report import WIDTH
from advcli.cli.text_tables import columns_of
from advcli.runtime.reporter import Reporter, no_progress

QUIET_SECONDS = 30.0  # between two lines of progress where there is no terminal


class Console(Reporter):
    """The messages of the command line, on stderr; `quiet` keeps warnings only."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet

    def note(self, text: str) -> None:
        if not self.quiet:
            say(text)

    def warn(self, text: str) -> None:
        say(f"warning: {text}")

    @contextmanager
    def progress(self, what: str, total: int, unit: str) -> Iterator[Callable[[int, str], None]]:
        if self.quiet:
            yield no_progress
        elif sys.stderr.isatty():
            with self._bar(what, total, unit) as tick:
                yield tick
        else:
            yield self._lines(what, total, unit)

    def _lines(self, what: str, total: int, unit: str) -> Callable[[int, str], None]:
        """A line from time to time, for a log."""
        state = {"done": 0, "begin": time.monotonic(), "last": time.monotonic()}

        def tick(more: int, word: str = "") -> None:
            state["done"] += more
            now = time.monotonic()
            if now - state["last"] >= QUIET_SECONDS:
                rate = state["done"] / (now - state["begin"])
                left = (total - state["done"]) / rate if rate else math.inf
                done = f"{state['done']} of {total} {unit}, {rate:,.0f}/s"
                say(f"{what}: {done}, {left:.0f} s left {word}".rstrip())
                state["last"] = now

        return tick

    @contextmanager
    def _bar(self, what: str, total: int, unit: str) -> Iterator[Callable[[int, str], None]]:
        from rich.console import Console as Terminal
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        texts = ("{task.description}", "{task.completed}/{task.total} " + unit, "{task.fields[rate]}", "{task.fields[word]}")
        what_, count, speed, last = (TextColumn(text, markup=False) for text in texts)  # a file's name may look like markup
        columns = (what_, BarColumn(), count, speed, TimeRemainingColumn(), last)
        with Progress(*columns, console=Terminal(stderr=True), transient=True) as bar:
            task, begin = bar.add_task(visible(what), total=total, word="", rate=""), time.monotonic()

            def tick(done: int, word: str = "") -> None:
                finished = bar.tasks[0].completed + done
                rate = finished / max(1e-6, time.monotonic() - begin)
                bar.update(task, advance=done, word=visible(word), rate=f"{rate:,.0f}/s")

            yield tick


def width() -> int:
    """Columns of the terminal that shows the results; without a terminal those of COLUMNS, or a fixed number."""
    return columns_of(WIDTH)


def stories(found: Sequence[Any]) -> str:
    """The text of `show`."""
    return "\n\n".join(
        f"{on_one_line(str(one.path))}: {one.what}\n  digest   {one.digest}\n  command  {one.command}\n"
        + json.dumps(_brief(one.header), indent=2, ensure_ascii=False)
        for one in found
    )


def _brief(header: dict[str, Any]) -> dict[str, Any]:
    """A header whose graph of operations, which may have thousands, is counted; `--json` has all of them."""
    graph = header.get("arch", {}).get("graph")
    if graph is None:
        return header
    counts = Counter(step[0] for step in graph["steps"])
    text = ", ".join(f"{count} {operation}" for operation, count in counts.most_common())
    return {**header, "arch": {**header["arch"], "graph": f"{len(graph['steps'])} operations: {text}"}}


def verification(found: Any) -> str:
    """The text of `verify`: for every file the first few faults, what was checked, and what could not be checked."""
    lines = []
    for one in found.findings:
        lines.append(f"{on_one_line(str(one.path))}: {'FAILED' if one.wrong else 'nothing wrong found'}")
        lines += [f"  wrong        {text}" for text in one.wrong[:5]]
        lines += [f"  wrong        and {len(one.wrong) - 5} more"] if len(one.wrong) > 5 else []
        ties = [f"{one.ties} predictions are ties"] if one.ties else []
        lines += _listed("checked", "; ".join([*one.checked, *ties]))
        lines += [line for text in one.unchecked for line in _listed("not checked", text)]
    return "\n".join(lines)


def _listed(title: str, text: str) -> list[str]:
    """A title and its items, in lines that fit."""
    return textwrap.wrap(f"  {title:11}  {text}", width(), subsequent_indent=" " * 15)


def estimate(one: Any) -> str:
    """The text of `--dry-run`."""
    size, unit = float(one.bytes), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if size >= 1000:
            size, unit = size / 1000, larger
    return f"{one.rows} rows, {size:.3g} {unit}, {'at least' if one.at_least else 'about'} {duration(one.seconds)}"


def duration(seconds: float) -> str:
    """A time as people say it, to two digits."""
    if seconds < 99.5:
        return f"{seconds:.2g} seconds"
    if seconds < 100 * 60:
        return f"{round(seconds / 60)} minutes"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours < 10 else f"{round(seconds / 3600):,} hours"

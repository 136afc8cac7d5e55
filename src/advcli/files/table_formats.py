"""A table as CSV, Markdown or LaTeX.

CSV is for programs: every column, every digit, an empty cell where there is no value. A text that a spreadsheet would take for a
formula gets an apostrophe in front. Markdown and LaTeX are for people: cells as they are printed, with every character that
means something in that language escaped; LaTeX needs no package.
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

SUFFIXES = (".csv", ".md", ".tex")
FORMULA = re.compile(r"[=+\-@\t]")
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)
MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|&~])")
LATEX = {
    **{mark: f"\\{mark}" for mark in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
}

Line = Mapping[str, str]  # a column's title -> a printed cell


def as_csv(records: Sequence[Mapping[str, Any]]) -> str:
    """Records with their columns in the order of their first appearance."""
    text = io.StringIO()
    if columns := list(dict.fromkeys(key for one in records for key in one)):
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(map(_data, columns))
        writer.writerows([_data(one.get(key)) for key in columns] for one in records)
    return text.getvalue()


def as_markdown(lines: Sequence[Line], notes: Iterable[str] = ()) -> str:
    """A table of Markdown; below it a list of notes."""
    columns = _columns(lines)
    rows = [" | ".join(map(_markdown, columns)), " | ".join("---:" if _numbers(lines, one) else "---" for one in columns)]
    rows += [" | ".join(_markdown(line.get(one, "")) for one in columns) for line in lines]
    told = [f"- {_markdown(note)}" for note in notes]
    return "\n".join([*(f"| {row} |" for row in rows), *([""] if told else []), *told]) + "\n"


def as_latex(lines: Sequence[Line], notes: Iterable[str] = ()) -> str:
    """A tabular environment of LaTeX; below it a paragraph for each note."""
    columns = _columns(lines)
    sides = "".join("r" if _numbers(lines, one) else "l" for one in columns)
    rows = [" & ".join(map(_latex, columns))] + [" & ".join(_latex(line.get(one, "")) for one in columns) for line in lines]
    head, *body = (f"{row} \\\\" for row in rows)
    table = [f"\\begin{{tabular}}{{{sides}}}", r"\hline", head, r"\hline", *body, r"\hline", r"\end{tabular}"]
    return "\n".join([*table, *(f"\n{{\\footnotesize {_latex(note)}\\par}}" for note in notes)]) + "\n"


def _columns(lines: Sequence[Line]) -> list[str]:
    """The columns with a value in any line."""
    return [key for key in dict.fromkeys(key for line in lines for key in line) if any(line.get(key) for line in lines)]


def _numbers(lines: Sequence[Line], column: str) -> bool:
    """True if every cell of a column begins like a number."""
    return all(re.match(r"[-+.\d]|$|n=0$", line.get(column, "")) for line in lines)


def _data(value: Any) -> Any:
    """A text that no spreadsheet computes, in one row; numbers, and texts that are numbers, stay."""
    if not isinstance(value, str):
        return value
    formula = FORMULA.match(value) and not NUMBER.fullmatch(value)
    return ("'" if formula else "") + value.replace("\r", "\\r")  # which the csv module does not quote


def _markdown(text: str) -> str:
    return MARKDOWN.sub(r"\\\1", _on_one_line(text))


def _latex(text: str) -> str:
    return "".join(LATEX.get(mark, mark) for mark in _on_one_line(text))


def _on_one_line(text: str) -> str:
    """The text with line breaks, control and direction characters as escapes."""
    return "".join(mark if mark.isprintable() else mark.encode("unicode_escape").decode() for mark in text)

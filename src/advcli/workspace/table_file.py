"""The file of a table that a verb writes with -o: .csv, .md or .tex, by its name."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from advcli.errors import CommandError
from advcli.files import atomic
from advcli.files.table_formats import SUFFIXES, Line, as_csv, as_latex, as_markdown
from advcli.workspace import outputs


def is_table(output: str | None) -> bool:
    """True if the name is that of a table."""
    return output is not None and Path(output).suffix in SUFFIXES


def free_path(output: str, inputs: Iterable[str | None], *, force: bool) -> Path:
    """The file to write; refused before anything slow is done."""
    path = Path(output)
    if path.suffix not in SUFFIXES:
        raise CommandError(f"-o {path}: a table is written to NAME{', NAME'.join(SUFFIXES)}")
    if path.is_dir():
        raise CommandError(f"{path}: is a folder; name a file with -o")
    outputs.keep_inputs([path], inputs)
    if path.exists() and not force:
        raise outputs.taken(path)
    return path


def write(path: Path, records: Sequence[Mapping[str, Any]], lines: Sequence[Line], notes: Iterable[str], *, force: bool) -> None:
    """Write the records as CSV, or their printed lines as Markdown or LaTeX."""
    text = {
        ".csv": lambda: as_csv(records),
        ".md": lambda: as_markdown(lines, notes),
        ".tex": lambda: as_latex(lines, notes),
    }[path.suffix]()
    with atomic.locked(path):
        if path.exists() and not force:  # another command was faster
            raise outputs.taken(path)
        atomic.write(path, [text.encode("utf-8", "backslashreplace")])

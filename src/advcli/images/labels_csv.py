"""A CSV that gives picture files their labels: one row for each file.

The columns are found by their names: file (filename, file_name, image, path), label (class, category, target) and, if there is
one, split. Without a header, the two columns are file and label. Comma, semicolon, tab and bar separate; a byte order mark and
quotes are understood. A file is named from the folder of the pictures, and never leaves it.
"""

import csv
import os
import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from advcli.errors import InputError
from advcli.files import sandbox
from advcli.files.header_schema import wrong_classes
from advcli.images.split_folders import is_picture

FILE = ("file", "filename", "file_name", "image", "path")
LABEL = ("label", "class", "category", "target")
SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
DELIMITERS = ",;\t|"
MOST_BYTES, MOST_LINE, MOST_NAME = 1 << 26, 1 << 16, 1 << 12
MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}  # what spreadsheets write as Unicode text


class Labelled(NamedTuple):
    """Files with their labels, in the order of the rows; an empty label is none, an empty split is not stated."""

    files: list[str]
    labels: list[str]
    splits: list[str]
    lines: dict[str, int]  # of every file

    def classes(self) -> tuple[str, ...]:
        """The names of the classes in order; numbers by their value."""
        found = set(self.labels) - {""}
        if all(one.isascii() and one.isdecimal() and len(one) < 10 for one in found):
            return tuple(sorted(found, key=lambda one: (int(one), one)))
        return tuple(sorted(found))


class Columns(NamedTuple):
    """The separator, whether there is a header, and the places of the columns among so many."""

    delimiter: str
    header: bool
    file: int
    label: int
    split: int | None
    width: int


def read(path: Path) -> Labelled:
    """The rows of a CSV, which is read in a child process first."""
    content, size = sandbox.digest_of(path), os.path.getsize(path)
    if size > MOST_BYTES:
        raise InputError(f"{path}: has {size} bytes, more than {MOST_BYTES}, the limit for a CSV of labels")
    sandbox.first_in_child(path, lambda: checked(path), 2 * size, f"{content} csv")  # names take more room in memory
    return checked(path)


def checked(path: Path) -> Labelled:
    """The rows after all checks; InputError names the line that is wrong."""
    text = _text(path)
    columns = _columns(path, text)
    rows = csv.reader(_lines(path, text), delimiter=columns.delimiter, skipinitialspace=True, strict=True)
    found, first, words = Labelled([], [], [], {}), columns.header, dict[str, str]()
    try:
        for row in rows:
            if row and (len(row) > 1 or row[0].strip()):
                if not first:
                    _take(row, columns, found, words, rows.line_num)
                first = False
    except (csv.Error, ValueError) as error:
        fault = f"no valid CSV ({error})" if isinstance(error, csv.Error) else error
        raise InputError(f"{path}, line {rows.line_num}: {fault}") from None
    if not found.files:
        raise InputError(f"{path}: names no picture files")
    if wrong := wrong_classes(list(found.classes()) or ["none"]):
        raise InputError(f"{path}: no valid {wrong}; use printable characters, without / and \\")
    return found


def _text(path: Path) -> str:
    data = sandbox.read(path, most=MOST_BYTES)
    try:
        return data.decode(MARKS.get(data[:2], "utf-8-sig"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}, line {line}: is not UTF-8 text; save it as CSV UTF-8") from None


def _lines(path: Path, text: str) -> Iterator[str]:
    """The lines of a text, one after the other; too long ones are refused."""
    start = 0
    while start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        if end - start > MOST_LINE:
            raise InputError(f"{path}: has a line of more than {MOST_LINE} characters; expected a CSV of files and labels")
        yield text[start:end]
        start = end


def _columns(path: Path, text: str) -> Columns:
    """The columns by the first line that is not empty."""
    first, number = next(((line, k) for k, line in enumerate(_lines(path, text), 1) if line.strip()), ("", 1))
    for delimiter in DELIMITERS:
        names = _fields(first, delimiter)
        words = [one.lower() for one in names]
        file, label = (next((words.index(one) for one in known if one in words), None) for known in (FILE, LABEL))
        if file is not None and label is not None:
            return Columns(delimiter, True, file, label, words.index("split") if "split" in words else None, len(names))
        if len(names) == 2 and names[0] and is_picture(names[0]):
            return Columns(delimiter, False, 0, 1, None, 2)
    shown = ", ".join(_fields(first, ","))[:60]
    raise InputError(f"{path}, line {number}: expected a header with the columns file and label; found {shown or 'nothing'}")


def _fields(line: str, delimiter: str) -> list[str]:
    try:
        return [one.strip() for one in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])]
    except csv.Error:
        return []


def _take(row: list[str], columns: Columns, found: Labelled, words: dict[str, str], line: int) -> None:
    """Add one row, or say in a ValueError what is wrong; equal labels are one string, for there may be a million."""
    if len(row) != columns.width:
        raise ValueError(f"has {len(row)} fields, expected {columns.width}; quote a name that holds the separator")
    file, label = row[columns.file].strip(), row[columns.label].strip()
    split = "" if columns.split is None else row[columns.split].strip().lower()
    if not file or "\0" in file or len(file) > MOST_NAME:
        raise ValueError("no valid name of a file" if file else "names no file")
    file = posixpath.normpath(file)
    if file[0] == "/" or file == ".." or file.startswith("../") or os.path.isabs(file):
        raise ValueError(f"{file} leads out of the folder; name files from the folder of the pictures")
    if file in found.lines:
        raise ValueError(f"{file} is there twice, also in line {found.lines[file]}; leave one of the two rows")
    if columns.split is not None and split not in SPLITS:
        raise ValueError(f"no split {split or 'stated'}; expected train, val or test")
    found.files.append(file)
    found.labels.append(words.setdefault(label, label))
    found.splits.append(SPLITS.get(split, ""))
    found.lines[file] = line

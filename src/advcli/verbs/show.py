"""`show`: how a file was made, and the command line that makes it again."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from advcli.catalog.options import Files
from advcli.catalog.params import Param
from advcli.errors import InputError
from advcli.files import header_schema, sandbox
from advcli.files.header import Header, parse
from advcli.runtime.reporter import SILENT, Talk
from advcli.workspace import inputs, lookup
from advcli.workspace.replay import command, describe


@dataclass(frozen=True, slots=True)
class Story:
    """A file, its header, and its command."""

    path: str
    digest: str
    what: str
    command: str
    header: Header

    def document(self) -> dict[str, Any]:
        return {"path": self.path, "digest": self.digest, "what": self.what, "command": self.command, "header": self.header}


def show(
    files: Files = (),
    *,
    in_: Annotated[str, Param("Folder in which parents are looked for.", form="DIR")] = ".",
    talk: Talk = SILENT,
) -> list[Story]:
    """Tell how files were made.

    Prints the command line that makes each again, and its header.
    """
    given = inputs.checked("show", {"files": files, "in_": in_})
    if not Path(in_).is_dir():
        raise InputError(f"{in_}: no such folder")
    return [_story(Path(name), Path(given["in_"])) for name in given["files"]]


def _story(path: Path, where: Path) -> Story:
    if path.is_dir() and (path / "stats.json").exists():
        note = path / "stats.json"
        header, digest = parse(sandbox.read(note, most=1 << 20), str(note)), ""
        header_schema.provenance(header.get("made"), str(note))
    else:
        digest, header = lookup.header_of(path)
    return Story(str(path), digest, describe(header), command(header, path, where), header)

"""`show`: how a file was made, and the command that makes it again."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from advcli.catalog.file_requests import ShowRequest
from advcli.errors import InputError
from advcli.files import header_schema, sandbox
from advcli.files.header import Header, parse
from advcli.runtime.reporter import SILENT, Reporter
from advcli.workspace import lookup
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


def show(asked: ShowRequest, reporter: Reporter = SILENT) -> list[Story]:
    """Tell how files were made."""
    if not Path(asked.in_).is_dir():
        raise InputError(f"{asked.in_}: no such folder")
    return [_story(Path(name), Path(asked.in_)) for name in asked.files]


def _story(path: Path, where: Path) -> Story:
    if path.is_dir() and (path / "stats.json").exists():
        note = path / "stats.json"
        header, digest = parse(sandbox.read(note, most=1 << 20), str(note)), ""
        header_schema.provenance(header.get("made"), str(note))
    elif path.is_dir():
        raise InputError(f"{path}: is a folder, and none that stats wrote; name a file")
    else:
        digest, header = lookup.header_of(path)
    return Story(str(path), digest, describe(header), command(header, path, where), header)

"""The folder that `stats` writes: its name, and the note in it that states the command."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from advcli.catalog.registry import Bound
from advcli.catalog.requests import StatsRequest
from advcli.errors import CommandError, InputError
from advcli.files import atomic, header_schema, sandbox
from advcli.files.header import Header, canonical, identity, parse
from advcli.files.imageset_reader import ImageSet
from advcli.files.provenance import provenance_of
from advcli.networks.model_file import ModelFile
from advcli.runtime.reporter import Reporter
from advcli.workspace.outputs import taken
from advcli.workspace.replay import command

NOTE = "stats.json"
MOST_NOTE = 1 << 20
MOST_NAME = 60  # characters that tell the options
ADVICE = "use --force to overwrite all that is in it, or -o to choose another name"
OPTIONS = ("figure", "format", "of", "by", "where", "rows")
OF_MODELS = ("draws", "seed")


def how(asked: StatsRequest, figures: Sequence[Bound], sets: Sequence[ImageSet], models: Sequence[ModelFile]) -> Header:
    """The provenance of a folder's content."""
    options = {name: getattr(asked, name) for name in (*OPTIONS, *(OF_MODELS if models else ()))}
    options["figure"] = [one.spec.name for one in figures]
    parameters = {name: value for one in figures for name, value in one.parameters.items()}
    parents = [{"role": "file", "digest": one.digest} for one in sets]
    parents += [{"role": "model", "digest": one.digest} for one in models]
    return provenance_of("stats", method=None, parameters=parameters, options=options, parents=parents, data=None, environment={})


def beside(path: Path, asked: StatsRequest, figures: Sequence[Bound]) -> Path:
    """F.stats; options other than the default ones are part of the name, so that commands do not replace each other's tables."""
    words = [Path(name).stem for name in asked.model]
    for one in asked.options():
        value = getattr(asked, one.name)
        if one.name in (*OPTIONS, *OF_MODELS) and value != one.default:
            words.append(",".join(value) if one.many else str(value))
    for bound in figures:
        words += [f"{o.name}={bound.parameters[o.name]}" for o in bound.spec.options if bound.parameters[o.name] != o.default]
    told = re.sub(r"[^\w=.,+-]", "-", "+".join(dict.fromkeys(words)))
    if len(told) > MOST_NAME:
        told = f"{told[:40]}-{hashlib.sha256(told.encode()).hexdigest()[:12]}"
    return path.with_suffix(f".{told}.stats" if told else ".stats")


def check_free(folder: Path, made: Header, *, force: bool) -> None:
    """Refuse a folder with other content: another command's statistics unless --force is given, other files always."""
    if folder.name in ("", ".."):
        raise CommandError(f"-o {folder}: name a folder of its own")
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    try:
        known = parse(sandbox.read(folder / NOTE, most=MOST_NOTE), str(folder / NOTE)).get("made")
        header_schema.provenance(known, str(folder / NOTE))
    except InputError:
        raise taken(folder, " and is no folder of statistics", "use -o to choose another name") from None
    assert isinstance(known, dict)  # it was checked
    if not force and (known["verb"] != "stats" or identity(known) != identity(made)):
        raise CommandError(f"{folder}: holds the result of this command: {command({'made': known}, folder)}\n{ADVICE}")


def publish(folder: Path, content: dict[str, bytes], made: Header, *, force: bool, reporter: Reporter) -> None:
    """Write the folder completely or not at all."""
    check_free(folder, made, force=force)
    content = {NOTE: canonical({"made": made}), **content}
    if folder.exists():
        if all(_holds(folder / name, data) for name, data in content.items()):
            reporter.note(f"{folder} already exists, made by the same command")
            return
        if not force and (strange := sorted({path.name for path in folder.iterdir()} - content.keys())):
            raise CommandError(f"{folder}: holds {strange[0]}, which does not come from this command\n{ADVICE}")
    with atomic.folder(folder) as building:
        for name, data in content.items():
            atomic.write(building / name, [data])
    reporter.note(f"{folder}: {', '.join(name for name in content if name != NOTE)}")


def _holds(path: Path, data: bytes) -> bool:
    try:
        return sandbox.read(path, most=len(data)) == data
    except InputError:
        return False

"""The outputs of a verb: their names, and the rules for existing files."""

from collections.abc import Iterable
from pathlib import Path

from advcli.errors import AdvcliError, CommandError
from advcli.files.header import Header, identity
from advcli.runtime.reporter import Reporter
from advcli.workspace.lookup import header_of
from advcli.workspace.replay import command, describe

OVERWRITE = "use --force to overwrite it, or -o to choose another name"


MADE_ANEW = f"{OVERWRITE} (a Makefile decides itself what is out of date: give --force there)"


def taken(path: Path, what: str = "", advice: str = OVERWRITE) -> CommandError:
    """The error for an output that exists already: what is known about it, and what to do."""
    return CommandError(f"{path} already exists{what}; {advice}")


def output_path(output: str | None, default: str | Path) -> Path:
    """The file that a verb writes; its extension must be that of its kind."""
    path, ending = Path(output or default), Path(default).suffix
    if path.is_dir() or not path.name:
        raise CommandError(f"{path}: is a folder; name a file with -o")
    if path.suffix != ending:
        raise CommandError(f"-o {path}: name it {path.name}{ending}; files of this kind end in {ending}")
    return path


def keep_inputs(outputs: Iterable[Path], inputs: Iterable[str | Path | None]) -> None:
    """Refuse an output that would replace an input of the command."""
    read = {Path(one).resolve() for one in inputs if one}
    for path in outputs:
        if path.resolve() in read:
            raise CommandError(f"{path}: would overwrite the file that it is made from; use -o to choose another name")


def is_finished(path: Path, how: Header, *, default_name: bool, force: bool, reporter: Reporter) -> bool:
    """True if the same command has already written `path`; refuses to replace files of others."""
    if not path.exists() or force:
        return False
    try:
        _, header = header_of(path)
    except AdvcliError as error:
        raise taken(path, " and is not a whole file of advcli's", f"{OVERWRITE}\n({error})") from None
    if identity(header["made"]) == identity(how):
        reporter.note(f"{path} already exists, made by the same command")
        return True
    trained = header["made"]["verb"] in ("train", "import")
    if not default_name or trained:
        raise taken(path, f" and holds {describe(header)}{_changed(header['made'], how)}", MADE_ANEW)
    reporter.note(f"replacing {path}, {describe(header)}, which was made by: {command(header, path)}")
    return False


def _changed(before: Header, now: Header) -> str:
    """The first parameters of a command that differ from those that the file was made with, as text."""
    told = ["other images"] if before["data"] != now["data"] else []
    for part in ("parameters", "options"):
        old, new = before[part], now[part]
        told += [
            f"{name.replace('_', '-')} {_value(old.get(name))}, now {_value(new.get(name))}"
            for name in dict.fromkeys((*old, *new))
            if old.get(name) != new.get(name)
        ]
    if before["method"] != now["method"] or not told:
        return ""
    return f", made with {'; '.join(told[:3])}{'; ...' * (len(told) > 3)}"


def _value(found: object) -> str:
    return "not given" if found is None else str(found)

"""What a verb writes: names, the rules for what stands there already, and the parts that a rerun resumes from."""

from collections.abc import Iterable
from pathlib import Path

from advcli.errors import AdvcliError, CommandError
from advcli.files.header import Header, identity
from advcli.runtime.reporter import Talk
from advcli.workspace.lookup import header_of
from advcli.workspace.replay import command, describe


def target(output: str | None, default: str | Path) -> Path:
    """The file that a verb writes; it ends as its kind does, for by that it is known."""
    path, ending = Path(output or default), Path(default).suffix
    if path.is_dir() or not path.name:
        raise CommandError(f"{path}: is a folder; name a file with -o")
    if path.suffix != ending:
        raise CommandError(f"-o {path}: call it {path.name}{ending}; files of this kind are known by {ending}")
    return path


def keep_inputs(outputs: Iterable[Path], inputs: Iterable[str | Path | None]) -> None:
    """An output never replaces what the command reads."""
    read = {Path(one).resolve() for one in inputs if one}
    for path in outputs:
        if path.resolve() in read:
            raise CommandError(f"{path}: would replace the file that it is made from; name another with -o")


def finished(path: Path, how: Header, *, default_name: bool, force: bool, talk: Talk) -> bool:
    """Whether the same command has already written `path`; refuses to replace what is not ours to replace."""
    if not path.exists() or force:
        return False
    try:
        _, header = header_of(path)
    except AdvcliError as error:
        raise CommandError(f"{path}: stands there and is not a whole file of advcli's; --force replaces it\n({error})") from None
    if identity(header["made"]) == identity(how):
        talk.note(f"{path} is there already, made by the same command")
        return True
    trained = header["made"]["verb"] in ("train", "import")
    if not default_name or trained:
        raise CommandError(f"{path}: holds {describe(header)}; --force replaces it, -o names another file")
    talk.note(f"replacing {path}, {describe(header)}; it was made by: {command(header, path)}")
    return False

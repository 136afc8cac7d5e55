"""The command line: one `main`, which runs the program and maps its failures to exit codes."""

import inspect
import json
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import typer

from advcli.catalog import discovery
from advcli.catalog.params import Option, Param
from advcli.catalog.requests import REQUESTS
from advcli.cli import methods, output, render, report, typer_options
from advcli.cli.audit_table import audit_table
from advcli.cli.help import Command, Group
from advcli.cli.output import cut
from advcli.cli.statistics_table import statistics_table
from advcli.crafting.share import rank
from advcli.errors import AdvcliError, CommandError
from advcli.runtime import allocator, interrupts
from advcli.runtime.version import __version__
from advcli.verbs.call import call

JSON = Option("json", bool, False, Param("Print one JSON document on stdout."))
QUIET = Option("quiet", bool, False, Param("Only warnings and errors on stderr."))
DEBUG = Option("debug", bool, False, Param("Show the traceback of a failure."))
SHARED = tuple((one, "Output") for one in (JSON, QUIET, DEBUG))


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code; shows a traceback only with --debug."""
    args = list(sys.argv[1:] if argv is None else argv)
    output.occupy_closed_streams()
    try:
        with interrupts.handle_signals():
            return program(args)
    except BrokenPipeError:
        output.forget_stdout()  # the reader has enough
        return 0
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        if "--debug" in args:
            output.say("".join(traceback.format_exception(error)).rstrip())
        message, code = explained(error)
        output.complain(message)
        return code


def explained(error: BaseException) -> tuple[str, int]:
    """The message of an error, and its exit code."""
    if isinstance(error, AdvcliError):
        return str(error), error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return "interrupted; nothing half-made was left behind, and the same command goes on from what is finished", 130
    if isinstance(error, typer.TyperException):
        return _usage(error), 2
    told = str(error).lower()
    short = "OutOfMemoryError" in type(error).__name__ or "allocate memory" in told or "not enough memory" in told
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and short):
        return "out of memory; where there is a --batch-size, a smaller one needs less", 4
    if isinstance(error, OSError):
        return f"{error.filename or 'output'}: {(error.strerror or str(error)).lower()}", 4
    first = (str(error).splitlines() or [""])[0]
    advice = "please report it, unless a method of your own raised it; --debug shows the traceback"
    return f"internal error: {type(error).__name__}: {cut(first, 200)}\n{advice}", 4


def _usage(error: Any) -> str:
    """Typer's own usage errors, in one line."""
    text = str(error.format_message() if hasattr(error, "format_message") else error)
    verb = getattr(getattr(error, "ctx", None), "info_name", None) or ""
    one_file = verb in REQUESTS and any(one.name == "file" for one in REQUESTS[verb].options())
    if "unexpected extra argument" in text:
        what = text.rpartition("(")[2].rstrip(")")
        text = f"{verb} takes {_instead(verb, what, one_file=one_file)}"
    elif "Missing argument" in text and one_file:
        text = f"name the file to {verb}: advcli {verb} FILE"
    return text[:1].lower() + " ".join(text.split())[1:].removesuffix(".")


def _instead(verb: str, what: str, *, one_file: bool) -> str:
    """Advice for arguments that a verb does not take."""
    if one_file:
        return f"one file, not also {what}"
    if verb not in REQUESTS:
        return f"options only, not {what}"
    known, word = {one.name for one in REQUESTS[verb].options()}, what.partition(" ")[0]
    model = "model" if "model" in known else "weights"
    kind, flag = ("a model", model) if word.endswith(".safetensors") else ("images", "data")
    return f"no positional file: give {kind} with --{flag} {word}"


def program(args: list[str]) -> int:
    """Run the program; failures are raised."""
    words = _completing() or args
    verb = next((word for word in words if not word.startswith("-")), None)
    answer: list[int] = []
    failures: list[BaseException] = []
    app = build(verb, words, answer, failures)
    command = typer.main.get_command(app)
    try:
        ended = command.main(args or ["--help"], prog_name="advcli", standalone_mode=False)
    except SystemExit:  # Typer leaves so when nobody reads its help any more
        raise BrokenPipeError from None
    except typer.TyperException as error:
        name = getattr(error, "option_name", None)
        if name and type(error).__name__ == "NoSuchOption" and verb in REQUESTS:
            specs = typer_options.chosen(verb, words)
            raise typer_options.refusal(name, verb, specs, typer_options.signature(verb, specs)) from None
        raise
    if failures:
        raise failures[0]
    if ended == 130:  # Typer turns an interrupt into this
        raise KeyboardInterrupt
    return answer[0] if answer else 0


def _completing() -> list[str]:
    """The words of the line that a shell wants to complete."""
    line = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS")
    if not line or not os.environ.get("_ADVCLI_COMPLETE"):
        return []
    try:
        return shlex.split(line)[1:]
    except ValueError:
        return line.split()[1:]


def build(verb: str | None, args: Sequence[str], answer: list[int], failures: list[BaseException]) -> typer.Typer:
    """All commands by name; only the options of the requested one are read."""
    app = typer.Typer(name="advcli", cls=Group, rich_markup_mode=None, pretty_exceptions_enable=False)

    @app.callback()
    def _top(
        version: bool = typer.Option(False, "--version", help="Print the version.", is_eager=True, callback=_version),
    ) -> None:
        """How robust is this image classifier, really?"""

    for name in REQUESTS:
        summary = REQUESTS[name].summary().partition("\n")[0]
        if name == verb:
            app.command(name, cls=Command, help=_help(name, args), epilog=_epilog(name, args))(
                _command(name, args, answer, failures)
            )
        else:
            app.command(name, help=summary)(lambda: None)
    app.command("methods", cls=Command, help=methods.__doc__)(methods.methods)
    return app


def _version(value: bool) -> None:
    if value:
        print(f"advcli {__version__}")
        raise typer.Exit


def _help(verb: str, args: Sequence[str]) -> str:
    """The verb's help, and that of the method that is named on the line."""
    text = REQUESTS[verb].summary()
    for name, role in REQUESTS[verb].choices().items():
        for one in typer_options.values_of(f"--{name}", args) if not _completing() else ():
            spec = discovery.spec(role, one)
            paper = getattr(spec.traits, "paper", "")
            text += f"\n\n{one}: {spec.doc}" + (f"\n\npaper: {paper}" if paper else "")
    return text


def _epilog(verb: str, args: Sequence[str]) -> str | None:
    """The methods to choose from, where none is named yet."""
    return None if _named(verb, args) or not REQUESTS[verb].choices() else methods.by_family(verb)


def _named(verb: str, args: Sequence[str]) -> bool:
    """True if the line names a method."""
    return any(typer_options.values_of(f"--{name}", args) for name in REQUESTS[verb].choices())


def _command(verb: str, args: Sequence[str], answer: list[int], failures: list[BaseException]) -> Callable[..., None]:
    """The function that Typer calls, with the signature that the chosen methods give it."""
    overview = bool({"-h", "--help"} & {*args}) and not _named(verb, args)
    specs = [] if overview else typer_options.chosen(verb, args, half_typed=bool(_completing()))
    known = [*typer_options.signature(verb, specs), *SHARED]

    def run(**typed: Any) -> None:
        try:
            typer_options.refuse_repeated(known, args)
            answer.append(execute(verb, typer_options.read_all(known, typed)))
        except (Exception, SystemExit, KeyboardInterrupt) as error:  # Typer would turn some of these into exit codes of its own
            failures.append(error)

    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # Typer reads it
        [typer_options.parameter(one, heading) for one, heading in known]
    )
    return run


def execute(verb: str, given: dict[str, Any]) -> int:
    """Call the verb, print its result, and return the exit code."""
    as_json, reporter = given.pop("json", False), render.Console(quiet=given.pop("quiet", False))
    given.pop("debug", None)
    allocator.keep_freed()
    if verb in ("show", "verify") and not given.get("files"):
        raise CommandError(f"name the files to {verb}: advcli {verb} FILE ...")
    result = call(verb, given, reporter)
    if verb != "attack" or (shared := rank()) is None or not shared.follows:  # the first of several ranks speaks for all
        output.result(_document(result) if as_json else _text(verb, result))
    for reason in getattr(result, "failures", ()):
        output.complain(reason)
    return 0 if getattr(result, "passed", True) else 1


def _document(result: Any) -> str:
    if isinstance(result, list):
        found: Any = [one.document() if hasattr(one, "document") else {"path": str(one)} for one in result]
    else:
        found = result.document() if hasattr(result, "document") else {"path": str(result)}
    return json.dumps(found)


def _text(verb: str, result: Any) -> str:
    kind = type(result).__name__
    if kind in TEXTS:
        return TEXTS[kind](result)
    if verb == "show":
        return render.stories(result)
    return "\n".join(map(str, result)) if isinstance(result, list) else str(result)


TEXTS: dict[str, Callable[[Any], str]] = {
    "Audit": lambda result: audit_table(result.folder, result.found, render.width()),
    "Estimate": render.estimate,
    "Report": lambda result: report.report(result.rows, result.checks, wide=result.wide, width=render.width()),
    "Statistics": lambda result: statistics_table(result, render.width()),
    "Verification": render.verification,
}

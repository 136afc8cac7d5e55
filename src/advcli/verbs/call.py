"""The verbs as Python functions: keywords become the checked request, and the verb runs."""

import importlib
import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from os import PathLike
from typing import Any

from advcli.catalog.request import POSITIONAL, Request
from advcli.catalog.requests import REQUESTS
from advcli.errors import CommandError
from advcli.runtime.printing_reporter import reporter_for_python
from advcli.runtime.reporter import SILENT, Reporter
from advcli.verbs.about_python import IN_MEMORY, docstring

OBJECTS = ("model", "data", "files")  # keywords that may hold objects in place of names
NUMBERS = ("mean", "std")  # keywords that may hold arrays of numbers
FIRST = {"attack": ("model", "data")}  # what may stand without a keyword, beside `files` and `file`


def call(verb: str, given: Mapping[str, object], reporter: Reporter | None = None) -> Any:
    """Run a verb with these keywords; its module is imported only now."""
    if objects(verb, given):
        return _in_memory(verb, given, reporter or reporter_for_python())
    request = REQUESTS[verb]
    asked, own = request.read(verb, given)
    run, reporter = _implementation(verb), reporter or SILENT
    with _threads(asked):
        return run(asked, own, reporter) if request.choices() else run(asked, reporter)


def _threads(asked: Request) -> AbstractContextManager[None]:
    """The threads that the request asks for; torch is imported only if it does."""
    if getattr(asked, "threads", None) is None:
        return nullcontext()
    from advcli.runtime import devices  # only now: most verbs do without torch

    return devices.exactly(asked.threads)  # type: ignore[attr-defined]  # as was looked at


def _implementation(verb: str) -> Callable[..., Any]:
    found: Callable[..., Any] = getattr(importlib.import_module(f"advcli.verbs.{python_name(verb)}"), python_name(verb))
    return found


def _in_memory(verb: str, given: Mapping[str, object], reporter: Reporter) -> Any:
    """Run a verb with objects among its keywords."""
    from advcli.runtime.torch_defaults import usual_defaults  # only now: most verbs do without these
    from advcli.workspace.held import take

    with usual_defaults():
        held, named = take(given)
        asked, own = REQUESTS[verb].read(verb, named)
        with _threads(asked):
            return _implementation(verb)(asked, own, reporter, held=held)


def objects(verb: str, given: Mapping[str, object]) -> bool:
    """True if a keyword holds an object in place of names and paths; CommandError where only these make sense."""
    holding = [key for key, value in given.items() if _holds_objects(key, value)]
    for key in holding:
        if verb not in IN_MEMORY or key not in (*OBJECTS, *NUMBERS):
            raise CommandError(f"{verb}: {key}: takes names and paths, not objects in memory")
    return any(key in OBJECTS for key in holding)


def _holds_objects(key: str, value: object) -> bool:
    """True for what is no name or path where these are taken, and elsewhere for arrays."""
    if key == "data":
        return not _is_name(value)
    each = value if isinstance(value, list | tuple) else (value,)
    return any(not _is_name(one) if key in OBJECTS else bool(getattr(one, "shape", ())) for one in each)


def _is_name(value: object) -> bool:
    return value is None or isinstance(value, str | PathLike)


def python_name(verb: str) -> str:
    """The name of a verb's module and function: `import` is a keyword of Python."""
    return "import_" if verb == "import" else verb


def first_of(verb: str) -> tuple[str, ...]:
    """The options that may stand without a keyword."""
    return FIRST.get(verb) or tuple(one.name for one in REQUESTS[verb].options() if one.name in POSITIONAL)


@cache
def function(verb: str) -> Callable[..., Any]:
    """The verb as a function that `help` and editors can read."""
    request, first = REQUESTS[verb], first_of(verb)

    def run(*values: object, reporter: Reporter | None = None, **given: object) -> Any:
        if len(values) > len(first):
            raise TypeError(f"{run.__name__}() takes {len(first)} positional arguments but {len(values)} were given")
        if twice := [name for name in first[: len(values)] if name in given]:
            raise TypeError(f"{run.__name__}() got multiple values for argument {twice[0]!r}")
        return call(verb, {**dict(zip(first, values, strict=False)), **given}, reporter)

    run.__name__ = run.__qualname__ = python_name(verb)
    run.__module__, run.__doc__ = "advcli", docstring(verb, request)
    run.__signature__ = signature(verb, request)  # type: ignore[attr-defined]  # inspect reads it
    return run


def signature(verb: str, request: type[Request]) -> inspect.Signature:
    """The keywords of a verb, with their types and defaults; options of the chosen methods may have any name."""
    required, found, first = inspect.Parameter.empty, [], first_of(verb)
    for one in sorted(request.options(), key=lambda one: first.index(one.name) if one.name in first else len(first)):
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD if one.name in first else inspect.Parameter.KEYWORD_ONLY
        default = required if one.name == "file" else one.default
        takes: Any = object if verb in IN_MEMORY and one.name in OBJECTS else one.python_type
        found.append(inspect.Parameter(one.name, kind, default=default, annotation=takes))
    found.append(inspect.Parameter("reporter", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Reporter | None))
    if request.choices():
        found.append(inspect.Parameter("options", inspect.Parameter.VAR_KEYWORD, annotation=object))
    return inspect.Signature(found)

"""The verbs as Python functions: keywords become the checked request, and the verb runs."""

import importlib
import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from advcli.catalog.request import POSITIONAL
from advcli.catalog.requests import REQUESTS
from advcli.runtime.reporter import SILENT, Reporter


def call(verb: str, given: Mapping[str, object], reporter: Reporter = SILENT) -> Any:
    """Run a verb with these keywords; its module is imported only now."""
    request = REQUESTS[verb]
    asked, own = request.read(verb, given)
    name = python_name(verb)
    run: Callable[..., Any] = getattr(importlib.import_module(f"advcli.verbs.{name}"), name)
    return run(asked, own, reporter) if request.choices() else run(asked, reporter)


def python_name(verb: str) -> str:
    """The name of a verb's module and function: `import` is a keyword of Python."""
    return "import_" if verb == "import" else verb


@cache
def function(verb: str) -> Callable[..., Any]:
    """The verb as a function that `help` and editors can read."""
    request = REQUESTS[verb]
    first = [one.name for one in request.options() if one.name in POSITIONAL]

    def run(*files: object, reporter: Reporter = SILENT, **given: object) -> Any:
        if len(files) > len(first):
            raise TypeError(f"{run.__name__}() takes {len(first)} positional arguments but {len(files)} were given")
        return call(verb, {**dict(zip(first, files, strict=False)), **given}, reporter)

    run.__name__ = run.__qualname__ = python_name(verb)
    run.__module__, run.__doc__ = "advcli", request.summary()
    run.__signature__ = signature(request)  # type: ignore[attr-defined]  # inspect reads it
    return run


def signature(request: type[Any]) -> inspect.Signature:
    """The keywords of a verb, with their types and defaults; options of the chosen methods may have any name."""
    required, found = inspect.Parameter.empty, []
    for one in request.options():
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD if one.name in POSITIONAL else inspect.Parameter.KEYWORD_ONLY
        default = required if one.name == "file" else one.default
        found.append(inspect.Parameter(one.name, kind, default=default, annotation=one.python_type))
    found.append(inspect.Parameter("reporter", inspect.Parameter.KEYWORD_ONLY, default=SILENT, annotation=Reporter))
    if request.choices():
        found.append(inspect.Parameter("options", inspect.Parameter.VAR_KEYWORD, annotation=object))
    return inspect.Signature(found)

"""A verb's options as a value: a frozen dataclass, read and checked once, typed from then on.

    class ExportRequest(Destination):
        \"\"\"Write files for other tools.\"\"\"     # the help of the verb

        file: Annotated[str, Param("A model file or an image set.", form="FILE")]

Fields are the options of the command line and the keywords of the Python function. A base class that groups some of them
states the heading of the help under which they appear.
"""

import inspect
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import ClassVar, Self, get_type_hints

from advcli.catalog.params import Option, option
from advcli.catalog.registry import Spec, refuse_unknown
from advcli.errors import CommandError

COMMON = "Options"
POSITIONAL = ("files", "file")


@dataclass(frozen=True, kw_only=True)
class Request:
    """The options of a verb."""

    heading: ClassVar[str] = COMMON

    @classmethod
    def read(cls, verb: str, given: Mapping[str, object]) -> tuple[Self, dict[str, object]]:
        """The checked request, and what is left for the methods that it chooses."""
        known, own = cls.options(), dict(given)
        values = {one.name: one.read(own.pop(one.name)) for one in known if one.name in own}
        for one in fields(cls):
            if one.default is MISSING and values.get(one.name) is None:
                raise CommandError(f"{verb}: name the {one.name}: advcli {verb} {one.name.upper()}")
        if not cls.choices():
            refuse_unknown(verb, own, known)
        return cls(**values), own

    @classmethod
    def options(cls) -> tuple[Option, ...]:
        """The fields as options."""
        return OPTIONS.get(cls) or OPTIONS.setdefault(cls, _options(cls))

    @classmethod
    def choices(cls) -> dict[str, str]:
        """The options that choose a method, with the role of each."""
        return {one.name: one.param.chooses for one in cls.options() if one.param.chooses}

    @classmethod
    def summary(cls) -> str:
        """The help of the verb."""
        return inspect.cleandoc(cls.__doc__ or "")

    @classmethod
    def heading_of(cls, name: str) -> str:
        """The heading of an option in the help: that of the class that first declares it."""
        part = next(part for part in reversed(cls.__mro__) if name in inspect.get_annotations(part))
        return COMMON if part is cls or not issubclass(part, Request) else part.heading

    def refuse_idle(self, spec: Spec) -> None:
        """Refuse an option that has no effect for the chosen method."""
        for one in self.options():
            if getattr(self, one.name) != one.default and not spec.has(one.param.needs):
                raise CommandError(f"{spec.name} has no option {one.flag}")


OPTIONS: dict[type[Request], tuple[Option, ...]] = {}  # of every request that was looked at


def _options(request: type[Request]) -> tuple[Option, ...]:
    kinds = get_type_hints(request, include_extras=True)
    found = [option(one.name, kinds[one.name], None if one.default is MISSING else one.default) for one in fields(request)]
    return tuple(sorted(found, key=lambda one: one.name not in POSITIONAL))

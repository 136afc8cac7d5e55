"""One option: its type, its help, its range, and how a value is read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from advcli.errors import CommandError
from advcli.numerics.quantities import budget, budgets, fraction, step_length

HUGE = 2**60  # a limit that no help names


@dataclass(frozen=True, slots=True)
class Param:
    """The help line of a parameter, its range, and when it makes sense."""

    help: str
    low: float | None = None
    high: float | None = None
    shown: str | None = None  # what the help shows as the default: "8/255", not 0.0313725
    form: str | None = None  # what may be written: a key of FORMS, or a metavar
    needs: str | None = None  # the trait of a method without which the option would do nothing
    short: str | None = None  # a one-letter name
    chooses: str | None = None  # the role of the methods that it names
    assumed: str | None = None  # the method whose options there are while none is named


def flag_of(name: str) -> str:
    """The flag of an option; a trailing underscore, which keeps its name apart from Python's keywords, is dropped."""
    return "--" + name.rstrip("_").replace("_", "-")


FORMS: dict[str, Callable[[str], object]] = {"SWEEP": budgets, "BUDGET": budget, "LENGTH": step_length}


@dataclass(frozen=True, slots=True)
class Option:
    """One parameter of a verb or a method: enough to make a command-line option, and to check a value."""

    name: str
    type: type
    default: Any
    param: Param
    choices: tuple[str, ...] = ()
    many: bool = False

    @property
    def flag(self) -> str:
        return flag_of(self.name)

    @property
    def python_type(self) -> Any:
        """The annotation of the keyword in Python."""
        each: Any = Literal[self.choices] if self.choices else self.type
        whole: Any = tuple[each, ...] if self.many else each
        return whole if self.default is not None else whole | None

    @property
    def written(self) -> str:
        """The form of the value after the flag, for the help."""
        if self.choices:
            return "|".join(self.choices)
        return self.param.form or {int: "INTEGER", float: "NUMBER", str: "TEXT", bool: ""}[self.type]

    def read(self, value: object) -> Any:
        """The checked value of an option as typed or passed; CommandError explains what is wrong."""
        if value is None:
            if self.default is None:
                return None
            raise CommandError(f"{self.flag}: a value is needed")
        if self.many:
            values = [value] if isinstance(value, str) or not isinstance(value, Sequence) else value
            return tuple(self._one(item) for item in values)
        return self._one(value)

    def _one(self, value: object) -> Any:
        try:
            return self._checked(value)
        except ValueError as error:
            raise CommandError(f"{self.flag}: {error}") from None

    def _checked(self, value: object) -> Any:
        if self.type is bool:
            found = {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value
            if not isinstance(found, bool):
                raise ValueError(f"{value!r} is neither true nor false")
            return found
        if self.type is str:
            text = str(value)
            if not text or "\0" in text:
                raise ValueError("is empty" if not text else "holds a zero byte")
            if self.choices and text not in self.choices:
                raise ValueError(f"{text!r} is not one of {', '.join(self.choices)}")
            if self.param.form in FORMS:
                FORMS[self.param.form](text)
            return text
        if isinstance(value, bool):
            raise ValueError(f"{value!r} is not a number")
        try:
            exact = fraction(str(value))
        except ValueError:
            if self.type is int:
                raise ValueError(f"{value!r} is not a whole number") from None
            raise
        if self.type is int and exact.denominator != 1:
            raise ValueError(f"{value!r} is not a whole number")
        if (self.param.low is not None and exact < self.param.low) or (self.param.high is not None and exact > self.param.high):
            allowed = self.range if (self.param.high or 0) < HUGE else f"{self.param.low or 0:g} to {self.param.high}"
            raise ValueError(f"{value} is outside {allowed}")
        try:
            return self.type(exact)
        except OverflowError:
            raise ValueError(f"{value} is too large") from None

    @property
    def range(self) -> str:
        """The range as text, or nothing."""
        low, high = self.param.low, self.param.high
        if low is not None and high is not None:
            return f"{low:g} to {high:g}" if high < HUGE else f"{low:g} and up"
        if low is not None:
            return f"{low:g} and up"
        return f"up to {high:g}" if high is not None else ""


def option(name: str, annotation: Any, default: Any) -> Option:
    """An option from a parameter's annotation; TypeError where it says too little to make one."""
    kind, param = annotation, Param("")
    if get_origin(kind) is Annotated:
        kind, param = get_args(kind)[0], next((x for x in get_args(kind)[1:] if isinstance(x, Param)), param)
    if get_origin(kind) in (Union, UnionType):
        kind = next(part for part in get_args(kind) if part is not NoneType)
        if get_origin(kind) is Annotated:
            return option(name, kind, default)
    many = get_origin(kind) is tuple
    if many:
        kind = get_args(kind)[0]
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    kind = str if choices else kind
    if kind not in (int, float, str, bool):
        raise TypeError(f"parameter {name!r}: annotate it with int, float, str, bool, Literal or Annotated[..., Param]")
    return Option(name, kind, default, param, tuple(choices), many)

"""The lists of methods, read from the syntax trees of their files: nothing is imported, so that help is fast.

A folder is a list and a file is an entry: its module docstring is the help, its decorator states its traits, and its
keyword-only parameters are its options. A user's own ``package.module:function`` is code that the user names: it is
imported, and its signature is read.
"""

import ast
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

from advcli.catalog import hugging_face_names, options, plain_architecture, registry, timm_names, torchvision_names
from advcli.catalog.nearest import nearest
from advcli.catalog.params import Option, Param, option
from advcli.catalog.registry import Bound, Spec
from advcli.catalog.traits import TRAITS
from advcli.errors import CommandError, InputError

PACKAGE = Path(__file__).parent.parent
FOLDERS = {
    "attack": "attacks",
    "defense": "defenses",
    "recipe": "recipes",
    "architecture": "architectures",
    "source": "datasets",
    "metric": "metrics",
    "figure": "figures",
    "check": "checks",
}
INJECTED = (
    "rng",
    "early_stop",
    "unclipped",
    "within",
    "teacher",
    "epoch",
    "carried",
    "classes",
    "random",
)  # the program hands them to a method: no options
PERMITTED: set[str] = set()
PLAIN: dict[str, Any] = {"int": int, "float": float, "str": str, "bool": bool, "tuple": tuple}
FORMS: dict[str, Any] = {"Annotated": Annotated, "Literal": Literal}


def names(role: str) -> list[str]:
    """The names of all methods of a role, without opening their files."""
    folder = PACKAGE / FOLDERS[role]
    return sorted(file.stem.replace("_", "-") for file in folder.glob("*.py") if file.stem != "__init__")


def specs(role: str) -> list[Spec]:
    """All methods of a role."""
    return [spec(role, name) for name in names(role)]


def checks(kinds: tuple[str, ...], own: Iterable[str]) -> list[Spec]:
    """The trust checks of this kind, built-in and the user's own."""
    mine = [spec("check", name) for name in dict.fromkeys(own)]
    for one in mine:
        if one.traits.of not in kinds:
            where = "attack" if one.traits.of in ("model", "search") else "evaluate"
            raise CommandError(f"--check {one.name}: checks a {one.traits.of}; use it with advcli {where}")
    return [one for one in specs("check") if one.traits.of in kinds] + [one for one in mine if ":" in one.name]


def allow(names: Iterable[str]) -> None:
    """Allow code of the user's own: a file may name it from now on."""
    PERMITTED.update(names)


def is_own(role: str, name: str) -> bool:
    """True for code of a user's own; the networks of timm and transformers are those of known libraries."""
    library = timm_names.is_timm(name) or hugging_face_names.is_hugging_face(name)
    return ":" in name and not (role == "architecture" and library)


def refuse_unnamed(role: str, name: str) -> None:
    """Refuse code of a user's own that a file names and the user does not."""
    if is_own(role, name) and name not in PERMITTED:
        raise InputError(
            f"the file needs {name}, which is not a built-in method but code of a user\nif you trust that code: --allow {name}"
        )


def own_function(name: str) -> Callable[..., Any]:
    """A function that a file names and the user too; it is no method, and called as it is."""
    refuse_unnamed("function", name)
    module, _, attribute = name.partition(":")
    function: Callable[..., Any] | None = getattr(_module(module), attribute, None)
    if not callable(function):
        raise CommandError(f"module {module} has no function {attribute!r}")
    return function


def names_function(text: str) -> bool:
    """True for module:function, where there is no such file."""
    module, _, attribute = text.partition(":")
    return all(one.isidentifier() for one in (*module.split("."), attribute)) and not Path(text).exists()


def from_file(role: str, name: str) -> Spec:
    """The method that a file names; code of a user's own only if the user has named it too."""
    refuse_unnamed(role, name)
    try:
        return spec(role, name)
    except CommandError as error:
        raise InputError(f"the file needs a method that is not available: {error}") from None


@cache
def spec(role: str, name: str) -> Spec:
    """The method of that name, or the user's own `package.module:function`."""
    if role == "architecture" and timm_names.is_timm(name):
        return timm_names.spec(name)
    if role == "architecture" and hugging_face_names.is_hugging_face(name):
        return hugging_face_names.spec(name)
    if ":" in name:
        PERMITTED.add(name)
        return _own(role, name)
    if name not in names(role) and role == "architecture" and name in torchvision_names.names():
        return torchvision_names.spec(name)
    if name not in names(role):
        known = (*names(role), *torchvision_names.names()) if role == "architecture" else names(role)
        meant, kind = nearest(name, known), "data set" if role == "source" else role
        raise CommandError(f"there is no {kind} {name!r}{meant}; available: {', '.join(names(role))}, or package.module:function")
    stem = name.replace("-", "_")
    path = PACKAGE / FOLDERS[role] / f"{stem}.py"
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and isinstance(mark.func, ast.Name) and mark.func.id == role:
                    traits = TRAITS[role](**{k.arg: _value(k.value) for k in mark.keywords if k.arg})
                    module = f"advcli.{FOLDERS[role]}.{stem}"
                    given = tuple(arg.arg for arg in node.args.kwonlyargs if arg.arg in INJECTED)
                    own = (*_options(node), *registry.preset_options(traits))
                    return Spec(role, name, ast.get_docstring(tree) or "", traits, own, module, node.name, given)
    raise TypeError(f"{path.name}: no function under @{role}(...)")


def chosen(verb: str, role: str, names: Iterable[str], own: Mapping[str, object]) -> list[Bound]:
    """Several methods of one role, each with the options that it has; an option that none of them has is refused."""
    found = [spec(role, name) for name in dict.fromkeys(names)]
    registry.refuse_unknown(verb, own, tuple(option for one in found for option in one.options))
    return [one.bind({name: value for name, value in own.items() if one.option(name)}) for one in found]


def split_spelling(role: str, text: str) -> tuple[str, str]:
    """The name and the options of a text NAME:option=value,...; nothing is imported."""
    name, _, rest = text.partition(":")
    if rest and name not in names(role) and "=" not in rest.partition(":")[0]:
        function, _, rest = rest.partition(":")
        name = f"{name}:{function}"
    return name, rest


def parse_method(role: str, text: str) -> tuple[Spec, dict[str, object]]:
    """A method and its options from a text: NAME, or NAME:option=value,..., or module:function:option=value,..."""
    name, rest = split_spelling(role, text)
    found, typed = spec(role, name), dict[str, object]()
    for piece in rest.split(",") if rest else ():
        key, equals, value = piece.partition("=")
        key = key.strip().replace("-", "_")
        flag = found.option(key.removeprefix("no_"))
        if equals:
            typed[key] = value.strip()
        elif flag and flag.type is bool:  # as on the command line: keep-dc, no-random-start
            typed[flag.name] = flag.name == key
        elif typed and isinstance(before := typed[next(reversed(typed))], str):  # a value may have commas: hidden=300,100
            typed[next(reversed(typed))] = f"{before},{piece.strip()}"
        else:
            raise CommandError(f"{text}: options of {name} are written option=value, with commas between them")
    return found, typed


def _options(node: ast.FunctionDef) -> tuple[Option, ...]:
    found = []
    for arg, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
        if arg.arg not in INJECTED:
            found.append(option(arg.arg, _annotation(arg.annotation), None if default is None else _value(default)))
    return tuple(found)


def _value(node: ast.expr) -> Any:
    """A literal, also one with a division (8/255) or a Param."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        return _value(node.left) / _value(node.right)
    if isinstance(node, ast.Call):
        return Param(*map(_value, node.args), **{k.arg: _value(k.value) for k in node.keywords if k.arg})
    return ast.literal_eval(node)


def _annotation(node: ast.expr | None) -> Any:
    """The annotation in a piece of source, built without running it."""
    if isinstance(node, ast.Name):
        return PLAIN[node.id] if node.id in PLAIN else getattr(options, node.id)
    if isinstance(node, ast.BinOp):
        return _annotation(node.left) | None if _is_none(node.right) else _annotation(node.left)
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if node.value.id == "Literal":
            return Literal[tuple(map(_value, parts))]
        if node.value.id == "tuple":
            return tuple[_annotation(parts[0]), ...]  # type: ignore[misc]  # built from source, not written
        return Annotated[_annotation(parts[0]), _value(parts[1])]
    raise TypeError(f"cannot read the annotation {ast.unparse(node) if node else '(none)'}")


def _is_none(node: ast.expr) -> bool:
    return ast.unparse(node) == "None"


def _own(role: str, name: str) -> Spec:
    """A method of the user's own, from a module in the current folder or an installed one."""
    module_name, _, attribute = name.partition(":")
    function = getattr(_module(module_name), attribute, None)
    if function is None:
        raise CommandError(f"module {module_name} has no {attribute!r}")
    if role == "architecture" and not hasattr(function, "__advcli__"):
        return plain_architecture.spec_of(name, module_name, attribute, function)
    if getattr(function, "__advcli__", (None,))[0] != role:
        raise CommandError(f"{name} is not registered as {role}: decorate it with @{role}(...) from advcli.extend")
    return replace(from_function(role, name, function), module=module_name, attribute=attribute)  # it may call itself otherwise


def _module(name: str) -> ModuleType:
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:  # whatever a user's module does when it is imported
        raise CommandError(
            f"cannot import {name!r}, where a method of your own is looked for as package.module:function\n"
            f"{type(error).__name__}: {str(error)[:200]}"
        ) from None


def from_function(role: str, name: str, function: Callable[..., Any]) -> Spec:
    """The same entry, read from a function instead of its source."""
    named = [p for p in inspect.signature(function, eval_str=True).parameters.values() if p.kind is p.KEYWORD_ONLY]
    mine, given = [p for p in named if p.name not in INJECTED], tuple(p.name for p in named if p.name in INJECTED)
    try:
        options = tuple(option(p.name, p.annotation, None if p.default is p.empty else p.default) for p in mine)
    except TypeError as error:
        raise CommandError(f"{name}: {error}") from None
    doc = inspect.getdoc(sys.modules[function.__module__]) or inspect.getdoc(function) or ""
    _, traits = function.__advcli__  # type: ignore[attr-defined]  # pinned by the decorator
    options += registry.preset_options(traits)
    return Spec(role, name, doc, traits, options, function.__module__, function.__name__, given)

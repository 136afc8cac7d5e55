"""Help screens in two columns, under headings; without rich, since importing it takes longer than a tenth of a second."""

import textwrap
from collections.abc import Iterator
from typing import Any

from typer.core import TyperCommand, TyperGroup

from advcli.catalog.examples import EXAMPLES

WIDTH = 100
PURPOSES = {
    "Ask how robust a model is": ("audit", "attack", "evaluate", "stats"),
    "Make and defend models": ("train", "defend"),
    "Bring models and pictures in and out": ("import", "export"),
    "Look into files": ("show", "verify"),
    "Find methods, architectures and data": ("methods",),
}
BEGIN = """Your own model:  advcli import weights.pth --arch mynet:Net --data FOLDER
                 advcli audit --allow mynet:Net
No model yet:    advcli audit --eps 0.025
Options:         advcli VERB --help; advcli attack --method pgd --help"""
FLAGS = 34  # columns of the left side, and never more than half


class Command(TyperCommand):
    """A command whose options are under the headings of their methods, and whose epilog keeps its lines."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.context_settings = {
            **(self.context_settings or {}),
            "max_content_width": WIDTH,
            "help_option_names": ["-h", "--help"],
        }

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Usage, summary, the available methods, then the options."""
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        self.format_epilog(ctx, formatter)
        self.format_options(ctx, formatter)
        if examples := EXAMPLES.get(str(self.name)):
            with formatter.section("Examples"):
                formatter.write("".join(_example(one, formatter.width) for one in examples))

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """One section for every heading, in the order of the parameters."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for one in self.get_params(ctx):
            record = one.get_help_record(ctx)
            if record is not None:
                sections.setdefault(getattr(one, "rich_help_panel", None) or "Options", []).append(_plain(record, one))
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records, col_max=min(FLAGS, formatter.width // 2))

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        if self.epilog:
            formatter.write("\n" + self.epilog + "\n")


def _plain(record: tuple[str, str], one: Any) -> tuple[str, str]:
    """Flags without the type that Typer adds to them, if our help states the form of the value."""
    if one.param_type_name == "argument":
        return one.metavar or record[0], one.help or ""
    flags = " / ".join([", ".join(one.opts), *(one.secondary_opts if one.show_default else ())])
    return (f"{flags} {one.metavar}" if one.metavar else flags), one.help or ""


def _example(text: str, width: int) -> str:
    """A command in lines that fit, as a shell takes them."""
    lines = textwrap.wrap(text, width - 6, break_long_words=False, break_on_hyphens=False)
    return "  " + " \\\n    ".join(lines) + "\n"


class Group(TyperGroup):
    """The commands, under what one wants of them."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.context_settings = {
            **(self.context_settings or {}),
            "max_content_width": WIDTH,
            "help_option_names": ["-h", "--help"],
        }

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """One section for every purpose, and the first thing to do."""
        for heading, names in self._groups():
            with formatter.section(heading):
                formatter.write_dl([(name, _summary(self.commands[name])) for name in names], col_max=12)
        formatter.write(f"\n{BEGIN}\n")

    def _groups(self) -> Iterator[tuple[str, list[str]]]:
        told = {name for names in PURPOSES.values() for name in names}
        for heading, names in PURPOSES.items():
            yield heading, [name for name in names if name in self.commands]
        if rest := [name for name in self.commands if name not in told]:
            yield "Other", rest


def _summary(command: Any) -> str:
    """The first line of a verb's help."""
    return str(command.help or "").partition("\n")[0]

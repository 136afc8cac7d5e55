"""Help screens in two columns, under headings; without rich, since importing it takes longer than a tenth of a second."""

from typing import Any

from typer.core import TyperCommand, TyperGroup

WIDTH = 100
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


class Group(TyperGroup):
    """The commands, in the order of their use."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.context_settings = {
            **(self.context_settings or {}),
            "max_content_width": WIDTH,
            "help_option_names": ["-h", "--help"],
        }

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)

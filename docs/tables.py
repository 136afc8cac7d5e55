"""Write the generated parts of the documentation, or check that they are up to date (the default).

Between `<!-- NAME -->` and `<!-- end -->` stand: the tables of methods (from the registry) in README.md and docs/methods.md,
the walk's commands (from docs/walk.sh), in docs/rows.md what shows every row of docs/rows.csv, and in papers/INDEX.md what
came out of the papers.
"""

import re
import sys
from pathlib import Path

from advcli.catalog import discovery

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "docs"))

sys.path.insert(0, str(ROOT))

import row_table  # noqa: E402
from papers import index  # noqa: E402

TITLES = {
    "attack": "Attacks",
    "defense": "Defenses",
    "architecture": "Architectures",
    "recipe": "Recipes",
    "source": "Data",
    "metric": "Metrics",
    "figure": "Figures",
    "check": "Trust checks",
}
FIRST = ("attack", "defense", "source")  # what the README lists; docs/methods.md lists the rest
PAGES = ("README.md", "docs/methods.md", "docs/rows.md", "papers/INDEX.md")


def paper(name: str, root: str) -> str:
    if name.startswith("arXiv:"):
        return f"[{name}](https://arxiv.org/abs/{name.removeprefix('arXiv:')})"
    if name.startswith("doi:"):
        return f"[{name}](https://doi.org/{name.removeprefix('doi:')})"
    return f"[{name}]({root}papers/README.md)" if name else ""


def methods(roles: tuple[str, ...], root: str = "") -> str:
    """The tables of some roles, for a page from which the repository's root is `root`."""
    lines = []
    for role, title in ((role, TITLES[role]) for role in TITLES if role in roles):
        lines += [f"**{title}**", "", "| name | | norms | paper |" if role == "attack" else "| name | | paper |"]
        lines.append("|---|---|---|---|" if role == "attack" else "|---|---|---|")
        for spec in discovery.specs(role):
            norms = f" {', '.join(spec.traits.norms)} |" if role == "attack" else ""
            lines.append(f"| `{spec.name}` | {spec.summary} |{norms} {paper(getattr(spec.traits, 'paper', ''), root)} |")
        lines.append("")
    return "\n".join(lines).strip()


def walk() -> str:
    commands = (ROOT / "docs" / "walk.sh").read_text().strip().splitlines()
    return "\n".join(["```console", *(f"$ {line}" for line in commands), "```"])


MAKE = {
    "methods": lambda: methods(FIRST),
    "more methods": lambda: methods(tuple(role for role in TITLES if role not in FIRST), root="../"),
    "walk": walk,
    "rows": row_table.table,
    "index": index.table,
}


def generated(text: str) -> str:
    """The same page with its generated parts made anew."""
    for name in re.findall(r"^<!-- (.+) -->$", text, re.MULTILINE):
        if name in MAKE:
            head, start, rest = text.partition(f"<!-- {name} -->\n")
            _, end, tail = rest.partition("<!-- end -->")
            text = f"{head}{start}{MAKE[name]()}\n{end}{tail}"
    return text


def main() -> int:
    for path in (ROOT / page for page in PAGES):
        before = path.read_text()
        after = generated(before)
        if "--write" in sys.argv:
            path.write_text(after)
        elif after != before:
            print(f"{path.name} is behind the registry; write it anew with: nox -s docs -- --write", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Write the generated parts of the documentation, or check that they are up to date (the default).

Between `<!-- NAME -->` and `<!-- end -->` stand: the tables of methods (from the registry) in README.md, and the
walk's commands (from docs/walk.sh).
"""

import sys
from pathlib import Path

from advcli.catalog import discovery

ROOT = Path(__file__).resolve().parent.parent
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


def paper(name: str) -> str:
    if name.startswith("arXiv:"):
        return f"[{name}](https://arxiv.org/abs/{name.removeprefix('arXiv:')})"
    if name.startswith("doi:"):
        return f"[{name}](https://doi.org/{name.removeprefix('doi:')})"
    return f"[{name}](papers/README.md)" if name else ""


def methods() -> str:
    lines = []
    for role, title in TITLES.items():
        lines += [f"**{title}**", "", "| name | | norms | paper |" if role == "attack" else "| name | | paper |"]
        lines.append("|---|---|---|---|" if role == "attack" else "|---|---|---|")
        for spec in discovery.specs(role):
            norms = f" {', '.join(spec.traits.norms)} |" if role == "attack" else ""
            lines.append(f"| `{spec.name}` | {spec.summary} |{norms} {paper(getattr(spec.traits, 'paper', ''))} |")
        lines.append("")
    return "\n".join(lines).strip()


def walk() -> str:
    commands = (ROOT / "docs" / "walk.sh").read_text().strip().splitlines()
    return "\n".join(["```console", *(f"$ {line}" for line in commands), "```"])


def generated(text: str) -> str:
    for name, make in {"methods": methods, "walk": walk}.items():
        head, start, rest = text.partition(f"<!-- {name} -->\n")
        _, end, tail = rest.partition("<!-- end -->")
        if not start or not end:
            raise ValueError(f"README.md has no place for {name}")
        text = f"{head}{start}{make()}\n{end}{tail}"
    return text


def main() -> int:
    path = ROOT / "README.md"
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

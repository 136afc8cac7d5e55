"""From a header back to words: what a file is, and the command line that makes it again."""

import contextlib
import shlex
from pathlib import Path
from typing import Any

from advcli.catalog import discovery
from advcli.catalog.requests import REQUESTS
from advcli.errors import AdvcliError, CommandError
from advcli.files.header import NOTHING, Header, from_nothing, short
from advcli.workspace.inputs import ADVERSARIAL, DEFENDED, MODEL, PERTURBATIONS
from advcli.workspace.lookup import find_file, find_folder

BESIDE = (".universal.h5", ".perturbations.h5", ".substitute.safetensors")
DEFAULT_NAMES = {"train": MODEL, "import": MODEL, "attack": ADVERSARIAL, "defend": DEFENDED}


def describe(header: Header) -> str:
    """A file in a few words: `pgd at linf 0.3 on digits:test`."""
    how = header["made"]
    words = [str(how["method"] or how["verb"])]
    if header.get("epsilon"):
        words.append(f"at {header['norm']} {_span(header['epsilon'])}")
    if how["data"] and from_nothing(header):
        words.append(f"from {how['options']['init']}")
    elif how["data"]:
        words.append(f"on {how['data']['name']}:{how['data']['split']}")
    return " ".join(words)


def _span(texts: list[str]) -> str:
    return texts[0] if len(texts) == 1 else f"{texts[0]} to {texts[-1]} ({len(texts)} budgets)"


def command(header: Header, path: Path, where: Path = Path()) -> str:
    """The command line that makes the file again, its parents named by the files in `where` with their content."""
    how, name = header["made"], path.name
    verb = how["verb"]
    if verb == "attack" and header.get("kind") != "adversarial":  # made with its set
        beside = next((end for end in BESIDE if name.endswith(end)), ".h5")
        name = ADVERSARIAL if name == PERTURBATIONS else name.removesuffix(beside) + ".h5"
    role = {"train": "recipe", "attack": "attack", "defend": "defense"}.get(verb)
    words = ["advcli", verb]
    if role and how["method"]:
        words += ["--recipe" if verb == "train" else "--method", how["method"]]
    files = []
    for parent in how["parents"]:
        found = find_file(parent["digest"], where)
        called = str(found) if found else f"<sha256:{short(parent['digest'])}>"
        if parent["role"] == "file":
            files.append(called)
        else:
            words += [f"--{parent['role']}", called]
    words += _data_words(how["data"], where, verb)
    if how.get("fit", {}).get("named"):
        words += ["--fit-data", *_data_words(how["fit"], where, verb)[1:2]]
    words += _option_words({**how["options"], **how["parameters"]}, verb, role, how["method"])
    batch = how["environment"].get("batch_size")
    if batch and verb == "attack":
        words += ["--batch-size", str(batch)]
    default: str | None = DEFAULT_NAMES.get(verb)
    if header.get("kind") == "perturbation" and path.name != PERTURBATIONS:  # the default set has its view elsewhere
        default = None
    if verb in ("defend", "stats") and files:
        default = Path(files[0]).with_suffix(".filtered.h5" if verb == "defend" else ".stats").name
    if name != default:
        words += ["-o", name]
    return " ".join(map(shlex.quote, [*words, *files]))  # everything: a header is anybody's text


def _data_words(data: Header | None, where: Path, verb: str) -> list[str]:
    """The words that choose the images; a verb without `--classes` takes the model's own by itself."""
    if not data or data["name"] == NOTHING:
        return []
    name = data["name"]
    if name == "file":
        name = str(find_file(data["digest"], where) or f"<sha256:{short(data['digest'])}>")
    elif name == "folder":
        name = find_folder(data, where) or f"<folder sha256:{short(data['digest'])}>"
    words = ["--data", name if data["name"] == "file" else f"{name}:{data['split']}"]
    known = {one.name for one in REQUESTS[verb].options()}
    for key in ("classes", "limit", "per_class", "image_size", "resize"):
        if key in known and data.get(key) is not None:
            words += [f"--{key.replace('_', '-')}", str(data[key])]
    return words


def _option_words(values: dict[str, Any], verb: str, role: str | None, method: str | None) -> list[str]:
    """Every recorded value that is not the default, as options."""
    known = REQUESTS[verb].options()
    options = {one.name: one for one in known}
    try:
        options |= {one.name: one for one in discovery.spec(role, method).options} if role and method else {}
        if "arch" in values:
            options |= {one.name: one for one in discovery.spec("architecture", values["arch"]).options}
    except CommandError:
        pass  # a user's own method that is not at hand: its options are spelled by their names alone
    for figure in values["figure"] if isinstance(values.get("figure"), list) else ():
        with contextlib.suppress(AdvcliError):  # code of a user's own that was not named here, likewise
            options |= {one.name: one for one in discovery.from_file("figure", str(figure)).options}
    words = []
    for name, value in values.items():
        one = options.get(name)
        flag = "--" + name.replace("_", "-")
        if (one and value == (list(one.default) if one.many else one.default)) or value is None:
            continue
        if isinstance(value, bool):
            words.append(flag if value else flag.replace("--", "--no-", 1))
        elif isinstance(value, list):
            words += [word for each in value for word in (flag, str(each))]
        else:
            words += [flag, repr(value) if isinstance(value, float) else str(value)]
    return words

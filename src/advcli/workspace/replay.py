"""From a header to text: what a file is, and the command line that makes it again."""

import contextlib
import os
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from advcli.catalog import discovery
from advcli.catalog.params import Option, flag_of
from advcli.catalog.requests import REQUESTS
from advcli.errors import AdvcliError
from advcli.files.header import MEMORY, NOTHING, Header, from_nothing, short
from advcli.networks import build
from advcli.runtime import devices
from advcli.workspace.inputs import ADVERSARIAL, DEFENDED, IMAGES, MODEL, PERTURBATIONS, known_sets
from advcli.workspace.lookup import find_file, find_folder, header_of

BESIDE = (".universal.h5", ".perturbations.h5", ".substitute.safetensors")
ROLES = {"train": "recipe", "attack": "attack", "defend": "defense"}  # verb -> role of its method
BUILT = ("model", "member", "teacher")  # parents whose networks are built: code of the user's must be allowed
ASSUMED = next(one.param.assumed for one in REQUESTS["train"].options() if one.name == "arch")
SIZES = ("image_size", "resize")


def describe(header: Header) -> str:
    """A short description of a file: `pgd at linf 0.3 on digits:test`."""
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
    """The command line that makes the file again; its parents are the files in `where` with their content."""
    how = header["made"]
    verb, takes = how["verb"], {one.name for one in REQUESTS[how["verb"]].options()}
    parents = [(one["role"], find_file(one["digest"], where), one["digest"]) for one in how["parents"]]
    files = [_called(found, digest) for role, found, digest in parents if role == "file"]
    named = {**how["options"], **how["parameters"]}
    files += [str(named.pop("function"))] if verb == "import" and "function" in named else []
    if verb == "train" and not any(role == "weights" for role, _, _ in parents) and named.get("arch") == ASSUMED:
        del named["arch"]
    words = ["advcli", verb]
    if verb in ROLES and how["method"]:
        words += _typed("--recipe" if verb == "train" else "--method", how["method"])
    for role, found, digest in parents:
        if role != "file":
            words += _typed(f"--{role}", _called(found, digest))
    if verb == "import" and not files:  # images: the data set is the file, and its options are all recorded
        files = [_source(how["data"], where)]
    else:
        words += _data_words(how["data"], takes, where)
    if how.get("fit", {}).get("named"):
        words += _typed("--fit-data", _spelled(how["fit"], where))
    words += _option_words(named, _options(how))
    words += _environment_words(how["environment"], verb, takes)
    if "allow" in takes:
        built = (found for role, found, _ in parents if found and role in BUILT)
        words += [word for one in dict.fromkeys(_own_code(built)) for word in _typed("--allow", one)]
    words += _output_words(header, path, files)
    return " ".join(map(quoted, [*words, *files]))  # everything: a header is anybody's text


def quoted(word: str) -> str:
    """The word for a shell; a control character, which a terminal would not show, as bash and zsh write it: $'a\\x0a.h5'."""
    if word.isprintable():
        return shlex.quote(word)
    plain = {"\\": "\\\\", "'": "\\'"}
    return f"$'{''.join(plain.get(one, one) if one.isprintable() else _bytes(one) for one in word)}'"


def _bytes(one: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(one))


def _typed(flag: str, value: str) -> list[str]:
    """An option and its value; a value that begins with a dash is attached, since it would be read as an option."""
    return [f"{flag}={value}"] if value.startswith("-") else [flag, value]


def _called(found: Path | str | None, digest: str, what: str = "") -> str:
    """The name of a file or folder as it is typed, or a note that its content is not here."""
    if found is None:
        return f"<{what}sha256:{short(digest)}>"
    text = str(found)
    return f"./{text}" if text.startswith("-") or text in known_sets() else text


def _source(data: Header, where: Path) -> str:
    """A data set without its split."""
    if data["name"] == "file":
        return _called(find_file(data["digest"], where), data["digest"])
    if data["name"] == "folder":
        return _called(find_folder(data, where), data["digest"], "folder ")
    if data["name"] == MEMORY:
        return _called(None, str(data.get("digest")), "images in memory ")
    return str(data["name"])


def _spelled(data: Header, where: Path) -> str:
    return f"{_source(data, where)}:{data['split']}"


def _data_words(data: Header | None, takes: set[str], where: Path) -> list[str]:
    """A data set and its selection; a verb without options for sizes uses those of its model."""
    if not data or data["name"] == NOTHING:
        return []
    words = _typed("--data", _spelled(data, where))
    for key in ("classes", "part", "limit", "per_class", *SIZES):
        if data.get(key) is not None and key in takes:
            words += _typed(flag_of(key), str(data[key]))
    return words


def _options(how: Header) -> dict[str, Option]:
    """The options that a command has: of its verb, its method, its architecture and its figures."""
    verb, named = how["verb"], how["options"]
    methods = [("architecture", named.get("arch")), *(("figure", one) for one in named.get("figure", ()))]
    methods += [(ROLES[verb], how["method"])] if verb in ROLES else []
    found = {one.name: one for one in REQUESTS[verb].options()}
    for role, name in methods:
        with contextlib.suppress(AdvcliError):  # code of a user's own that was not named here: spelled by names alone
            found |= {one.name: one for one in discovery.from_file(role, str(name)).options} if name else {}
    return found


def _option_words(values: dict[str, Any], options: dict[str, Option]) -> list[str]:
    """Every recorded value that is not the default, as options."""
    words = []
    for name, value in values.items():
        one, flag = options.get(name), flag_of(name)
        if (one and value == (list(one.default) if one.many else one.default)) or value is None:
            continue
        if isinstance(value, bool):
            words.append(flag if value else flag.replace("--", "--no-", 1))
        else:
            words += [word for each in (value if isinstance(value, list) else [value]) for word in _typed(flag, _text(each))]
    return words


def _text(value: Any) -> str:
    return repr(value) if isinstance(value, float) else str(value)


def _environment_words(environment: Header, verb: str, takes: set[str]) -> list[str]:
    """The environment settings that a command line can state."""
    words = []
    if (size := environment.get("batch_size")) and verb != "train":  # an option of the training, and recorded there
        words += _typed("--batch-size", str(size))
    if (device := environment.get("device")) and "device" in takes and device != devices.find_device("auto").type:
        words += _typed("--device", str(device))
    return words


def _own_code(parents: Iterable[Path]) -> Iterator[str]:
    """Methods of the user's own that models are built with."""
    for path in parents:
        yield from (name for role, name in build.methods(header_of(path)[1]) if discovery.is_own(role, name))


def _output_words(header: Header, path: Path, files: list[str]) -> list[str]:
    """`-o NAME`, unless the command uses that name by default; a file beside a set is made with the set."""
    verb, name, kind = header["made"]["verb"], path.name, header.get("kind")
    default = {"train": MODEL, "attack": ADVERSARIAL, "defend": DEFENDED, "import": IMAGES if kind else MODEL}.get(verb)
    if verb == "attack" and kind == "perturbation" and name == PERTURBATIONS:
        name = ADVERSARIAL
    elif verb == "attack" and kind != "adversarial":
        name = name.removesuffix(next((end for end in BESIDE if name.endswith(end)), ".h5")) + ".h5"
        default = ADVERSARIAL if kind != "perturbation" else None  # that of the default set is called otherwise
    elif verb in ("defend", "stats") and files:
        default = str(Path(files[0]).with_suffix(".filtered.h5" if verb == "defend" else ".stats"))
    return [] if name == default else ["-o", f"./{name}" if name.startswith("-") else name]

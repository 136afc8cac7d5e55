"""The checks of a header, before anything in it is used; each error names the file and the key."""

import re
from collections.abc import Mapping
from math import isfinite
from typing import Any

from advcli.catalog import web_address
from advcli.errors import InputError
from advcli.files import check_results, graph_schema
from advcli.files.header import Header, from_nothing
from advcli.numerics.quantities import as_float32, fraction

Fields = Mapping[str, type]
KINDS = {"clean": (), "unknown": (), "perturbation": ("of", "norm", "epsilon"), "filtered": ("of",),
         "adversarial": ("norm", "epsilon", "tolerance", "access", "repeated", "victim"),
         "universal": ("norm", "epsilon", "tolerance", "access", "victim", "fitted")}  # fmt: skip
EVERYWHERE = ("kind", "classes", "split", "range", "made")
SOMETIMES = {  # older sets lack some of them
    "adversarial": ("source", "fitted", "unrepresentable", "scale", "checks", "stages", "static_proposals", "moves_wrong"),
    "perturbation": ("moves_wrong",),
}
MADE: Fields = {"verb": str, "parameters": dict, "options": dict, "parents": list, "environment": dict}
FITTED: Fields = {"images": int, "queries": int, "gradients": int}
ACCESS = ("structure", "gradient", "scores", "labels", "none")
VICTIM: Fields = {"digest": str, "defenses": list, "static": bool}
OPTIONS: Fields = {"early_stop": bool, "restarts": int, "label": str, "quantize": bool, "seed": int}
FOUND: Fields = {"threshold": float, "unit": float, "n": int, "rejected": int}
LONGEST_NAME = 255  # bytes of a class name, which may be the name of a folder
MOST_CLASSES = 100_000
HEX = re.compile("[0-9a-f]{64}")
NORMS = ("linf", "l2", "l1", "l0", "raw", "none")
PARENTS = ("apply", "model", "member", "file", "weights", "teacher", "augment-adv", "fooling")
LEAST, LARGEST = 1e-12, 1e6  # of a normalisation
LARGEST_PIXEL = 3.5e38  # float32 ends below
LEAST_RATE = 1e-3  # calls a second
MOST_DEFENSES = 64  # around each other
SIGNED = ("perturbation", "universal")  # kinds of sets whose values are differences
VERBS = ("train", "attack", "defend", "stats", "import")


def need(holds: object, where: str, what: str) -> None:
    """Refuse the file if a condition does not hold."""
    if not holds:
        raise InputError(f"{where}: its header has no valid {what}; the file is damaged or not advcli's")


def fields(found: Any, wanted: Fields, where: str, what: str) -> None:
    """A JSON object with fields of these types."""
    need(isinstance(found, dict), where, what)
    for name, kind in wanted.items():
        need(isinstance(found.get(name), kind), where, f"{what}.{name}")


def wrong_classes(found: Any) -> str:
    """The fault of a list of classes, in a few words: names must differ, and each must be a possible folder name."""
    if not (isinstance(found, list) and found and all(isinstance(name, str) for name in found)):
        return "list of classes"
    if len(set(found)) < len(found):
        return "list of classes (one is named twice)"
    if len(found) > MOST_CLASSES:
        return f"list of classes (more than {MOST_CLASSES})"
    return next((f"class name {name[:40]!r}" for name in found if not _plain(name)), "")


def _plain(name: str) -> bool:
    """True if a name is a single folder name."""
    strange = not name.isprintable() or name in ("", ".", "..") or bool(set("/\\") & set(name))
    return not strange and len(name.encode()) <= LONGEST_NAME


def classes(found: Any, where: str) -> None:
    """Refuse an invalid list of classes."""
    wrong = wrong_classes(found)
    need(not wrong, where, wrong)


def refuse_names(found: list[str], where: str) -> None:
    """Refuse class names of a data set that no file could store, while they can still be changed."""
    if wrong := wrong_classes(found):
        raise InputError(f"{where}: no valid {wrong}; rename it: use printable characters, without / and \\")


def provenance(found: Any, where: str) -> None:
    """Check the provenance of a file."""
    fields(found, MADE, where, "made")
    need(found["verb"] in VERBS, where, "made.verb")
    method = found.get("method", 0)
    plain = isinstance(method, str) and method.isprintable() and len(method) <= LONGEST_NAME
    need(method is None or plain, where, "made.method")
    need(all(name.isidentifier() for name in [*found["options"], *found["parameters"]]), where, "option names")
    for parent in found["parents"]:
        fields(parent, {"role": str, "digest": str}, where, "made.parents")
        need(parent["role"] in PARENTS and HEX.fullmatch(parent["digest"]), where, "made.parents")
    if found.get("data", 0) is not None:
        source(found.get("data"), where, "made.data")
    if "fit" in found:
        source(found["fit"], where, "made.fit")
    arch = {**found["options"], **found["parameters"]}.get("arch")
    need(arch is None or isinstance(arch, str), where, "made.options.arch")


def source(found: Any, where: str, what: str) -> None:
    """Check the origin of images: a data set by its name, a file or a folder by its content."""
    fields(found, {"name": str, "split": str}, where, what)
    if found["name"] in ("file", "folder"):
        fields(found, {"digest": str} | ({"labels": str} if "labels" in found else {}), where, what)


def defenses(found: Any, where: str) -> None:
    need(isinstance(found, list) and len(found) <= MOST_DEFENSES, where, f"list of at most {MOST_DEFENSES} defenses")
    for one in found:
        fields(one, {"name": str, "parameters": dict}, where, "defenses")
        if "found" in one:
            fields(one["found"], FOUND, where, "defenses.found")
            need(one["found"]["unit"] > 0 and all(map(isfinite, (one["found"][key] for key in FOUND))), where, "defenses.found")


def victim(found: Any, where: str, what: str) -> None:
    """Check the description of a model; older sets have the digest of its weights alone instead of that of its network."""
    fields(found, VICTIM, where, what)
    need(isinstance(found.get("network", found.get("weights")), str), where, f"{what}.network")
    defenses(found["defenses"], where)


def image_set(header: Header, where: str) -> None:
    """Check the header of an image set."""
    kind = header.get("kind")
    need(isinstance(kind, str) and kind in KINDS, where, "kind")
    classes(header.get("classes"), where)
    need(isinstance(header.get("split"), str) and header["split"] in ("train", "val", "test"), where, "split")
    provenance(header.get("made"), where)
    pixel_range(header, where)
    for name in KINDS[str(kind)]:
        need(name in header, where, name)
    if kind in ("adversarial", *SIGNED):
        need(isinstance(header["norm"], str) and header["norm"] in NORMS, where, "norm")
        budgets(header["epsilon"], where)
    if kind in ("adversarial", "perturbation"):
        need(isinstance(header["made"]["data"], dict), where, "made.data")
        need(not from_nothing(header) or isinstance(header["made"]["options"].get("init"), str), where, "made.options.init")
    if kind in ("adversarial", "universal"):
        victim(header["victim"], where, "victim")
        need(header["access"] in ACCESS, where, "access")
    if "fitted" in header and kind in ("adversarial", "universal"):
        fields(header["fitted"], FITTED, where, "fitted")
    need(isinstance(header.get("moves_wrong", True), bool), where, "moves_wrong")
    if kind == "adversarial":
        if "source" in header:
            victim(header["source"], where, "source")
        need(isinstance(header.get("static_proposals", True), bool), where, "static_proposals")
        fields(header["made"]["options"], OPTIONS, where, "made.options")
        need(isinstance(header["repeated"], bool), where, "repeated")
        need(isinstance(header.get("unrepresentable", 0), int), where, "unrepresentable")
        need(isinstance(header.get("scale", 1.0), float), where, "scale")
        stages(header.get("stages", []), where)
        need(check_results.valid(header.get("checks", [])), where, "list of checks")
    if kind == "filtered":
        need(isinstance(header["of"], dict) and header["of"].get("kind") not in SIGNED, where, "of")
        for name in ("norm", "epsilon"):
            need(header.get(name) == header["of"].get(name), where, name)
        image_set(header["of"], where)


def pixel_range(header: Header, where: str) -> None:
    """Check the range of pixels: only images that were not clipped, and their perturbations, may go beyond the usual one."""
    found, usual = header.get("range"), [-1, 1] if header["kind"] in SIGNED else [0, 1]
    if header["kind"] in ("adversarial", "perturbation") and header["made"]["options"].get("clip") is False:
        pair = found if isinstance(found, list) and len(found) == 2 else [None, None]
        numbers = [one for one in pair if isinstance(one, int | float)]
        need(len(numbers) == 2 and -LARGEST_PIXEL <= numbers[0] <= usual[0], where, "range")
        need(usual[1] <= numbers[1] <= LARGEST_PIXEL, where, "range")
    else:
        need(found == usual, where, "range")


def stages(found: Any, where: str) -> None:
    """Check the names of a cascade's stages."""
    plain = isinstance(found, list) and len(found) <= MOST_DEFENSES and all(isinstance(one, str) for one in found)
    need(plain and all(one.isprintable() and len(one) <= LONGEST_NAME for one in found), where, "list of stages")


def budgets(found: Any, where: str) -> None:
    need(isinstance(found, list), where, "epsilon")
    try:
        values = {as_float32(fraction(text)) for text in found if len(text) <= LONGEST_NAME}
    except (ValueError, TypeError, AttributeError, OverflowError):
        values = set()
    need(len(values) == len(found), where, "epsilon")


def function(found: Header, where: str) -> None:
    """Check the name or the address of a function of a user's own, what it gives, how many pictures it takes, and how often."""
    fields(found, {"answers": str, "at_once": int}, where, "arch")
    known = found["answers"] in ("scores", "labels") and 0 < found["at_once"] <= LARGEST
    need(known and ":" in found["name"] and not found["parameters"], where, "arch")
    away, rate = web_address.is_address(found["name"]), found.get("rate")
    plain = isinstance(rate, int | float) and not isinstance(rate, bool) and LEAST_RATE <= rate <= LARGEST
    need(rate is None or (away and plain), where, "arch")
    need(found.get("call") == ("http" if away else None), where, "arch")
    need(not away or not web_address.fault(found["name"]), where, "arch")


def graph(found: Header, where: str) -> None:
    """Check a network that is stored as a graph of operations."""
    fault = graph_schema.fault(found["graph"])
    alone = found["name"] == "onnx" and not found["parameters"] and "answers" not in found
    need(alone and not fault, where, fault or "arch")


def model(metadata: Header, where: str) -> None:
    """Check the metadata of a model file."""
    need(metadata.get("format") == "advcli/model/1", where, "format (advcli/model/1 is what this version reads)")
    fields(metadata.get("arch"), {"name": str, "parameters": dict}, where, "arch")
    if "answers" in metadata["arch"]:
        function(metadata["arch"], where)
    if "graph" in metadata["arch"]:
        graph(metadata["arch"], where)
    shape = metadata.get("input")
    whole = isinstance(shape, list) and len(shape) == 3 and all(isinstance(n, int) and 0 < n <= 65536 for n in shape)
    need(whole, where, "input")
    classes(metadata.get("classes"), where)
    fields(metadata.get("normalize"), {"mean": list, "std": list}, where, "normalize")
    mean, std = metadata["normalize"]["mean"], metadata["normalize"]["std"]
    numbers = all(isinstance(x, int | float) and not isinstance(x, bool) and abs(x) < LARGEST for x in [*mean, *std])
    need(numbers and len(mean) == len(std) == metadata["input"][0] and all(x > LEAST for x in std), where, "normalize")
    defenses(metadata.get("defenses"), where)
    need(
        metadata.get("data") is None or (isinstance(metadata["data"], dict) and isinstance(metadata["data"].get("name"), str)),
        where,
        "data",
    )
    provenance(metadata.get("made"), where)
    members = metadata.get("members", [])
    need(isinstance(members, list) and len(members) < 1000, where, "members")
    for one in members:
        need(isinstance(one, dict) and "members" not in one, where, "members")
        model({**one, "format": metadata["format"], "made": metadata.get("made"), "data": None}, where)
        need(one["input"] == metadata.get("input") and one["classes"] == metadata.get("classes"), where, "members")

"""The threat model of a set against a model, derived from the headers of both files."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from advcli.catalog import discovery
from advcli.errors import AdvcliError
from advcli.evaluation.decisions import Certificate, Proof
from advcli.evaluation.sets import UNCLIPPED
from advcli.files.header import MEMORY, Header
from advcli.networks.content import is_network
from advcli.networks.model_file import ModelFile

WORST = "worst of the sets"
UNKNOWN = "unknown origin: imported images, which may be adversarial; their accuracy is not counted as clean"
MOVED = "images that were wrong from the start were moved too (--label pred): those that this made right count as accurate"
UNCHECKED = "no trust checks: made by a version without them, so nobody looked for a masked gradient"
OUTSIDE = "pixels outside [0, 1] ({:.3g} to {:.3g}): no image file can hold them, so they say nothing about robust accuracy"
STARTS = {"file": "a file: distances are to its images", MEMORY: "images in memory: distances are to these"}
STRONG = ("adaptive", "white-box")  # knowledge of the evaluated model itself
OF_CLEAN = ("attack", "knowledge", "pixels", "notes")
LATE = ("filtered", "filter", "defenses", "queries", "checks")  # in the JSON where there is something to say
OF_WORST = ("attack", "norm", "epsilon", "knowledge", "access", "pixels", "notes")


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreatModel:
    """The line beside a figure; fields that do not apply are None."""

    attack: str | None = None  # None: nobody attacked
    norm: str | None = None
    epsilon: str | None = None  # as the user wrote it
    steps: int | str | None = None
    restarts: int | None = None
    strength: str | None = None
    knowledge: str = "none"
    access: str = "none"
    target: str | None = None
    labels: str | None = None
    eot: int | None = None
    pixels: str | None = None
    notes: tuple[str, ...] = ()
    filtered: str | None = None
    filter: str | None = None  # with its parameters
    defenses: tuple[str, ...] = ()  # of the evaluated model, with their parameters
    queries: int | None = None  # what an image may cost, where that was limited
    certificate: Certificate | Proof | None = None
    checks: tuple[str, ...] = ()  # trust checks that are not PASS

    def proved(self, certificate: Certificate | Proof) -> "ThreatModel":
        """The same line for a figure that is proved: a proof holds for every attack, whatever made the set."""
        line = ThreatModel(pixels=self.pixels) if isinstance(certificate, Proof) else self
        return replace(line, norm=certificate.norm, epsilon=certificate.epsilon, certificate=certificate)

    def document(self) -> dict[str, Any]:
        """The line in JSON, for clean images, for the worst case, and for an attack."""
        names = OF_CLEAN if self.attack is None else OF_WORST if self.attack == WORST else [one.name for one in fields(self)]
        found = {name: getattr(self, name) for name in names if name not in (*LATE, "certificate")}
        if self.attack == WORST and self.pixels is None:
            del found["pixels"]
        found["notes"] = list(self.notes)
        late = {name: getattr(self, name) for name in LATE}
        found |= {name: list(value) if isinstance(value, tuple) else value for name, value in late.items() if value}
        return found | ({**self.certificate.document(), "certified": True} if self.certificate else {})


def threat_model(header: Header, model: ModelFile, epsilon: str | None, pixels: str) -> ThreatModel:
    """The threat model of one set at one budget."""
    stack = tuple(compact(one["name"], one["parameters"]) for one in model.defenses)
    if header["kind"] == "filtered":
        inner = threat_model(header["of"], model, epsilon, pixels)
        made = header["made"]
        filtered = replace(inner, filtered=made["method"], filter=compact(str(made["method"]), made["parameters"]))
        if inner.attack is None:
            return filtered
        note = "static: filtered after the attack, no robustness claim"
        return replace(filtered, knowledge="static", notes=(*inner.notes, note))
    if header["kind"] == "unknown":
        return ThreatModel(pixels=pixels, knowledge="unknown", notes=(UNKNOWN,), defenses=stack)
    if header["kind"] != "adversarial":
        return ThreatModel(pixels=pixels, defenses=stack)
    how = header["made"]
    notes: list[str] = []
    options, parameters = how["options"], how["parameters"]
    source = header.get("source")  # another model that it was made on
    knowledge = attacker_knowledge(source or header["victim"], model) if source or header["access"] != "none" else "none"
    stopped = bool(header["repeated"] and options["early_stop"] and knowledge != "none")
    if start := STARTS.get(str((how.get("data") or {}).get("name"))):
        notes.append(f"starts from {start}")
    if header.get("moves_wrong"):
        notes.append(MOVED)
    if pixels == UNCLIPPED:
        notes.append(OUTSIDE.format(*header["range"]))
    if missing := header.get("unrepresentable"):
        notes.append(f"{missing} rows have no 8-bit image in their budget and hold the original")
    if knowledge == "static":
        notes.append("static: made without the defense in view, no robustness claim")
    if knowledge in STRONG and "checks" not in header:
        notes.append(UNCHECKED)
    if stopped and knowledge in ("static", "transfer"):
        notes.append("stopped at first success: weak for transfer")
    return ThreatModel(
        attack=how["method"],
        norm=header["norm"] if header["norm"] != "none" else None,
        epsilon=epsilon,
        steps=parameters.get("steps") or ("automatic" if "steps" in parameters or header.get("stages") else None),
        restarts=options["restarts"],
        strength="early-stopped" if stopped else "full" if knowledge != "none" else None,
        knowledge=knowledge,
        access=_access(header, knowledge),
        queries=options.get("max_queries"),
        defenses=stack,
        target=options.get("target"),
        labels=options["label"],
        eot=options.get("eot"),
        pixels=pixels,
        notes=tuple(notes),
    )


def compact(name: str, parameters: Mapping[str, Any]) -> str:
    """A defense with its non-default parameters, as a user writes it: gaussian:sigma=2."""
    defaults: dict[str, Any] = {}
    with contextlib.suppress(AdvcliError):  # code of a user's own that was not named here: every parameter is shown
        defaults = {one.name: one.default for one in discovery.from_file("defense", name).options}
    given = [f"{key}={value}" for key, value in parameters.items() if key not in defaults or value != defaults[key]]
    return f"{name}:{','.join(given)}" if given else name


def _access(header: Header, knowledge: str) -> str:
    """The attack's access to the evaluated model; for a set made on a substitute, the access of its inner attack."""
    inner = header["made"]["parameters"].get("attack")
    if "source" in header and isinstance(inner, str) and knowledge in ("white-box", "adaptive", "static"):
        with contextlib.suppress(AdvcliError):
            return str(discovery.from_file("attack", discovery.split_spelling("attack", inner)[0]).traits.access)
    return str(header["access"])


def attacker_knowledge(victim: dict[str, Any], model: ModelFile) -> str:
    """The attacker's knowledge of the evaluated model.

    white-box: made against this very model, which has no defense. adaptive: made against this very model, through its
    defenses. static: made against the same network with fewer defenses in front of it. transfer: made against another network
    (other weights, normalisation, classes or architecture), through other defenses, or with other members. An older set names no
    network: it was made against this model if the file is the same, and otherwise the knowledge is unknown.
    """
    attacked = [] if victim["static"] else victim["defenses"]
    if not is_network(victim["network"], model) if "network" in victim else victim["digest"] != model.digest:
        return "transfer"
    if attacked == model.defenses:
        if model.metadata.get("members") and victim["digest"] != model.digest:
            return "transfer"
        return "adaptive" if attacked else "white-box"
    return "static" if attacked == model.defenses[: len(attacked)] else "transfer"

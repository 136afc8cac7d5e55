"""The threat model of a set against a model: what a figure means, found from the headers, not from what one is told."""

from typing import Any

from advcli.files.header import Header
from advcli.networks.model_file import ModelFile


def threat(header: Header, model: ModelFile, epsilon: str | None, pixels: str) -> dict[str, Any]:
    """The line that stands beside every figure."""
    if header["kind"] == "filtered":
        inner = threat(header["of"], model, epsilon, pixels)
        attacked = inner["attack"] is not None
        notes = [*inner["notes"], "static: filtered after the attack, no robustness claim"] if attacked else inner["notes"]
        knowledge = "static" if attacked else "none"
        return {**inner, "filtered": header["made"]["method"], "knowledge": knowledge, "notes": notes}
    if header["kind"] != "adversarial":
        return {"attack": None, "knowledge": "none", "pixels": pixels, "notes": []}
    how, notes = header["made"], []
    options, parameters = how["options"], how["parameters"]
    source = header.get("source")  # another model that it was made on
    knowledge = known(source or header["victim"], model) if source or header["access"] != "none" else "none"
    stopped = bool(header["repeated"] and options["early_stop"] and knowledge != "none")
    if (how.get("data") or {}).get("name") == "file":
        notes.append("starts from a file: distances are to its images")
    if missing := header.get("unrepresentable"):
        notes.append(f"{missing} rows have no 8-bit picture in their budget and hold the original")
    if knowledge == "static":
        notes.append("static: made without the defense in view, no robustness claim")
    if stopped and knowledge in ("static", "transfer"):
        notes.append("stopped at first success: weak for transfer")
    return {
        "attack": how["method"],
        "norm": header["norm"] if header["norm"] != "none" else None,
        "epsilon": epsilon,
        "steps": parameters.get("steps") or ("automatic" if "steps" in parameters else None),
        "restarts": options["restarts"],
        "strength": "early-stopped" if stopped else "full" if knowledge != "none" else None,
        "knowledge": knowledge,
        "access": header["access"],
        "target": options.get("target"),
        "labels": options["label"],
        "eot": options.get("eot"),
        "pixels": pixels,
        "notes": notes,
    }


def known(victim: dict[str, Any], model: ModelFile) -> str:
    """What the attacker knew of the evaluated model.

    white-box: made against this very model, which has no defense. adaptive: made against this very model, through its
    defenses. static: made against the same weights with less in front of them. transfer: made against other weights,
    or through another stack.
    """
    attacked = [] if victim["static"] else victim["defenses"]
    if victim["weights"] != model.bare_weights:
        return "transfer"
    if attacked == model.defenses:
        return "adaptive" if attacked else "white-box"
    return "static" if attacked == model.defenses[: len(attacked)] else "transfer"

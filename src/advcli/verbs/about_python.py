"""The documentation of the verbs as Python functions: what they take beside names and paths, and all options by heading."""

import textwrap

from advcli.catalog import discovery
from advcli.catalog.params import Option
from advcli.catalog.request import Request
from advcli.catalog.request_parts import HEADINGS

IN_MEMORY = {
    "attack": """
In memory: `model` may be any torch.nn.Module that gives logits, and `data` a pair (images, labels) of tensors or arrays, a
Dataset or a DataLoader of torch's. Images are (N, C, H, W), floats in [0, 1] or bytes (uint8), without normalisation; labels
are whole numbers, -1 for none. A module takes `mean` and `std` of its normalisation, `classes`, the names of its outputs, and
`input`, such as "3x32x32", where no images say it. The module is copied, and left as it is. A loader that shuffles is read in
the order of its data set.

    found = advcli.attack(model, (images, labels), method="pgd", eps="8/255", mean=(0.49, 0.48, 0.45), std=(0.25, 0.24, 0.26))
    found.images, found.success, found.prediction, found.perturbations
    found.save("adversarial.h5")

The result is then AdversarialImages, and nothing is written unless `output` names a file. Else it is the path of the file.
""",
    "defend": """
In memory: `model` may be any torch.nn.Module, described as for advcli.attack by `mean`, `std`, `classes` and `input`. The
result is then a DefendedModule, which attack, evaluate and defend take as their model; nothing is written. A defense that is
fitted, or that has other models as members, needs a model file.

    defended = advcli.defend(model=model, method="squeeze", bits=3)
    found = advcli.attack(defended, (images, labels))
""",
    "evaluate": """
In memory: `files` may be AdversarialImages of advcli.attack, `model` any torch.nn.Module, and `data` images and labels, all as
advcli.attack takes them; `mean`, `std`, `classes` and `input` describe every module of the call.

    report = advcli.evaluate([found], model=model, data=(images, labels))
    report.rows, report.to_frame()

The result has `rows`, one for each figure, with its interval and threat model; `to_frame()` gives them to pandas.
""",
}
METHODS = "Each of these has options of its own, which are keywords, too: advcli {verb} --help tells how to list them."


def docstring(verb: str, request: type[Request]) -> str:
    """The help of a verb's function."""
    parts = [request.summary(), IN_MEMORY.get(verb, "").strip()]
    by_heading: dict[str, list[str]] = {}
    for one in request.options():
        by_heading.setdefault(request.heading_of(one.name), []).append(_line(one))
    for heading in (*HEADINGS, *(by_heading.keys() - {*HEADINGS})):
        if heading in by_heading:
            parts.append("\n".join([f"{heading}:", *by_heading[heading]]))
    for name, role in request.choices().items():
        parts.append(textwrap.fill(f"For {name}: {', '.join(discovery.names(role))}.", 120))
    if request.choices():
        parts.append(METHODS.format(verb=verb))
    return "\n\n".join(filter(None, parts))


def _line(one: Option) -> str:
    """An option with its help, and its default if the help does not state it."""
    shown = "" if one.default in (None, ()) or "[default" in one.param.help else f" [default: {one.default!r}]"
    values = f" ({', '.join(one.choices)})" if one.choices else ""
    return f"    {one.name}: {one.param.help}{values}{shown}"

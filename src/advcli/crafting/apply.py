"""Universal perturbations from a file, added to any images; nothing is queried or fitted."""

from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from advcli.catalog.registry import Bound, Spec
from advcli.catalog.requests import AttackRequest
from advcli.catalog.traits import AttackTraits
from advcli.crafting.run import Run
from advcli.errors import CommandError, InputError
from advcli.files.header import Header
from advcli.files.imageset_reader import ImageSet
from advcli.numerics.quantities import budgets

DEFAULT = "pgd"  # what --method is where nothing is said


@dataclass(frozen=True, slots=True)
class Ready:
    """A file of universal perturbations."""

    path: Path
    digest: str
    header: Header
    target: str | None
    shared: Tensor


def read_perturbations(path: Path) -> Ready:
    """The perturbations of a file, one for each of its budgets."""
    with ImageSet(path) as opened:
        if opened.kind != "universal":
            raise InputError(
                f"{path}: holds {opened.kind} images; --apply takes the X.universal.h5 that a universal method wrote"
            )
        reached = {int(one) for one in opened.column("target")}
        if len(reached) != 1 or len(opened) != len(opened.header["epsilon"]):
            raise InputError(f"{path}: does not hold one perturbation for each of its budgets, towards one class")
        number = reached.pop()
        target = None if number < 0 else opened.classes[number]
        return Ready(path, opened.digest, opened.header, target, opened.rows("images", 0, len(opened)))


def method_of(ready: Ready, asked: AttackRequest, options: Header) -> Bound:
    """The method of the file, without options of its own."""
    name = str(ready.header["made"]["method"])
    if asked.method not in (DEFAULT, name):
        raise CommandError(f"--apply {ready.path}: holds perturbations of {name}; leave out --method {asked.method}")
    traits = AttackTraits("universal", "added", (ready.header["norm"],), "none", targeted=False, within=None)
    return Spec("attack", name, "", traits, (), "", "").bind(options)


def applied(run: Run, ready: Ready) -> Run:
    """The same run with the perturbations of the file, and their budgets."""
    if tuple(ready.shared.shape[1:]) != run.data.shape:
        have, want = ("x".join(map(str, shape)) for shape in (ready.shared.shape[1:], run.data.shape))
        raise InputError(f"{ready.path}: is for images of {have} (channels, height, width); these have {want}")
    job = replace(run.job, shared=ready.shared.to(run.job.device), budgets=budgets(",".join(ready.header["epsilon"])))
    options = {name: value for name, value in run.made["options"].items() if name != "target"}  # the file says it
    made = {**run.made, "options": options, "parents": [*run.made["parents"], {"role": "apply", "digest": ready.digest}]}
    kept = {name: ready.header[name] for name in ("epsilon", "tolerance", "fitted")}
    return replace(run, job=job, made=made, about={**run.about, **kept, "source": ready.header["victim"]})

"""`defend`: a model in, the same model behind a defense out; or images in, filtered images out."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from torch import nn

from advcli import catalog, imagewriter, modelfile, storage, structure
from advcli.arrays import Array
from advcli.errors import CommandError, InputError
from advcli.imageset import ImageSet
from advcli.modelfile import ModelFile
from advcli.parameters import Allow, BatchSize, Device, DryRun, Files, Force, Method, Model, Output, Param, Seed
from advcli.pipeline import inputs, outputs
from advcli.pipeline.estimate import Estimate
from advcli.pipeline.victims import open_model
from advcli.registry import Bound
from advcli.rng import SampleRNG
from advcli.talk import SILENT, Talk


def defend(
    files: Files = (),
    *,
    model: Model = None,
    method: Method = "squeeze",
    member: Annotated[
        tuple[str, ...], Param("A model beside it, for methods that take several; may be repeated.", form="FILE")
    ] = (),
    seed: Seed = 0,
    batch_size: BatchSize = None,
    device: Device = "auto",
    allow: Allow = (),
    output: Output = None,
    force: Force = False,
    dry_run: DryRun = False,
    talk: Talk = SILENT,
    **options: object,
) -> list[Path] | Estimate:
    """Put a defense around a model, or filter images.

    The result is defended.safetensors, or F.filtered.h5 beside each F.h5.
    """
    given = inputs.checked("defend", {k: v for k, v in locals().items() if k not in ("options", "talk")})
    bound = catalog.spec("defense", method).bind(options)
    if files and model:
        raise CommandError("give files to filter, or --model to defend, not both")
    if bool(given["member"]) != bound.spec.traits.members:
        many = bound.spec.traits.members
        raise CommandError(f"{method}: name the other models with --member" if many else f"{method} has no option --member")
    if output and len(given["files"]) > 1:
        raise CommandError("-o names one file; without it every filtered set lies beside its source")
    if files and bound.spec.traits.members:
        raise CommandError(f"{method}: is no filter of images; give it --model")
    if files:
        if dry_run:
            return _estimate(given["files"])
        return [_filter(Path(file), bound, given, talk) for file in given["files"]]
    return _wrap(bound, given, talk)


def _wrap(bound: Bound, given: dict[str, Any], talk: Talk) -> list[Path] | Estimate:
    catalog.allow(given["allow"])
    base = open_model(given["model"], talk, dry_run=given["dry_run"])
    path = outputs.target(given["output"], inputs.DEFENDED)
    if given["dry_run"]:
        return Estimate(0, base.path.stat().st_size, 0.0)
    outputs.keep_inputs([path], [base.path, *given["member"]])
    members, tensors = _members(base, given["member"])
    made = outputs.made(
        "defend",
        method=bound.spec.name,
        parameters=bound.parameters,
        options={},
        parents=[{"role": role, "digest": one.digest} for role, one in [("model", base), *(("member", one) for one in members)]],
        data=None,
        environment={},
    )
    beside = {"members": [{k: one.recipe[k] for k in MEMBER} for one in members]} if members else {}
    stack = [*base.defenses, {"name": bound.spec.name, "parameters": bound.parameters}]
    recipe = {**base.recipe, **beside, "defenses": stack, "made": made, "figures": {}}
    with torch.no_grad():  # a defense that does not fit the images says so now
        whole = bound(base.module(), *([[one.module() for one in members]] if members else []))
        whole(torch.zeros(1, *base.shape), SampleRNG(0, torch.zeros(1, dtype=torch.int64)))
    with storage.locked(path):
        default = given["output"] is None
        if not outputs.finished(path, recipe["made"], default_name=default, force=given["force"], talk=talk):
            modelfile.write(path, recipe, tensors)
    return [path]


MEMBER = ("arch", "input", "classes", "normalize", "defenses")


def _members(base: ModelFile, names: tuple[str, ...]) -> tuple[list[ModelFile], dict[str, torch.Tensor]]:
    """The other models, and the tensors of all; they take the same images and know the same classes."""
    members, tensors = [modelfile.read(name) for name in names], dict(base.tensors)
    if members and base.recipe.get("members"):
        raise CommandError(f"{base.path}: holds members already; name them all at once")
    for k, one in enumerate(members):
        if (one.shape, one.classes) != (base.shape, base.classes) or one.recipe.get("members"):
            raise InputError(f"{one.path}: takes other images or knows other classes than {base.path}, or holds members itself")
        tensors |= {f"member/{k}/{name}": tensor for name, tensor in one.tensors.items()}
    return members, tensors


def _filter(source: Path, bound: Bound, given: dict[str, Any], talk: Talk) -> Path:
    path = outputs.target(given["output"], source.with_suffix(".filtered.h5"))
    outputs.keep_inputs([path], [source])
    device = inputs.find_device(given["device"])
    with ImageSet(source) as opened:
        if opened.kind == "perturbation":
            raise CommandError(f"{source}: holds perturbations; filter the set that they were made with")
        batch = inputs.default_batch(given["batch_size"], device)
        made = outputs.made(
            "defend",
            method=bound.spec.name,
            parameters=bound.parameters,
            options={"seed": given["seed"]},
            parents=[{"role": "file", "digest": opened.digest}],
            data=None,
            environment=inputs.environment(device, batch),
        )
        header = {**opened.header, "kind": "filtered", "of": opened.header, "made": made}
        rule: Any = bound(nn.Identity()).to(device)
        ids = torch.from_numpy(opened.column("index")).to(device)
        names = [name for name in (*structure.COLUMNS, "originals") if name in opened]
        layout = {name: opened.kept(name) for name in names}
        layout["images"] = (np.dtype("<f4"), (len(opened), *opened.shape))

        def pictures() -> Iterator[Array]:
            with talk.progress(f"filtering {source}", len(opened), "images") as tick, torch.no_grad():
                for start in range(0, len(opened), batch):
                    x = opened.rows("images", start, start + batch).to(device)
                    draws = SampleRNG(given["seed"], ids[start : start + batch], ("filter",))
                    yield rule.filter(x, draws).cpu().numpy()
                    tick(len(x), "")

        with storage.locked(path):
            default = given["output"] is None
            if not outputs.finished(path, made, default_name=default, force=given["force"], talk=talk):
                fill = {name: (lambda name=name: opened.pieces(name)) for name in names}
                imagewriter.write(path, header, layout, {**fill, "images": pictures})
    return path


def _estimate(files: tuple[str, ...]) -> Estimate:
    rows = size = 0
    for file in files:
        with ImageSet(file) as opened:
            rows += len(opened)
            size += Path(file).stat().st_size + len(opened) * int(np.prod(opened.shape)) * 3 * opened.eight_bit
    return Estimate(rows, size, 0.0)

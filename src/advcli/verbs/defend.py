"""`defend`: puts a defense around a model, or filters images."""

from pathlib import Path

import torch
from torch import nn

from advcli.catalog import discovery
from advcli.catalog.registry import Bound
from advcli.catalog.requests import DefendRequest
from advcli.defending import filter_files, fit
from advcli.errors import CommandError, InputError
from advcli.files import atomic
from advcli.files.header import Header
from advcli.files.parts import Parts
from advcli.files.provenance import provenance_of
from advcli.networks import build, model_file
from advcli.networks.model_file import ModelFile
from advcli.networks.module_in_memory import DefendedModule
from advcli.numerics.rng import Purpose, SampleRNG
from advcli.runtime import devices
from advcli.runtime.estimate import Estimate
from advcli.runtime.reporter import SILENT, Reporter
from advcli.verbs.default_model import open_model
from advcli.workspace import inputs, outputs
from advcli.workspace.held import NOTHING, Held


def defend(
    asked: DefendRequest, own: dict[str, object], reporter: Reporter = SILENT, *, held: Held = NOTHING
) -> list[Path] | Estimate | DefendedModule:
    """Put a defense around a model, in a file or in memory, or filter images."""
    bound = discovery.spec("defense", asked.method).bind(own)
    traits = bound.spec.traits
    if asked.files and asked.model:
        raise CommandError("give files to filter, or --model to defend, not both")
    if traits.members and not asked.member:
        raise CommandError(f"{asked.method}: name the other models with --member")
    asked.refuse_idle(bound.spec)
    if held:
        return _in_memory(bound, asked, held)
    if asked.output and len(asked.files) > 1:
        raise CommandError("-o names one file; without -o every filtered set is written beside its source")
    if asked.files and (traits.members or traits.learns or traits.rejects or not traits.filters):
        raise CommandError(
            f"{asked.method}: is not a filter of image files; give --model, and evaluate the defended model on the files"
        )
    if asked.files:
        if asked.dry_run:
            return filter_files.estimate(asked.files)
        return [filter_files.filtered(Path(file), bound, asked, reporter) for file in asked.files]
    return _wrap(bound, asked, reporter)


def _in_memory(bound: Bound, asked: DefendRequest, held: Held) -> DefendedModule:
    """A module behind a defense that needs neither a fit nor members: these keep what they learn in a file."""
    if held.data is not None or held.sets:
        raise CommandError("defend: takes a module in memory, and names and paths of images")
    if bound.spec.traits.has("fits"):
        raise CommandError(f"{bound.spec.name}: is fitted, and kept in a model file: advcli import makes one of a state_dict")
    changed = (one for one in asked.options() if one.name not in ("model", "method") and getattr(asked, one.name) != one.default)
    if idle := next(changed, None):
        raise CommandError(f"{idle.flag}: has no effect on a module in memory")
    return held.modules[str(asked.model)].behind(bound)


def _wrap(bound: Bound, asked: DefendRequest, reporter: Reporter) -> list[Path] | Estimate:
    discovery.allow(asked.allow)
    base = open_model(asked.model, reporter, dry_run=asked.dry_run)
    path = outputs.output_path(asked.output, inputs.DEFENDED)
    if asked.dry_run:
        return Estimate(0, base.path.stat().st_size, 0.0)
    outputs.keep_inputs([path], [base.path, *asked.member, asked.data])
    members, brought = _members(base, asked.member)
    whole = _whole(bound, base, members, asked.seed)
    fitted = fit.prepared(bound, base, asked, reporter)
    made = provenance_of(
        "defend",
        method=bound.spec.name,
        parameters=bound.parameters,
        options=fitted.options if fitted else {},
        parents=[{"role": role, "digest": one.digest} for role, one in [("model", base), *(("member", one) for one in members)]],
        data=fitted.origin if fitted else None,
        environment=devices.environment(devices.find_device(asked.device), fit.batch_size(asked, bound)) if fitted else {},
    )
    with atomic.locked(path):
        default = asked.output is None
        if not outputs.is_finished(path, made, default_name=default, force=asked.force, reporter=reporter):
            found = fitted.fit(whole, Parts.of(path), made) if fitted else {}
            brought |= {
                f"{start}{n}": t for start, net in build.learned_networks(whole).items() for n, t in net.state_dict().items()
            }
            content = {"weights": model_file.weights_digest(brought)} if brought else {}
            entry = {"name": bound.spec.name, "parameters": bound.parameters, **found, **content}
            model_file.write(path, _metadata(base, members, entry, made), {**base.tensors, **brought})
            Parts.of(path).remove()
    return [path]


def _whole(bound: Bound, base: ModelFile, members: list[ModelFile], seed: int) -> nn.Module:
    """The model behind its new defense, run once: a defense that does not fit the images fails now."""
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.random.manual_seed(seed)
        whole = build.wrap(bound, base.module(), [one.module() for one in members], base.shape, len(base.classes))
        whole.eval()(torch.zeros(1, *base.shape), SampleRNG(0, torch.zeros(1, dtype=torch.int64), (Purpose.TRIAL,)))
    return whole


MEMBER = ("arch", "input", "classes", "normalize", "defenses")


def _metadata(base: ModelFile, members: list[ModelFile], entry: Header, made: Header) -> Header:
    beside = {"members": [{k: one.metadata[k] for k in MEMBER} for one in members]} if members else {}
    return {**base.metadata, **beside, "defenses": [*base.defenses, entry], "made": made, "figures": {}}


def _members(base: ModelFile, names: tuple[str, ...]) -> tuple[list[ModelFile], dict[str, torch.Tensor]]:
    """The other models, and their tensors; they must take the same images, have the same classes, and never reject."""
    members, tensors = [model_file.read(name) for name in names], dict[str, torch.Tensor]()
    if members and base.metadata.get("members"):
        raise CommandError(f"{base.path}: has members already; name all of them in one command")
    for k, one in enumerate(members):
        if (one.shape, one.classes) != (base.shape, base.classes) or one.metadata.get("members"):
            raise InputError(f"{one.path}: takes other images or has other classes than {base.path}, or has members itself")
        tensors |= {f"{build.MEMBER}{k}/{name}": tensor for name, tensor in one.tensors.items()}
    for one in (base, *members) if members else ():
        if any("found" in each for each in one.defenses):
            raise InputError(f"{one.path}: has a reject option and cannot be a member")
    return members, tensors

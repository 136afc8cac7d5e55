"""An attack command with every default resolved: the job, and the header that describes it."""

from dataclasses import replace
from math import prod
from pathlib import Path

import torch
from torch import nn

from advcli.catalog.kinds import KINDS
from advcli.catalog.registry import Bound, Spec
from advcli.catalog.requests import AttackRequest
from advcli.crafting.first_stage import first_stage_of, fitting_images
from advcli.crafting.run import Run
from advcli.crafting.trust import (
    model_checks,
    refuse_other_structure,
    refuse_what_no_function_gives,
    refuse_without_gradient,
)
from advcli.errors import CommandError
from advcli.files.header import Header
from advcli.files.provenance import provenance_of
from advcli.images.dataset import Dataset
from advcli.networks.fast_copy import fast_copy
from advcli.networks.memory_format import optimize_for
from advcli.networks.model_file import ModelFile
from advcli.networks.rejection import rejects
from advcli.numerics.balls import tolerance
from advcli.numerics.quantities import BUDGETS, Budget, budgets, diameter, refuse_beyond
from advcli.numerics.rng import Purpose, SampleRNG
from advcli.runtime import devices
from advcli.runtime.reporter import Reporter
from advcli.search.call import classes_needed
from advcli.search.cascade import spelled, stages_of
from advcli.search.goal import OF_SHARES
from advcli.search.job import UNBOUNDED, Job
from advcli.search.probe import probe_of
from advcli.search.procedure import procedure_of
from advcli.workspace import outputs

RULES = ("random", "next", "least-likely", "other", "all")


EOT = 8


PROBE = 8  # images


def resolve(victim: ModelFile, images: Dataset, method: Bound, asked: AttackRequest, reporter: Reporter) -> Run:
    """Resolve every default of the command: the job, and the header that describes it."""
    spec, stage = method.spec, first_stage_of(method.spec)
    refuse_what_no_function_gives(spec, victim)
    asked = _by_predictions(asked, images, spec, reporter)
    acting = stage.acting(method, asked) if stage else method
    where = f"from {images.name}" if spec.traits.has("start") else f"on {images.name}:{images.split}"
    reporter.note(f"attack: {spec.name} {where}, {len(images)} images")
    norm = str(acting.parameters.get("norm", acting.spec.traits.norms[0]))
    colour = images.shape[0] == 3
    wanted: tuple[Budget, ...] = (UNBOUNDED,)
    if spec.traits.budgeted:
        if asked.eps is None:
            reporter.note(f"budget: {norm} {BUDGETS[norm][colour]}, the default of {'colour' if colour else 'grey'} images")
        wanted = budgets(asked.eps or BUDGETS[norm][colour])
        refuse_beyond(norm, wanted, prod(images.shape))
        if over := next((one.text for one in wanted if one.value == diameter(norm, prod(images.shape))), None):
            reporter.warn(f"eps {over}: any two images are within {norm} {over} of each other")
    random_model = victim.is_random(static=asked.static)
    if asked.static and not victim.defenses:
        raise CommandError(f"--static: {victim.path} has no defenses to leave out")
    if asked.eot and not random_model:
        raise CommandError(f"--eot: {victim.path} draws no random numbers{' under --static' * asked.static}; leave it out")
    if asked.target and asked.label == "pred":
        raise CommandError("--label names the class to leave and --target the class to reach; give only one of them")
    if asked.rounding != "nearest" and not asked.quantize:
        raise CommandError("--rounding has an effect only with --quantize")
    if not asked.clip:
        _check_unclipped(norm, asked)
    averages = random_model and spec.traits.access != "none" and not spec.traits.has("fits")
    eot = asked.eot or (EOT if averages else 1)
    device = devices.find_device(asked.device)
    batch_size = devices.default_batch(asked.batch_size, device)
    if KINDS[spec.traits.kind].joint:
        batch_size = -(-batch_size // len(victim.classes)) * len(victim.classes)
    target = _target(asked.target, victim.classes)
    model = optimize_for(victim.module(static=asked.static), device).requires_grad_(False)
    search = search_model(model, images, acting, asked, device)
    undefended = _undefended(victim, images, acting, asked, device) if stage is None else None
    job = Job(
        model=model,
        method=acting,
        norm=norm,
        budgets=wanted,
        target=target,
        label=asked.label,
        seed=asked.seed,
        device=device,
        restarts=asked.restarts,
        early_stop=asked.early_stop and not spec.traits.has("fits"),
        clip=asked.clip,
        eot=eot,
        random_model=random_model,
        max_queries=asked.max_queries,
        quantize=asked.quantize,
        rounding=asked.rounding,
        half=asked.precision == "bfloat16",
        store_bytes=asked.quantize and images.eight_bit,
        search=search,
        undefended=undefended,
        rejects=rejects(model),
    )
    if spec.traits.has("stages"):
        job = replace(job, stages=stages_of(acting, len(victim.classes), random=random_model))
        reporter.note(f"stages: {', '.join(map(spelled, job.stages))}")
        for one in job.stages:
            if len(victim.classes) < classes_needed(one, targeted=target is not None):
                reporter.note(f"{spelled(one)}: {len(victim.classes)} classes are too few for the DLR loss; it climbs the margin")
    if asked.temperature is not None:
        job = replace(job, scale=_temperature(asked.temperature, method))
    probe = probe_of(job, images, surrogate=victim.has_surrogate(static=asked.static))
    refuse_other_structure(probe, spec, str(victim.path), defended=bool(victim.defenses) and not asked.static)
    if spec.traits.access == "gradient":
        if probe.scale != 1 and asked.temperature is None:
            job = replace(job, scale=probe.scale)
            probe = replace(probe, job=job)
        refuse_without_gradient(probe, spec.name, str(victim.path), defended=bool(victim.defenses) and not asked.static)
    chosen: Header = {
        "label": asked.label,
        "restarts": asked.restarts,
        "early_stop": asked.early_stop,
        "max_queries": asked.max_queries,
        "static": asked.static,
        "quantize": asked.quantize,
        "rounding": asked.rounding,
        "seed": asked.seed,
        "precision": asked.precision,
    }
    if not asked.clip:
        chosen |= {"clip": False}
    if spec.traits.has("start"):
        chosen |= {"init": asked.init, "count": asked.count}
    if asked.temperature is not None:
        chosen |= {"temperature": asked.temperature}
    if asked.check:
        chosen |= {"check": list(asked.check)}
    if spec.traits.has("fits"):
        chosen |= {"fit_limit": asked.fit_limit}
    texts = [one.text for one in wanted] if spec.traits.budgeted else []
    made = provenance_of(
        "attack",
        method=spec.name,
        parameters=method.parameters,
        options={
            **chosen,
            "eps": ",".join(texts) or None,
            "target": _spelled_target(target, victim.classes),
            "eot": eot if random_model else None,
        },
        parents=[{"role": "model", "digest": victim.digest}],
        data=images.origin,
        environment=devices.environment(device, batch_size),
    )
    about: Header = {
        "classes": list(victim.classes),
        "split": images.split,
        "norm": norm,
        "epsilon": texts,
        "tolerance": tolerance(max(one.value for one in wanted)) if texts else 0.0,
        "access": "labels" if spec.traits.access == "scores" and victim.answers == "labels" else spec.traits.access,
        "repeated": spec.has("stops"),
        "checks": model_checks(probe, spec.traits.access, asked.check),
        "victim": {
            "digest": victim.digest,
            "network": victim.network,
            "defenses": victim.defenses,
            "static": asked.static,
        },
    }
    if job.moves_wrong:
        about["moves_wrong"] = True
    if job.scale != 1:
        about["scale"] = job.scale
    if job.stages:
        about["stages"] = list(map(spelled, job.stages))
    if job.undefended is not None:
        about["static_proposals"] = True
    part_size = asked.part_size if victim.answers is None else 1  # what a function was asked is kept by the batch
    return Run(job, images, made, about, batch_size, part_size)


def _temperature(temperature: float, method: Bound) -> float:
    """The divisor of the logits; refused if the method takes no softmax of them."""
    objective = method.parameters.get("objective")
    if objective not in OF_SHARES:
        what = f"--objective {objective} takes" if objective else f"{method.spec.name} climbs"
        raise CommandError(f"--temperature: {what} no softmax; it is for --objective {' and '.join(OF_SHARES)}")
    return temperature


def _check_unclipped(norm: str, asked: AttackRequest) -> None:
    """Refuse --no-clip with what is defined by the range of pixels."""
    if asked.quantize:
        raise CommandError("--no-clip: pixels outside [0, 1] have no 8-bit form; leave out --no-clip or --quantize")
    if norm == "l1":
        raise CommandError("--no-clip: an l1 step moves each pixel until it is black or white; leave it out, or use another norm")


def _by_predictions(asked: AttackRequest, images: Dataset, spec: Spec, reporter: Reporter) -> AttackRequest:
    """The request with --label pred, if no image has a label to leave."""
    if asked.label == "pred" or asked.target or spec.traits.has("start") or (images.labels >= 0).any():
        return asked
    reporter.note(f"{images.name}: no image has a label; each is attacked from the model's own prediction, as with --label pred")
    return replace(asked, label="pred")


def with_first_stage(run: Run, path: Path, victim: ModelFile, method: Bound, asked: AttackRequest, reporter: Reporter) -> Run:
    """The same run with the file that its method fits first, beside the set; most methods fit nothing."""
    stage = first_stage_of(method.spec)
    if stage is None:
        return run
    images = fitting_images(victim, run.data, stage.images, asked, reporter)
    ground = stage.plan(path.with_suffix(stage.suffix), victim, method, run, images, asked)
    outputs.keep_inputs([ground.path], [asked.model, asked.fit_data])
    return replace(run, first_stage=ground, made={**run.made, "fit": ground.made["fit"]})


def default_target(spec: Spec, reporter: Reporter) -> str | None:
    """The target of methods that need one, if none is given."""
    if spec.traits.targeted != "only":
        return None
    if spec.traits.target:
        reporter.note(f"target: {spec.traits.target}, that of {spec.name}")
        return str(spec.traits.target)
    rule = "all" if spec.traits.has("start") else "random"
    reporter.note(f"target: {rule}, the default of methods that {'generate images' if rule == 'all' else 'need a target'}")
    return rule


def search_model(
    model: nn.Module, images: Dataset, method: Bound, asked: AttackRequest, device: torch.device
) -> nn.Module | None:
    """A copy of the model for the search, compared with it on the first images; None for methods with at most one model call."""
    access = method.spec.traits.access
    if access == "none" or procedure_of(method).few_calls:
        return None
    x, ids = images.batch(0, PROBE)[0].to(device), torch.from_numpy(images.index[:PROBE]).to(device)
    draws, half = SampleRNG(asked.seed, ids, (Purpose.PROBE,)), asked.precision == "bfloat16"
    return fast_copy(model, x, draws, half=half, gradients=access == "gradient")


def _undefended(
    victim: ModelFile, images: Dataset, method: Bound, asked: AttackRequest, device: torch.device
) -> nn.Module | None:
    """The model without its defenses, for an attack that sees through them; None where there are none, or it does not."""
    if not victim.defenses or asked.static or method.spec.traits.access != "gradient":
        return None
    model = optimize_for(victim.module(static=True), device).requires_grad_(False)
    return search_model(model, images, method, asked, device) or model


def _target(text: str | None, classes: tuple[str, ...]) -> str | None:
    """A rule, or the class of a name or a number; rules and names have precedence."""
    if text is None or text in RULES:
        return text  # a class that is called like a rule is named by its number
    if text in classes:
        return str(classes.index(text))
    if text.isascii() and text.isdecimal() and int(text) < len(classes):
        return str(int(text))
    raise CommandError(f"--target {text}: not a class of the model; available: {', '.join(classes[:12])}, or {', '.join(RULES)}")


def _spelled_target(target: str | None, classes: tuple[str, ...]) -> str | None:
    """A resolved target as a command states it: a rule, or the name of a class, or its number if it is called like a rule."""
    if target is None or not target.isdecimal() or classes[int(target)] in RULES:
        return target
    return classes[int(target)]

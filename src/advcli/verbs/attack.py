"""`attack`: a model and images in, an adversarial set and its perturbations out."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from advcli.catalog import discovery
from advcli.catalog.options import (
    Allow,
    Applied,
    BatchSize,
    Classes,
    Count,
    Data,
    DataDir,
    Device,
    Download,
    DryRun,
    EarlyStop,
    Eot,
    Eps,
    FitData,
    FitSome,
    Force,
    ImageSize,
    Init,
    Label,
    Limit,
    MaxQueries,
    Method,
    Model,
    Output,
    PartSize,
    PerClass,
    Perturbations,
    Precision,
    Quantize,
    Resize,
    Restarts,
    Rounding,
    Seed,
    Split,
    Static,
    Target,
)
from advcli.catalog.registry import Bound, Spec
from advcli.crafting import substitute, universal
from advcli.crafting.apply import applied, method_of, read_perturbations
from advcli.crafting.blank_images import beginnings
from advcli.crafting.first_stage import fitting_images
from advcli.crafting.run import Run, estimate, publish
from advcli.errors import CommandError
from advcli.files.header import Header
from advcli.images.dataset import Dataset
from advcli.networks.fast_copy import swift
from advcli.networks.memory_format import placed
from advcli.networks.model_file import ModelFile
from advcli.networks.rejection import rejects
from advcli.numerics.balls import tolerance
from advcli.numerics.quantities import BUDGETS, Budget, budgets
from advcli.numerics.rng import SampleRNG
from advcli.runtime.estimate import Estimate
from advcli.runtime.reporter import SILENT, Talk
from advcli.search.job import UNBOUNDED, Job
from advcli.verbs.default_model import open_model
from advcli.workspace import inputs, outputs

RULES = ("random", "next", "least-likely", "other", "all")
EOT = 8
START, FIT = ("init", "count"), ("fit_limit",)
PROBE = 8  # images
RECORDED = ("label", "restarts", "early_stop", "max_queries", "static", "quantize", "rounding", "seed", "precision")


def attack(
    *,
    model: Model = None,
    method: Method = "pgd",
    data: Data = None,
    split: Split = None,
    limit: Limit = None,
    per_class: PerClass = None,
    classes: Classes = None,
    image_size: ImageSize = None,
    resize: Resize = None,
    data_dir: DataDir = None,
    download: Download = False,
    fit_data: FitData = None,
    fit_limit: FitSome = None,
    apply: Applied = None,
    init: Init = "noise",
    count: Count = 1,
    eps: Eps = None,
    target: Target = None,
    label: Label = "true",
    restarts: Restarts = 1,
    early_stop: EarlyStop = True,
    max_queries: MaxQueries = None,
    static: Static = False,
    eot: Eot = None,
    quantize: Quantize = False,
    rounding: Rounding = "nearest",
    seed: Seed = 0,
    batch_size: BatchSize = None,
    part_size: PartSize = 4,
    device: Device = "auto",
    precision: Precision = "float32",
    allow: Allow = (),
    output: Output = None,
    perturbations: Perturbations = True,
    force: Force = False,
    dry_run: DryRun = False,
    talk: Talk = SILENT,
    **options: object,
) -> Path | Estimate:
    """Make adversarial images of a model.

    The result is adversarial.h5, with perturbations.h5 beside it.
    """
    given = inputs.checked("attack", {k: v for k, v in locals().items() if k not in ("options", "talk")})
    path = outputs.target(output, inputs.ADVERSARIAL)
    beside = path.with_suffix(".perturbations.h5") if output else Path(inputs.PERTURBATIONS)
    outputs.keep_inputs([path, beside], [inputs.spelled(data)[0] if data else None, model, apply])
    discovery.allow(given["allow"])
    ready = read_perturbations(Path(given["apply"])) if given["apply"] else None
    bound = method_of(ready, given, options) if ready else discovery.spec("attack", method).bind(options)
    inputs.refuse_idle(bound.spec, discovery.verb("attack")[1], given)
    victim = open_model(model, talk, dry_run=dry_run)
    given["target"] = given["target"] or default_target(bound.spec, talk)
    if bound.spec.traits.has("start"):
        images = beginnings(victim, given["init"], given["count"], given["seed"], given["target"])
    else:
        images = inputs.data_of(victim, data, split, **inputs.selection(given))
    with inputs.threads(images.shape):
        run = resolve(victim, images, bound, {**given, "target": ready.target} if ready else given, talk)
        if ready:
            run = applied(run, ready)
        elif bound.spec.traits.has("fits"):
            run = grounded(run, path, victim, bound, given)
        return estimate(run, perturbations) if dry_run else publish(path, beside, run, given, talk)


def resolve(victim: ModelFile, images: Dataset, method: Bound, given: Header, talk: Talk) -> Run:
    """Every default made explicit: the job, and the header that tells of it."""
    spec, acting = method.spec, substitute.inner(method, given) if method.spec.traits.kind == "substitute" else method
    where = f"from {images.name}" if spec.traits.has("start") else f"on {images.name}:{images.split}"
    talk.note(f"attack: {spec.name} {where}, {len(images)} images")
    norm = str(acting.parameters.get("norm", acting.spec.traits.norms[0]))
    colour = images.shape[0] == 3
    wanted: tuple[Budget, ...] = (UNBOUNDED,)
    if spec.traits.budgeted:
        if given["eps"] is None:
            talk.note(f"budget: {norm} {BUDGETS[norm][colour]}, the default of {'colour' if colour else 'grey'} images")
        wanted = budgets(given["eps"] or BUDGETS[norm][colour])
    random_model = victim.is_random(static=given["static"])
    if given["static"] and not victim.defenses:
        raise CommandError(f"--static: {victim.path} has no defenses to leave out")
    if given["eot"] and not random_model:
        raise CommandError(f"--eot: {victim.path} draws no random numbers{' under --static' * given['static']}; leave it out")
    if given["target"] and given["label"] == "pred":
        raise CommandError("--label says which class to leave and --target which to reach; give one of them")
    if given["rounding"] != "nearest" and not given["quantize"]:
        raise CommandError("--rounding only matters with --quantize")
    averages = random_model and spec.traits.access != "none" and not spec.traits.has("fits")
    eot = given["eot"] or (EOT if averages else 1)
    device = inputs.find_device(given["device"])
    batch_size = inputs.default_batch(given["batch_size"], device)
    target = _target(given["target"], victim.classes)
    model = placed(victim.module(static=given["static"]), device).requires_grad_(False)
    job = Job(
        model=model,
        method=acting,
        norm=norm,
        budgets=wanted,
        target=target,
        label=given["label"],
        seed=given["seed"],
        device=device,
        restarts=given["restarts"],
        early_stop=given["early_stop"] and not spec.traits.has("fits"),
        eot=eot,
        random_model=random_model,
        rejects=rejects(model),
        max_queries=given["max_queries"],
        quantize=given["quantize"],
        rounding=given["rounding"],
        half=given["precision"] == "bfloat16",
        store_bytes=given["quantize"] and images.eight_bit,
        search=quicker(model, images, method, given, device),
    )
    plain = target and target.isdecimal() and victim.classes[int(target)] not in RULES
    named = victim.classes[int(target)] if target and plain else target
    more = [word for words, trait in ((START, "start"), (FIT, "fits")) if spec.traits.has(trait) for word in words]
    chosen = {k: given[k] for k in (*RECORDED, *more)}
    texts = [one.text for one in wanted] if spec.traits.budgeted else []
    made = outputs.made(
        "attack",
        method=spec.name,
        parameters=method.parameters,
        options={**chosen, "eps": ",".join(texts) or None, "target": named, "eot": eot if random_model else None},
        parents=[{"role": "model", "digest": victim.digest}],
        data=images.origin,
        environment=inputs.environment(device, batch_size),
    )
    header = {
        "kind": "adversarial",
        "classes": list(victim.classes),
        "split": images.split,
        "range": [0, 1],
        "norm": norm,
        "epsilon": texts,
        "tolerance": tolerance(max(one.value for one in wanted)) if texts else 0.0,
        "access": spec.traits.access,
        "repeated": spec.has("stops"),
        "victim": {
            "digest": victim.digest,
            "weights": victim.bare_weights,
            "defenses": victim.defenses,
            "static": given["static"],
        },
        "made": made,
    }
    return Run(job, images, made, header, batch_size, given["part_size"])


def grounded(run: Run, path: Path, victim: ModelFile, method: Bound, given: Header) -> Run:
    """The same run on what its method lays first, beside the set."""
    images = fitting_images(victim, run.data, method.spec.traits.kind, given)
    if method.spec.traits.kind == "substitute":
        ground = substitute.groundwork(path.with_suffix(substitute.SUFFIX), victim, method, run.job, images, given)
    else:
        beside = path.with_suffix(universal.SUFFIX)
        ground = universal.groundwork(beside, victim, method, run.job, images, run.header, given)
    outputs.keep_inputs([ground.path], [given["model"], given["fit_data"]])
    made = {**run.made, "fit": ground.made["fit"]}
    return replace(run, ground=ground, made=made, header={**run.header, "made": made})


def default_target(spec: Spec, talk: Talk) -> str | None:
    """The target of methods that need one, where none is given."""
    if spec.traits.targeted != "only":
        return None
    rule = "all" if spec.traits.has("start") else "random"
    talk.note(f"target: {rule}, the default of methods that {'start from nothing' if rule == 'all' else 'need one'}")
    return rule


def quicker(model: nn.Module, images: Dataset, method: Bound, given: Header, device: torch.device) -> nn.Module | None:
    """A copy of the model for the search, compared with it on the first images; None for what asks hardly anything."""
    access = method.spec.traits.access
    if access == "none" or method.spec.traits.kind == "direction":
        return None
    x, ids = images.batch(0, PROBE)[0].to(device), torch.from_numpy(images.index[:PROBE]).to(device)
    draws, half = SampleRNG(given["seed"], ids, ("probe",)), given["precision"] == "bfloat16"
    return swift(model, x, draws, half=half, gradients=access == "gradient")


def _target(text: str | None, classes: tuple[str, ...]) -> str | None:
    """A rule, or the number of the class that a name or a number means; rules and names go first."""
    if text is None or text in RULES:
        return text  # a class that is called like a rule is named by its number
    if text in classes:
        return str(classes.index(text))
    if text.isascii() and text.isdecimal() and int(text) < len(classes):
        return str(int(text))
    raise CommandError(f"--target {text}: is no class of the model; it has {', '.join(classes[:12])}, or {', '.join(RULES)}")

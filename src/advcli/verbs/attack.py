"""`attack`: a model and images in, an adversarial set and its perturbations out."""

from pathlib import Path

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
from advcli.crafting.apply import applied, method_of, read_perturbations
from advcli.crafting.blank_images import beginnings
from advcli.crafting.resolve import default_target, grounded, resolve
from advcli.crafting.run import estimate, publish
from advcli.runtime import devices
from advcli.runtime.estimate import Estimate
from advcli.runtime.reporter import SILENT, Talk
from advcli.verbs.default_model import open_model
from advcli.workspace import inputs, outputs


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
    with devices.threads(images.shape):
        run = resolve(victim, images, bound, {**given, "target": ready.target} if ready else given, talk)
        if ready:
            run = applied(run, ready)
        elif bound.spec.traits.has("fits"):
            run = grounded(run, path, victim, bound, given)
        return estimate(run, perturbations) if dry_run else publish(path, beside, run, given, talk)

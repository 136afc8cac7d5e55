"""`attack`: a model and images in, an adversarial set and its perturbations out."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from advcli import catalog, imageset, stack, storage
from advcli.arrays import Array
from advcli.dataset import Dataset
from advcli.errors import CommandError, InputError
from advcli.geometry import tolerance
from advcli.header import Header
from advcli.modelfile import ModelFile
from advcli.numbers import budgets
from advcli.parameters import (
    BatchSize,
    Classes,
    Data,
    Device,
    DryRun,
    EarlyStop,
    Eot,
    Eps,
    Force,
    ImageSize,
    Label,
    Limit,
    Method,
    Model,
    Output,
    PartSize,
    PerClass,
    Perturbations,
    Precision,
    Quantize,
    Restarts,
    Rounding,
    Seed,
    Split,
    Static,
    Target,
)
from advcli.pipeline import inputs, outputs
from advcli.pipeline.craft import Job, craft
from advcli.pipeline.estimate import Estimate
from advcli.registry import Bound
from advcli.talk import SILENT, Talk

BUDGETS = {"linf": ("0.3", "8/255"), "l2": ("2.0", "0.5"), "l1": ("20", "12"), "raw": ("1", "1")}
RULES = ("random", "next", "least-likely", "other", "all")
EOT = 8
PROBE = 16


@dataclass(frozen=True, slots=True)
class Run:
    """One resolved attack command."""

    job: Job
    data: Dataset
    made: Header
    header: Header
    batch_size: int
    part_size: int

    @property
    def per_image(self) -> int:
        """Rows of every image: budgets times targets."""
        classes = len(self.header["classes"])
        return len(self.job.budgets) * {"all": classes, "other": classes - 1}.get(self.job.target or "", 1)


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
    eps: Eps = None,
    target: Target = None,
    label: Label = "true",
    restarts: Restarts = 1,
    early_stop: EarlyStop = True,
    static: Static = False,
    eot: Eot = None,
    quantize: Quantize = False,
    rounding: Rounding = "nearest",
    seed: Seed = 0,
    batch_size: BatchSize = None,
    part_size: PartSize = 4,
    device: Device = "auto",
    precision: Precision = "float32",
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
    victim = inputs.open_model(model, talk)
    selection = {name: given[name] for name in ("limit", "per_class", "classes", "image_size")}
    images = inputs.data_of(victim, data, split, **selection)
    path = outputs.target(output, inputs.ADVERSARIAL)
    beside = path.with_suffix(".perturbations.h5") if output else Path(inputs.PERTURBATIONS)
    with inputs.threads(images.shape):
        run = resolve(victim, images, catalog.spec("attack", method).bind(options), given, talk)
        return estimate(run, perturbations) if dry_run else publish(path, beside, run, given, talk)


def publish(path: Path, beside: Path, run: Run, given: Header, talk: Talk) -> Path:
    """The set and its view, unless the same command has made them already."""
    default, force = given["output"] is None, given["force"]
    with storage.locked(path):
        if not outputs.finished(path, run.made, default_name=default, force=force, talk=talk):
            write(path, run, talk)
        outputs.Parts.of(path).remove()
        if given["perturbations"]:
            derive(path, beside)
    return path


def resolve(victim: ModelFile, images: Dataset, method: Bound, given: Header, talk: Talk) -> Run:
    """Every default made explicit: the job, and the header that tells of it."""
    spec = method.spec
    inputs.refuse_idle(spec, catalog.verb("attack")[1], given)
    norm = str(method.parameters.get("norm", spec.traits.norms[0]))
    colour = images.shape[0] == 3
    if given["eps"] is None:
        talk.note(f"budget: {norm} {BUDGETS[norm][colour]}, the default of {'colour' if colour else 'grey'} images")
    wanted = budgets(given["eps"] or BUDGETS[norm][colour])
    defenses = [] if given["static"] else victim.defenses
    random_model = stack.is_random(defenses)
    if given["static"] and not victim.defenses:
        raise CommandError(f"--static: {victim.path} has no defenses to leave out")
    if given["eot"] and not random_model:
        raise CommandError(f"--eot: {victim.path} draws no random numbers{' under --static' * given['static']}; leave it out")
    if given["target"] and given["label"] == "pred":
        raise CommandError("--label says which class to leave and --target which to reach; give one of them")
    if given["rounding"] != "nearest" and not given["quantize"]:
        raise CommandError("--rounding only matters with --quantize")
    eot = given["eot"] or (EOT if random_model and spec.traits.access != "none" else 1)
    device = inputs.find_device(given["device"])
    batch_size = inputs.default_batch(given["batch_size"], device)
    target = _target(given["target"], victim.classes)
    job = Job(
        model=victim.module(static=given["static"]).to(device).requires_grad_(False),
        method=method,
        norm=norm,
        budgets=wanted,
        target=target,
        label=given["label"],
        seed=given["seed"],
        device=device,
        restarts=given["restarts"],
        early_stop=given["early_stop"],
        eot=eot,
        random_model=random_model,
        quantize=given["quantize"],
        rounding=given["rounding"],
        half=given["precision"] == "bfloat16",
        store_bytes=given["quantize"] and images.eight_bit,
    )
    named = victim.classes[int(target)] if target and target.isdecimal() else target
    chosen = {k: given[k] for k in ("label", "restarts", "early_stop", "static", "quantize", "rounding", "seed", "precision")}
    made = outputs.made(
        "attack",
        method=spec.name,
        parameters=method.parameters,
        options={**chosen, "eps": ",".join(b.text for b in wanted), "target": named, "eot": eot if random_model else None},
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
        "epsilon": [b.text for b in wanted],
        "tolerance": tolerance(max(b.value for b in wanted)),
        "access": spec.traits.access,
        "repeated": spec.traits.has("repeated"),
        "victim": {
            "digest": victim.digest,
            "weights": victim.recipe["weights"],
            "defenses": victim.defenses,
            "static": given["static"],
        },
        "made": made,
    }
    return Run(job, images, made, header, batch_size, given["part_size"])


def _target(text: str | None, classes: tuple[str, ...]) -> str | None:
    """A rule, or the number of the class that a name or a number means; names go first."""
    if text is None or text in RULES:
        return text
    if text in classes:
        return str(classes.index(text))
    if text.isdecimal() and int(text) < len(classes):
        return str(int(text))
    raise CommandError(f"--target {text}: is no class of the model; it has {', '.join(classes[:12])}, or {', '.join(RULES)}")


def write(path: Path, run: Run, talk: Talk) -> None:
    """Work part by part, assemble, publish."""
    parts = outputs.Parts.of(path)
    parts.begin(run.made, talk)
    todo = _chunks(run)
    won = seen = 0
    with talk.progress(f"{run.job.method.spec.name}", len(run.data), "images") as tick:
        for number, group in enumerate(todo):
            count = min(group[-1] + run.batch_size, len(run.data)) - group[0]
            if not parts.has(number):
                columns = _joined([craft(run.job, run.data, s, min(s + run.batch_size, len(run.data))) for s in group])
                parts.save(number, columns)
                won += int(columns["success"].sum())
                seen += len(columns["success"])
            tick(count, f"{won / seen:.0%} fooled" if seen else "")
    layout = parts.shapes()
    if run.job.quantize and not run.job.store_bytes:
        _warn_unrepresentable(parts.column("images"), talk)
    imageset.write(path, run.header, layout, {name: _column(parts, name) for name in layout})


def _chunks(run: Run) -> list[range]:
    """The starts of the batches of every part."""
    every = range(0, len(run.data), run.batch_size)
    return [every[i : i + run.part_size] for i in range(0, len(every), run.part_size)]


def _joined(batches: list[dict[str, Array]]) -> dict[str, Array]:
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def _column(parts: outputs.Parts, name: str) -> imageset.Pieces:
    return lambda: parts.column(name)


def _warn_unrepresentable(pieces: Iterable[Array], talk: Talk) -> None:
    count = total = 0
    for piece in pieces:
        levels = piece.astype(np.float64) * 255
        count += int((np.abs(levels - np.rint(levels)) > 1e-3).any((1, 2, 3)).sum())
        total += len(piece)
    if count:
        talk.warn(f"{count} of {total} rows are not representable in 8 bits inside their budget; they hold the original")


def derive(path: Path, beside: Path) -> None:
    """The perturbations: a view of the set, rebuilt where it is missing or belongs to another."""
    with imageset.ImageSet(path) as made:
        header = {
            **{k: made.header[k] for k in ("classes", "split", "norm", "epsilon", "tolerance", "victim", "made")},
            "kind": "perturbation",
            "range": [-1, 1],
            "of": made.digest,
        }
        if beside.exists():
            try:
                with imageset.ImageSet(beside) as old:
                    if old.header == header:
                        return
            except InputError:
                pass  # damaged or foreign: the view is rebuilt

        def differences() -> Iterator[Array]:
            origin = made.column("original")
            for start in range(0, len(made), 1024):
                stop = min(start + 1024, len(made))
                yield (made.rows("images", start, stop) - made.pick("originals", origin[start:stop])).numpy()

        names = ("labels", "index", "target", "epsilon", "success", "prediction", "clean_prediction")
        layout, fill = imageset.in_memory({name: made.column(name) for name in names})
        layout["images"] = (np.dtype("<f4"), (len(made), *made.shape))
        imageset.write(beside, header, layout, {**fill, "images": differences})


def estimate(run: Run, perturbations: bool) -> Estimate:
    """Rows and bytes by arithmetic, time by a short probe."""
    rows = len(run.data) * run.per_image
    pixels = int(np.prod(run.data.shape))
    size = rows * pixels * (1 if run.job.store_bytes else 4) + len(run.data) * pixels * (1 if run.data.eight_bit else 4)
    size += rows * (8 * 7 + 4 + 1) + (rows * (pixels * 4 + 8 * 5 + 5) if perturbations else 0)
    craft(run.job, run.data, 0, 2)  # warms up what is only slow the first time
    count, begin = min(PROBE, len(run.data)), time.perf_counter()
    craft(run.job, run.data, 0, count)
    return Estimate(rows, size, (time.perf_counter() - begin) * len(run.data) / count)

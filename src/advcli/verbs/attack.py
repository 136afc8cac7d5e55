"""`attack`: makes an adversarial set and its perturbations from a model and images."""

from dataclasses import dataclass, replace
from pathlib import Path

from advcli.catalog import discovery
from advcli.catalog.registry import Bound
from advcli.catalog.requests import AttackRequest
from advcli.crafting.adversarial_images import AdversarialImages
from advcli.crafting.apply import applied, method_of, read_perturbations
from advcli.crafting.blank_images import start_images
from advcli.crafting.first_stage import first_stage_of
from advcli.crafting.in_memory import crafted
from advcli.crafting.publish import publish
from advcli.crafting.resolve import default_target, resolve, with_first_stage
from advcli.crafting.run import Run, estimate
from advcli.crafting.share import Share, rank, shard
from advcli.crafting.together import made_together
from advcli.crafting.trust import Judged
from advcli.crafting.work import make
from advcli.crafting.workers import Workers, task_of
from advcli.errors import CommandError
from advcli.networks.model_file import ModelFile
from advcli.runtime import devices
from advcli.runtime.estimate import Estimate
from advcli.runtime.reporter import SILENT, Reporter
from advcli.verbs.default_model import open_model
from advcli.workspace import inputs, outputs
from advcli.workspace.held import NOTHING, Held

WORKER = "advcli.verbs.attack_worker"
IDLE = ("force", "part_size", "perturbations", "workers", "shard")  # options that have an effect only where a file is written


def attack(
    asked: AttackRequest,
    own: dict[str, object],
    reporter: Reporter = SILENT,
    *,
    replaces: bool = False,
    held: Held = NOTHING,
) -> Path | Judged | Estimate | AdversarialImages:
    """Make adversarial images of a model; an older set of another command is replaced where the name is the default one.

    With a model or images in memory the result is in memory, too, and a file is written only where `output` names one.
    """
    if held and asked.strict:
        raise CommandError("--strict: sets an exit code; in memory the result names the checks that FAIL, as .failed")
    if held and asked.model is None:
        raise CommandError("attack: give a model: a torch.nn.Module, or the path of a model file")
    if held and asked.output is None:
        return _in_memory(asked, own, held, reporter)
    shared = _share(asked, held)
    with devices.exactly(asked.threads or devices.share_of_cores(asked.workers)):
        ready = prepared(
            asked, own, SILENT if shared and shared.follows else reporter, held=held, local=shared.local if shared else 0
        )
        with devices.threads(ready.run.data.shape):
            if asked.dry_run:
                return estimate(ready.run, asked.perturbations)
            made = ready.made(own, shared, replaces or asked.output is None, reporter)
    if held:
        return AdversarialImages.of_file(made, ready.run.job.method.spec.name)
    return Judged.of(made) if asked.strict and made == ready.path else made


@dataclass(frozen=True, slots=True)
class Prepared:
    """A command with everything resolved, before the first image is attacked."""

    asked: AttackRequest
    path: Path
    beside: Path
    run: Run

    def made(self, own: dict[str, object], shared: Share | None, default: bool, reporter: Reporter) -> Path:
        """The set, made by this process, by workers, or beside others."""
        if shared:
            return made_together(self.path, self.beside, self.run, self.asked, default, shared, reporter)
        maker = make
        if self.asked.workers > 1:
            maker = Workers(self.asked.workers, WORKER, task_of(self.asked, own)).make
        return publish(self.path, self.beside, self.run, self.asked, default, reporter, maker)


def prepared(
    asked: AttackRequest, own: dict[str, object], reporter: Reporter, *, held: Held = NOTHING, local: int = 0
) -> Prepared:
    """The command resolved; processes of one machine get a GPU each, by their `local` number."""
    path = outputs.output_path(asked.output, inputs.ADVERSARIAL)
    beside = path.with_suffix(".perturbations.h5") if asked.output else Path(inputs.PERTURBATIONS)
    outputs.keep_inputs([path, beside], [inputs.split_suffix(asked.data)[0] if asked.data else None, asked.model, asked.apply])
    asked = replace(asked, device=devices.one_of_several(asked.device, local))
    asked, run, victim, bound = _resolved(asked, own, held, reporter)
    with devices.threads(run.data.shape):
        if asked.apply is None:
            run = with_first_stage(run, path, victim, bound, asked, reporter)
    return Prepared(asked, path, beside, run)


def _share(asked: AttackRequest, held: Held) -> Share | None:
    """The share of this process, if others make the same set; CommandError where options contradict each other."""
    shared = shard(asked.shard) if asked.shard else rank()
    if held and (shared or asked.workers > 1):
        raise CommandError("--workers and --shard: other processes cannot see a model or images in memory; write them to files")
    if shared and asked.workers > 1:
        what = "--shard" if asked.shard else "torchrun or srun"
        raise CommandError(f"--workers: is for one process that starts others; with {what} each process is one already")
    return shared


def _in_memory(asked: AttackRequest, own: dict[str, object], held: Held, reporter: Reporter) -> AdversarialImages | Estimate:
    """The attack without any file."""
    for one in asked.options():
        if one.name in IDLE and getattr(asked, one.name) != one.default:
            raise CommandError(f"{one.flag}: has an effect only with output=PATH")
    asked, run, _, bound = _resolved(asked, own, held, reporter)
    if first_stage_of(bound.spec) is not None and asked.apply is None:
        raise CommandError(f"{bound.spec.name}: fits a file before the first image; name the set beside it with output=PATH")
    with devices.threads(run.data.shape):
        return estimate(run, perturbations=False) if asked.dry_run else AdversarialImages(crafted(run, reporter))


def _resolved(
    asked: AttackRequest, own: dict[str, object], held: Held, reporter: Reporter
) -> tuple[AttackRequest, Run, ModelFile, Bound]:
    """The request with its target, the run with every default resolved, its model, and its method."""
    discovery.allow(asked.allow)
    ready = read_perturbations(Path(asked.apply)) if asked.apply else None
    bound = method_of(ready, asked, own) if ready else discovery.spec("attack", asked.method).bind(own)
    asked.refuse_idle(bound.spec)
    victim = held.model(asked.model, asked, (), asked.device) or open_model(asked.model, reporter, dry_run=asked.dry_run)
    target = ready.target if ready else asked.target or default_target(bound.spec, reporter)
    asked = replace(asked, target=target)
    if bound.spec.traits.has("start"):
        images = start_images(victim, asked.init, asked.count, asked.seed, asked.target or "all")
    else:
        images = held.data_of(victim, asked, reporter)
    with devices.threads(images.shape):
        run = resolve(victim, images, bound, asked, reporter)
    return asked, (applied(run, ready) if ready else run), victim, bound

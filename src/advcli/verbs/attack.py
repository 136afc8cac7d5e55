"""`attack`: makes an adversarial set and its perturbations from a model and images."""

from dataclasses import replace
from pathlib import Path

from advcli.catalog import discovery
from advcli.catalog.requests import AttackRequest
from advcli.crafting.apply import applied, method_of, read_perturbations
from advcli.crafting.blank_images import start_images
from advcli.crafting.resolve import default_target, resolve, with_first_stage
from advcli.crafting.run import estimate, publish
from advcli.crafting.trust import Judged
from advcli.runtime import devices
from advcli.runtime.estimate import Estimate
from advcli.runtime.reporter import SILENT, Reporter
from advcli.verbs.default_model import open_model
from advcli.workspace import inputs, outputs


def attack(
    asked: AttackRequest, own: dict[str, object], reporter: Reporter = SILENT, *, replaces: bool = False
) -> Path | Judged | Estimate:
    """Make adversarial images of a model; an older set of another command is replaced where the name is the default one."""
    path = outputs.output_path(asked.output, inputs.ADVERSARIAL)
    beside = path.with_suffix(".perturbations.h5") if asked.output else Path(inputs.PERTURBATIONS)
    outputs.keep_inputs([path, beside], [inputs.split_suffix(asked.data)[0] if asked.data else None, asked.model, asked.apply])
    discovery.allow(asked.allow)
    ready = read_perturbations(Path(asked.apply)) if asked.apply else None
    bound = method_of(ready, asked, own) if ready else discovery.spec("attack", asked.method).bind(own)
    asked.refuse_idle(bound.spec)
    victim = open_model(asked.model, reporter, dry_run=asked.dry_run)
    target = ready.target if ready else asked.target or default_target(bound.spec, reporter)
    asked = replace(asked, target=target)
    if bound.spec.traits.has("start"):
        images = start_images(victim, asked.init, asked.count, asked.seed, asked.target or "all")
    else:
        images = inputs.data_of(victim, asked.data, asked.split, asked, reporter=reporter)
    with devices.threads(images.shape):
        run = resolve(victim, images, bound, asked, reporter)
        run = applied(run, ready) if ready else with_first_stage(run, path, victim, bound, asked, reporter)
        if asked.dry_run:
            return estimate(run, asked.perturbations)
        made = publish(path, beside, run, asked, replaces or asked.output is None, reporter)
    return Judged.of(made) if asked.strict else made

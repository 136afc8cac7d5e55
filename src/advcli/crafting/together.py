"""One attack by processes that nobody here has started: the ranks of torchrun or srun, and the shards of a job array."""

import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from advcli.catalog.requests import AttackRequest
from advcli.crafting.publish import publish
from advcli.crafting.run import Run
from advcli.crafting.share import Share
from advcli.crafting.work import PAUSE, finished, share
from advcli.errors import AdvcliError, Busy, CommandError
from advcli.files import atomic
from advcli.files.header import Header, identity
from advcli.files.parts import Parts
from advcli.networks.black_box import boxes_of
from advcli.runtime.reporter import SILENT, Reporter
from advcli.workspace import outputs
from advcli.workspace.lookup import header_of

LATE = 60.0  # seconds after which a process says that it waits for the first


def made_together(
    path: Path, beside: Path, run: Run, asked: AttackRequest, default: bool, shared: Share, reporter: Reporter
) -> Path:
    """The set, or the folder of its parts where other shards have not made theirs yet."""
    if asked.force:
        raise CommandError("--force: several processes would each overwrite it; remove the file first")
    if boxes := boxes_of(run.job.model):
        raise CommandError(f"{boxes[0].name}: is asked by one process, which counts and keeps its answers")
    if shared.dealt:
        return _shard(path, beside, run, asked, default, shared, reporter)
    if shared.leads:
        return publish(path, beside, run, asked, default, reporter, partial(_lead, shared))
    return _follow(path, run, default, shared, reporter)


def _lead(shared: Share, run: Run, parts: Parts, reporter: Reporter) -> None:
    """The first rank's share; afterwards all parts are there."""
    finished(run, parts, reporter)
    parts.join(run.made)
    share(run, parts, shared, reporter)


def _follow(path: Path, run: Run, default: bool, shared: Share, reporter: Reporter) -> Path:
    """Another rank's share: from when the first has begun until it has published."""
    parts, fitted, late = Parts.of(path), run.first_stage is None, time.monotonic() + LATE
    while not is_there(path, run.made):
        if time.monotonic() > late and not parts.is_begun(run.made):
            late += LATE
            reporter.warn(f"{path}: the first of {shared.of} processes has not begun it; all of them must run the same command")
        if parts.is_begun(run.made):
            if not fitted:
                run, fitted = with_fitted(run, default), True
            parts.join(run.made)
            share(run, parts, shared, SILENT, stop=partial(is_there, path, run.made))
        time.sleep(PAUSE)
    return path


def _shard(path: Path, beside: Path, run: Run, asked: AttackRequest, default: bool, shared: Share, reporter: Reporter) -> Path:
    """One shard's parts; whoever finishes last assembles the set."""
    parts, name = Parts.of(path), f"{shared.member + 1}/{shared.of}"
    with atomic.locked(path.with_name(f"{path.name}.shard-{name.replace('/', '-of-')}")):
        if outputs.is_finished(path, run.made, default_name=default, force=False, reporter=reporter):
            return path
        parts.join(run.made)
        run = with_fitted(run, default)
        if not share(run, parts, shared, reporter):
            reporter.note(f"shard {name} is made, in {parts.folder}; the set is assembled by the shard that ends last")
            return parts.folder
    while True:
        try:
            return publish(path, beside, run, asked, default, reporter)
        except Busy:
            atomic.wait_for(path)


def with_fitted(run: Run, default: bool) -> Run:
    """The run with its fitted file, which one process fits while the others wait."""
    while stage := run.first_stage:
        try:
            if is_there(stage.path, stage.made):
                job, about = stage.attach(run.job)
            else:
                with atomic.locked(stage.path):
                    job, about = stage.ensure(run.job, default_name=default, force=False, reporter=SILENT)
            return replace(run, job=job, about={**run.about, **about})
        except Busy:
            time.sleep(PAUSE)
    return run


def is_there(path: Path, made: Header) -> bool:
    """True if this command's file is published."""
    try:
        return path.exists() and identity(header_of(path)[1]["made"]) == identity(made)
    except AdvcliError:
        return False

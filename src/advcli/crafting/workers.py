"""Worker processes on one machine: the launcher starts them, shows their progress, passes signals on, and assembles the set."""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import torch

from advcli.catalog.requests import AttackRequest
from advcli.crafting.run import Run
from advcli.crafting.work import PAUSE, count_cells, finished, is_complete
from advcli.errors import AdvcliError, CommandError
from advcli.files.parts import Parts
from advcli.networks.black_box import boxes_of
from advcli.runtime import interrupts
from advcli.runtime.reporter import Reporter

INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Workers:
    """Some processes that run one command; `module` is what each runs, and `task` what it reads."""

    count: int
    module: str
    task: dict[str, Any]

    def make(self, run: Run, parts: Parts, reporter: Reporter) -> None:
        """Make all parts that are missing; a worker that is killed is replaced by the others."""
        if boxes := boxes_of(run.job.model):
            raise CommandError(f"--workers: {boxes[0].name} is asked by one process, which counts and keeps its answers")
        finished(run, parts, reporter)
        parts.join(run.made)
        with (
            reporter.progress(run.job.method.spec.name, len(run.data), "images") as tick,
            interrupts.finish_batch_first() as asked,
            _Crew(self, min(self.count, count_cells(run))) as crew,
        ):
            shown = 0
            while not is_complete(run, parts):
                crew.check(reporter)
                if asked():
                    crew.stop()
                    raise KeyboardInterrupt
                now = sum(map(len, parts.covered()))
                tick(now - shown, f"{crew.running} workers")
                shown = now
                time.sleep(PAUSE)
            tick(len(run.data) - shown, "")


def task_of(asked: AttackRequest, own: dict[str, object]) -> dict[str, Any]:
    """The command as a worker reads it, with the threads that this process has."""
    given = {one.name: getattr(asked, one.name) for one in asked.options() if getattr(asked, one.name) != one.default}
    return {"given": {**given, **own, "workers": 1}, "threads": torch.get_num_threads(), "parent": os.getpid()}


@dataclass(slots=True)
class _Crew:
    """The processes of one run."""

    workers: Workers
    count: int
    members: list[tuple[subprocess.Popen[bytes], BinaryIO]] = field(default_factory=list)
    told: set[int] = field(default_factory=set)

    def __enter__(self) -> "_Crew":
        for member in range(self.count):
            self._start(member)
        return self

    def __exit__(self, *failure: object) -> None:
        self.stop()
        for _, words in self.members:
            words.close()

    @property
    def running(self) -> int:
        return sum(process.poll() is None for process, _ in self.members)

    def check(self, reporter: Reporter) -> None:
        """Pass on the message of a worker that failed; go on without one that was killed."""
        for process, words in self.members:
            code = process.poll()
            if code in (None, 0):
                continue
            if code > 0 and code != INTERRUPTED:
                words.seek(0)
                said = words.read().decode(errors="replace").strip().splitlines() or [f"a worker ended with {code}"]
                raise AdvcliError("\n".join(said[-3:]))
            if process.pid not in self.told:
                self.told.add(process.pid)
                reporter.warn("a worker was stopped; the others go on with its part")
        if not self.running:
            raise AdvcliError("all workers were stopped; the same command goes on from what is finished")

    def stop(self) -> None:
        """Let every worker finish its batch and publish it; then wait."""
        for process, _ in self.members:
            if process.poll() is None:
                process.terminate()
        try:
            for process, _ in self.members:
                process.wait()
        finally:
            for process, _ in self.members:
                process.kill()

    def _start(self, member: int) -> None:
        words = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the crew
        task = {**self.workers.task, "member": member, "of": self.count}
        process = subprocess.Popen(  # noqa: S603  # this very program
            [sys.executable, "-m", self.workers.module],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=words,
            env={**os.environ, "OMP_NUM_THREADS": str(self.workers.task["threads"])},
            start_new_session=True,  # a signal from the terminal reaches the launcher alone, which passes it on once
        )
        self.members.append((process, words))
        assert process.stdin is not None  # it was asked for
        with process.stdin as sent:
            sent.write(json.dumps(task).encode())
